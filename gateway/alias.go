package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
)

// The products whose URLs --aliases takes, so that encoders and players need not
// be set up anew on a migration.
const (
	aliasMediaMTX     = "mediamtx"      // /{room}/whip and /{room}/whep
	aliasBroadcastBox = "broadcast-box" // /api/whip and /api/whep, the bearer names the room
)

// aliases puts paths of ours in place of those of other products, in front of the
// router: httprouter allows no /:room/whip beside /whip/:room (ADR 27). What
// it returns is next itself when no alias is configured.
func (g *Gateway) aliases(next http.Handler) http.Handler {
	if len(g.cfg.Aliases) == 0 {
		return next
	}
	ours := firstSegments(g.routes())
	mediaMTX := slices.Contains(g.cfg.Aliases, aliasMediaMTX)
	broadcastBox := slices.Contains(g.cfg.Aliases, aliasBroadcastBox)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, endpoint, two := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		switch {
		case !two || endpoint != "whip" && endpoint != "whep":
		case broadcastBox && first == "api":
			g.byBearer(next, endpoint)(w, r, nil)
			return
		case mediaMTX && !ours[first] && legalName(first):
			r = at(r, "/"+endpoint+"/"+first)
		}
		next.ServeHTTP(w, r)
	})
}

// byBearer serves an endpoint to whoever names the room by the bearer token.
func (g *Gateway) byBearer(next http.Handler, endpoint string) httprouter.Handle {
	serve := func(w http.ResponseWriter, r *http.Request, room string) {
		next.ServeHTTP(w, at(r, "/"+endpoint+"/"+room))
	}
	refuse := func(err error) handler {
		return func(http.ResponseWriter, *http.Request, httprouter.Params) error { return err }
	}
	pattern := "/api/" + endpoint
	return func(w http.ResponseWriter, r *http.Request, p httprouter.Params) {
		switch r.Method {
		case http.MethodOptions: // preflights carry no token
			w.Header().Set("Accept-Post", "application/sdp")
			g.handle(pattern, options200)(w, r, p)
			return
		case http.MethodPost:
		default: // what every room answers alike, 405 included
			serve(w, r, mainRoom)
			return
		}
		room, err := g.roomOfBearer(r)
		if err != nil {
			g.handle(pattern, refuse(err))(w, r, p)
			return
		}
		serve(w, r, room)
	}
}

// mainRoom stands for any room in requests that are answered alike for all.
const mainRoom = "main"

// roomOfBearer is the room that a token is for: without authentication the token
// is its name.
func (g *Gateway) roomOfBearer(r *http.Request) (string, error) {
	if g.authenticates() {
		grants, err := g.identify(r)
		if err != nil {
			return "", err
		}
		room, ok := grants.Room()
		if !ok {
			return "", &problemError{"alias-without-room", "The token is for several rooms. Use the URL /whip/{room} or /whep/{room}."}
		}
		return room, nil
	}
	token, credentials := auth.Bearer(g.credentials(r), g.cfg.AuthAllowBare)
	switch {
	case credentials == auth.NoCredentials:
		return "", &problemError{name: "unauthorized"}
	case credentials != auth.BearerToken || !legalName(token):
		return "", &problemError{name: "alias-without-room"}
	}
	return token, nil
}

// at is a request as if it had come to another path.
func at(r *http.Request, path string) *http.Request {
	moved, url := new(http.Request), *r.URL
	*moved = *r
	url.Path, url.RawPath = path, ""
	moved.URL = &url
	return moved
}

// firstSegments are those that no room can be called by in an alias: they begin
// the paths of ours.
func firstSegments(routes []route) map[string]bool {
	segments := map[string]bool{}
	for _, r := range routes {
		first, _, _ := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
		segments[first] = true
	}
	return segments
}
