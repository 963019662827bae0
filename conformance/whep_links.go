package conformance

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	extPrefix = "urn:ietf:params:whep:ext"
	relEvents = extPrefix + ":core:server-sent-events"
	relLayer  = extPrefix + ":core:layer"
	relICE    = "ice-server"
)

// whepLinkChecks are those of Link headers, tokens and of what protects a
// server and its sessions.
func whepLinkChecks() []Check {
	return slices.Concat(whepICEServerChecks(), whepTokenChecks(), whepExtensionChecks(), whepSecurityChecks())
}

func whepICEServerChecks() []Check {
	return []Check{
		{
			ID: "WHEP-LINK-01", Section: "WHEP 4.8", Level: May, Stage: Live,
			What: "the 201 may name ICE servers",
			Run: func(t *T) {
				if len(t.watch(PlayOffer()).Created.linksOf(relICE)) == 0 {
					t.Skipf("the server names no ICE servers")
				}
			},
		},
		{
			ID: "WHEP-LINK-02", Section: "WHEP 4.8", Level: Must, Stage: Live,
			What: "ICE servers are links with a stun or turn URI, and with a user name and a credential where it is turn",
			Run: func(t *T) {
				list := t.watch(PlayOffer()).Created.linksOf(relICE)
				if len(list) == 0 {
					t.Skipf("the server names no ICE servers")
				}
				for _, l := range list {
					t.wantICEServer(&l)
				}
			},
		},
		{
			ID: "WHEP-LINK-03", Section: "Sluice", Level: Choice, Stage: Live,
			What: "OPTIONS names the ICE servers of the 201 to players that want them before they offer",
			Run:  whepServersByOptions,
		},
	}
}

// wantICEServer wants a URI of RFC 7064 or 7065 and what goes with it.
func (t *T) wantICEServer(l *Link) {
	u, err := url.Parse(l.Target)
	if err != nil || !slices.Contains([]string{"stun", "stuns", "turn", "turns"}, u.Scheme) || u.Opaque == "" ||
		strings.ContainsAny(u.Opaque, "/@") {
		t.Errorf("expected stun:host:port or turn:host:port, got %q", l.Target)
		return
	}
	if strings.HasPrefix(u.Scheme, "turn") && (l.Params["username"] == "" || l.Params["credential"] == "") {
		t.Errorf("%s: expected username and credential, got %d parameters", l.Target, len(l.Params))
	}
}

func whepServersByOptions(t *T) {
	named := t.watch(PlayOffer()).Created.linksOf(relICE)
	if len(named) == 0 {
		t.Skipf("the server names no ICE servers")
	}
	r := t.options(t.Room.WHEP)
	if got := len(r.linksOf(relICE)); got != len(named) {
		t.differsf("expected the %d ICE servers of the 201 in the answer to OPTIONS, got %d", len(named), got)
	}
	r = t.options(t.Room.WHEP, header("Origin", origin))
	t.wantListed(r, "Access-Control-Expose-Headers", "Link")
}

func whepTokenChecks() []Check {
	return []Check{
		{
			ID: "WHEP-AUTH-01", Section: "WHEP 4.9", Level: Must, Stage: Live,
			What: "bearer tokens are taken, whatever the case of the scheme, and a viewer without one is told that it is needed",
			Run:  whepBearer,
		},
		{
			ID: "WHEP-AUTH-02", Section: "Sluice", Level: Choice, Stage: Live,
			What: "a token without its scheme is none",
			Run: func(t *T) {
				t.guarded()
				r := t.PostOffer(t.Room.WHEP, PlayOffer(), anonymous, header("Authorization", t.Token()))
				t.WantChoice(r, http.StatusUnauthorized, "401, 400 or 201", Is(http.StatusUnauthorized, http.StatusBadRequest, http.StatusCreated))
			},
		},
	}
}

// guarded is the answer to a viewer without a token; servers that are open to
// everybody have none.
func (t *T) guarded() *Response {
	if t.Token() == "" {
		t.Skipf("no token was given: the endpoint is open to everybody")
	}
	r := t.PostOffer(t.Room.WHEP, PlayOffer(), anonymous)
	if r.Status == http.StatusCreated {
		t.Skipf("the endpoint is open to viewers without a token")
	}
	return r
}

func whepBearer(t *T) {
	r := t.guarded()
	t.Want(r, "401 to an offer without a token", Is(http.StatusUnauthorized))
	challenges := r.Header.Values("WWW-Authenticate")
	if !slices.ContainsFunc(challenges, func(c string) bool { return strings.HasPrefix(strings.ToLower(c), "bearer") }) {
		t.Errorf("expected WWW-Authenticate: Bearer, got %q", challenges)
	}
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		r := t.PostOffer(t.Room.WHEP, PlayOffer(), header("Authorization", scheme+" "+t.Token()))
		t.Want(r, "201 to "+scheme, Is(http.StatusCreated))
	}
	wrong := t.PostOffer(t.Room.WHEP, PlayOffer(), header("Authorization", "Bearer "+randomText(16)))
	t.Want(wrong, "401 or 403 to another token", Is(http.StatusUnauthorized, http.StatusForbidden))
}

