package gateway

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
)

// route is one line of the HTTP surface.
type route struct {
	method, path string
	handler      handler
}

// routes is the whole public HTTP surface, in the order of openapi.yaml.
func (g *Gateway) routes() []route {
	var list []route
	add := func(path string, methods map[string]handler) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
			h, ok := methods[method]
			if method == http.MethodHead {
				h, ok = methods[http.MethodGet] // net/http leaves the body out
			}
			if method == http.MethodOptions && !ok {
				h, ok = options200, true
			}
			if ok {
				list = append(list, route{method, path, h})
			}
		}
	}
	whip := map[string]handler{"GET": g.probeWHIP, "POST": g.postWHIP, "OPTIONS": g.optionsMedia(auth.Publish)}
	add("/whip/:room", whip)
	add("/whip/:room/:publication", whip)
	whep := map[string]handler{"GET": g.probeWHEP, "POST": g.postWHEP, "OPTIONS": g.optionsMedia(auth.Subscribe)}
	add("/whep/:room", whep)
	add("/whep/:room/:publication", whep)
	add("/s/:session", map[string]handler{"GET": g.getSession, "PATCH": g.patchSession, "DELETE": g.deleteSession})
	add("/s/:session/refresh", map[string]handler{"POST": g.refreshSession})
	add("/s/:session/status", map[string]handler{"GET": g.getStatus})
	add("/s/:session/events", map[string]handler{"GET": g.getEvents, "POST": g.postEvents, "OPTIONS": acceptJSON})
	add("/s/:session/layer", map[string]handler{"POST": g.postLayer, "DELETE": g.deleteLayer, "OPTIONS": acceptJSON})
	add("/s/:session/events/:stream", map[string]handler{"GET": g.getEventStream, "DELETE": g.deleteEventStream})

	add("/v1/rooms", map[string]handler{"GET": g.listRooms, "POST": g.createRoom})
	add("/v1/rooms/:room", map[string]handler{"GET": g.getRoom, "PATCH": g.updateRoom, "DELETE": g.deleteRoom})
	add("/v1/rooms/:room/sessions", map[string]handler{"GET": g.listSessions})
	add("/v1/rooms/:room/sessions/:session", map[string]handler{"GET": g.showSession, "DELETE": g.kickSession})
	add("/v1/revocations", map[string]handler{"GET": g.listRevocations, "POST": g.createRevocation, "OPTIONS": acceptJSON})
	add("/v1/revocations/:id", map[string]handler{"DELETE": g.deleteRevocation})
	add("/v1/rooms/:room/publications", map[string]handler{"GET": g.listPublications})
	add("/v1/rooms/:room/events", map[string]handler{"GET": g.getRoomEvents})
	add("/v1/rooms/:room/messages", map[string]handler{"GET": g.listMessages, "POST": g.postMessage, "OPTIONS": acceptJSON})
	add("/v1/rooms/:room/publications/:publication", map[string]handler{"GET": g.getPublication, "PATCH": g.updatePublication})
	add("/v1/rooms/:room/join", map[string]handler{"POST": g.joinRoom, "OPTIONS": acceptJSON})

	add("/v1/webhooks", map[string]handler{"GET": g.listWebhooks})
	add("/v1/webhooks/dead", map[string]handler{"GET": g.listDeadLetters})
	add("/v1/webhooks/dead/:letter/replay", map[string]handler{"POST": g.replayDeadLetter})
	add("/v1/webhooks/replay", map[string]handler{"POST": g.replayDeadLetters})
	add("/v1/webhooks/test", map[string]handler{"POST": g.testWebhooks})

	add("/healthz", map[string]handler{"GET": g.getHealth})
	add("/readyz", map[string]handler{"GET": g.getReady})
	add("/openapi.yaml", map[string]handler{"GET": g.getOpenAPI})
	add("/problems/:name", map[string]handler{"GET": g.getProblem})

	// Who leaves the room out is asked for it: the page at / has the form.
	for _, path := range []string{"/", "/play", "/publish", "/meet"} {
		add(path, map[string]handler{"GET": page(g.pages.Index)})
	}
	add("/play/:room", map[string]handler{"GET": page(g.pages.Play)})
	add("/publish/:room", map[string]handler{"GET": page(g.pages.Publish)})
	add("/admin", map[string]handler{"GET": page(g.pages.Admin)})
	add("/meet/:room", map[string]handler{"GET": page(g.pages.Meet)})
	add("/assets/*path", map[string]handler{"GET": page(g.pages.Assets)})
	return list
}

// handler is the public HTTP surface as one http.Handler.
func (g *Gateway) handler() http.Handler {
	router := httprouter.New()
	// A path is right or it is a 404: redirects would turn one POST into two,
	// and 301 is forbidden by RFC 9725 section 4.5.
	router.RedirectTrailingSlash = false
	router.RedirectFixedPath = false
	// The router's own answers would be text/plain, and know no CORS.
	router.HandleOPTIONS = false
	router.NotFound = g.always("not-found")
	router.MethodNotAllowed = g.always("method-not-allowed") // the router has set Allow
	for _, r := range g.routes() {
		router.Handle(r.method, r.path, g.handle(r.path, r.handler))
	}
	return g.forwarded(g.aliases(router))
}

// always answers every request with one problem.
func (g *Gateway) always(name string) http.Handler {
	h := g.handle("none", func(http.ResponseWriter, *http.Request, httprouter.Params) error {
		return &problemError{name: name}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(w, r, nil) })
}

// options200 answers OPTIONS, a CORS preflight or not, before anybody asks for
// a token: browsers never send one there. Everything else is in the common
// headers.
func options200(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

// optionsMedia is options200 of an endpoint. Who may use the endpoint is told of
// the ICE servers, for clients that want them before they make an offer (RFC
// 9725 section 4.6). A preflight is not: it comes from the browser, and its
// answer never reaches the page.
func (g *Gateway) optionsMedia(grant auth.Grant) handler {
	return func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
		w.Header().Set("Accept-Post", "application/sdp")
		preflight := r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
		if preflight {
			return options200(w, r, p)
		}
		_, err := g.authorize(r, p.ByName("room"), grant)
		told, _ := problemOf(err)
		switch {
		case err == nil:
			w.Header().Set("Cache-Control", "no-store")
			g.addICEServers(w.Header())
		case told.status == http.StatusUnauthorized && told.name != "unauthorized":
			// The answer is the same as to anybody, but a guess counts as one.
			if limited := g.limitFailure(r, r.URL.Path, err); limited != err { //nolint:errorlint // the same one comes back
				return limited
			}
		}
		return options200(w, r, p)
	}
}

// acceptJSON is options200 of what takes JSON.
func acceptJSON(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	w.Header().Set("Accept-Post", "application/json")
	return options200(w, r, p)
}