func whepExtensionChecks() []Check {
	return []Check{
		{
			ID: "WHEP-EXT-01", Section: "WHEP 4.10", Level: Must, Stage: Live,
			What: "each extension that is supported is announced in the 201 by one link with a URL",
			Run: func(t *T) {
				times := map[string]int{}
				for _, l := range t.extensionLinks() {
					for _, rel := range l.Rel {
						times[rel]++
					}
					if u, err := url.Parse(l.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" {
						t.Errorf("%v: expected an http or https URL, got %q", l.Rel, l.Target)
					}
				}
				for rel, n := range times {
					if n > 1 && strings.HasPrefix(rel, extPrefix) {
						t.Errorf("%s: expected one link, got %d", rel, n)
					}
				}
			},
		},
		{
			ID: "WHEP-EXT-02", Section: "WHEP 4.10", Level: MustNot, Stage: Live,
			What: "no extension is needed by a player that knows none",
			Run: func(t *T) {
				s := t.watch(PlayOffer())
				if s.ETag != "" {
					t.Want(t.Patch(s, TrickleOf(s.Offer), s.ETag), "204 or 422 to a trickle", Is(http.StatusNoContent, http.StatusUnprocessableEntity))
				}
				t.Want(t.Delete(s), "2xx to DELETE", Success)
			},
		},
		{
			ID: "WHEP-EXT-03", Section: "WHEP 4.10", Level: Must, Stage: Live,
			What: "the names of extensions below " + extPrefix + " are registered ones",
			Run: func(t *T) {
				for _, l := range t.extensionLinks() {
					for _, rel := range l.Rel {
						if rel != relEvents && rel != relLayer {
							t.Errorf("expected %s or %s, got %s", relEvents, relLayer, rel)
						}
					}
				}
			},
		},
	}
}

// extensionLinks are the links to extensions of WHEP, and of WHIP, which do not
// belong here.
func (t *T) extensionLinks() []Link {
	var list []Link
	for _, l := range t.watch(PlayOffer()).Created.Links() {
		if slices.ContainsFunc(l.Rel, func(rel string) bool { return strings.HasPrefix(rel, "urn:ietf:params:wh") }) {
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		t.Skipf("the server announces no extension")
	}
	return list
}

func whepSecurityChecks() []Check {
	return []Check{
		{
			ID: "WHEP-SEC-01", Section: "WHEP 5", Level: Should, Stage: Live,
			What: "the rate of requests is limited, with Retry-After, and the session goes on",
			Run:  whepRateLimit,
		},
		{
			ID: "WHEP-SEC-02", Section: "WHEP 5", Level: Should, Stage: Live,
			What: "the URLs of sessions cannot be guessed",
			Run:  func(t *T) { t.wantUnguessable(func() *Session { return t.watch(PlayOffer()) }) },
		},
		{
			ID: "WHEP-SEC-03", Section: "WHEP 5", Level: Must, Stage: Idle,
			What: "HTTPS is used outside of laboratories",
			Run:  func(t *T) { t.wantHTTPS(t.Room.WHEP) },
		},
	}
}

// whepRateLimit patches one session, because limits by address would shut out
// the other checks, too.
func whepRateLimit(t *T) {
	s := t.trickling()
	const requests, at, atATime = 400, "PATCH", 8
	var mu sync.Mutex // guards limited
	var limited *Response
	var senders sync.WaitGroup
	for range atATime {
		senders.Go(func() {
			for range requests / atATime {
				r, err := t.Try(Request{Method: at, URL: s.URL, Type: typeFragment, Body: TrickleOf(s.Offer)}.With("If-Match", s.ETag))
				mu.Lock()
				if err == nil && (r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable) {
					limited = r
				}
				enough := limited != nil
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	senders.Wait()
	if limited == nil {
		t.Fatalf("expected 429 to some of %d requests at once, got none", requests)
	}
	wait := retryAfter(limited)
	if wait == 0 {
		t.Errorf("expected Retry-After in the %d, got %q", limited.Status, limited.Header.Get("Retry-After"))
	}
	t.Sleep(time.Duration(min(max(wait, 1), 20)) * time.Second)
	t.WantIntact(s)
}

// wantHTTPS wants TLS of an endpoint that is not in a laboratory.
func (t *T) wantHTTPS(endpoint string) {
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatalf("expected a URL, got %q", endpoint)
	}
	if u.Scheme == "https" {
		return // and it answered, or there would be no check
	}
	ip := net.ParseIP(u.Hostname())
	if u.Hostname() == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()) {
		t.Skipf("%s is a laboratory", u.Hostname())
	}
	t.Errorf("expected https, got %s", u.Scheme)
}
