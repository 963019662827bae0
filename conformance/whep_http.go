package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// whepHTTPChecks are those of the methods of an endpoint and a session of a
// viewer.
func whepHTTPChecks() []Check {
	return []Check{
		{
			ID: "WHEP-HTTP-01", Section: "WHEP 4.1", Level: Must, Stage: Live,
			What: "GET on the endpoint and on a session is a success without content",
			Run:  whepGet,
		},
		{
			ID: "WHEP-HTTP-02", Section: "WHEP 4.2", Level: Should, Stage: Idle,
			What: "HEAD on the endpoint is a success",
			Run: func(t *T) {
				t.Want(t.Do(Request{Method: http.MethodHead, URL: t.Room.WHEP}), "2xx", Success)
			},
		},
		{
			ID: "WHEP-HTTP-03", Section: "WHEP 4.2", Level: Should, Stage: Idle,
			What: "HEAD on the endpoint is answered with 200 and names application/sdp",
			Run: func(t *T) {
				r := t.Do(Request{Method: http.MethodHead, URL: t.Room.WHEP})
				t.Want(r, "200", Is(http.StatusOK))
				if got := r.Header.Get("Content-Type"); mediaType(got) != typeSDP {
					t.Errorf("expected Content-Type %s, got %q", typeSDP, got)
				}
			},
		},
		{
			ID: "WHEP-HTTP-04", Section: "WHEP 4.2", Level: Must, Stage: Idle,
			What: "HEAD on the endpoint has the status and the header fields of GET",
			Run:  whepHeadAsGet,
		},
		{
			ID: "WHEP-HTTP-05", Section: "WHEP 4.2", Level: MustNot, Stage: Idle,
			What: "the response to HEAD has no body",
			Run:  whepHeadBody,
		},
		{
			ID: "WHEP-HTTP-06", Section: "WHEP 4.2", Level: Client, Stage: Idle,
			What: "players find out what a URL is by HEAD before they have a token",
			Run: func(t *T) {
				r := t.Do(Request{Method: http.MethodHead, URL: t.Room.WHEP, Anonymous: true})
				t.WantChoice(r, http.StatusOK, "2xx or 401", func(s int) bool { return Success(s) || s == http.StatusUnauthorized })
			},
		},
		{
			ID: "WHEP-HTTP-07", Section: "WHEP 4.2", Level: Choice, Stage: Alone,
			What: "HEAD does not tell whether anybody is on air or whether the room exists",
			Run:  whepHeadTellsNothing,
		},
		{
			ID: "WHEP-HTTP-09", Section: "RFC 9110 15.5.6", Level: Must, Stage: Live,
			What: "other methods on the endpoint and on a session are refused, and 405 lists those that are not",
			Run:  whepOtherMethods,
		},
		{
			ID: "WHEP-HTTP-10", Section: "WHEP 4.1", Level: Client, Stage: Live,
			What: "each kind of error is a 4xx that players who know no more than the class can handle, with its cause in the body",
			Run:  whepErrors,
		},
	}
}

func whepGet(t *T) {
	s := t.watch(PlayOffer())
	t.wantEmptySuccess(t.Room.WHEP)
	t.wantEmptySuccess(s.URL)
	t.WantIntact(s)
}

// unlike are fields that need not be alike in two responses: of the moment, of
// the connection, and the length, which HEAD may leave out (RFC 9110 section 9.3.2).
var unlike = []string{"Date", "Age", "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Alt-Svc", "Set-Cookie"}

// compareHead tells in what two responses differ: the status, which fields there
// are, and the values of those that say something of the resource.
func compareHead(a, b *Response) error {
	var list []error
	if a.Status != b.Status {
		list = append(list, fmt.Errorf("status %d and %d", a.Status, b.Status))
	}
	names := map[string]bool{}
	for _, h := range []http.Header{a.Header, b.Header} {
		for name := range h {
			names[name] = true
		}
	}
	for name := range names {
		if slices.Contains(unlike, name) {
			continue
		}
		av, bv := a.Header.Values(name), b.Header.Values(name)
		says := slices.Contains([]string{"Content-Type", "Accept-Post", "Allow", "Vary", "Cache-Control", "Link", "Etag", "Location"}, name)
		if len(av) != len(bv) || says && !slices.Equal(av, bv) {
			list = append(list, fmt.Errorf("%s %q and %q", name, av, bv))
		}
	}
	return errors.Join(list...)
}

func whepHeadAsGet(t *T) {
	head := t.Do(Request{Method: http.MethodHead, URL: t.Room.WHEP})
	if !Success(head.Status) {
		t.Skipf("HEAD is not supported: %v", head)
	}
	get := t.Do(Request{Method: http.MethodGet, URL: t.Room.WHEP})
	if err := compareHead(head, get); err != nil {
		t.Errorf("expected HEAD and GET to be alike, got %v", err)
	}
}

// whepHeadBody looks at the bytes: an HTTP client would throw a body away.
func whepHeadBody(t *T) {
	_, body := t.raw(t.Room.WHEP, func(u *url.URL) string { return t.rawHead(http.MethodHead, u, "Connection: close") })
	if body != "" {
		t.Errorf("expected no body, got %d bytes", len(body))
	}
}

func whepHeadTellsNothing(t *T) {
	head := func(at string) *Response { return t.Do(Request{Method: http.MethodHead, URL: at}) }
	idle := head(t.Room.WHEP)
	if t.suite.siblings {
		if err := compareHead(idle, head(t.suite.target.room("n"+randomText(5)).WHEP)); err != nil {
			t.differsf("expected another room that nobody made to be alike, got %v", err)
		}
	}
	t.goOnAir()
	if err := compareHead(idle, head(t.Room.WHEP)); err != nil {
		t.differsf("expected HEAD to be alike without and with a publisher, got %v", err)
	}
}

// goOnAir publishes into the check's room until the check is over.
func (t *T) goOnAir() *Publisher {
	if t.Room.WHIP == "" {
		t.Skipf("nobody can be put on air: no WHIP endpoint was named")
	}
	p, err := Publish(t.ctx, t.Room.WHIP, t.suite.target)
	if err != nil {
		t.Fatalf("nobody could be put on air: %v", err)
	}
	t.Cleanup(p.Close)
	t.awaitViewers()
	return p
}

// awaitViewers returns when the check's room takes viewers.
func (t *T) awaitViewers() {
	ctx, cancel := context.WithTimeout(t.ctx, 15*time.Second)
	defer cancel()
	if err := awaitOnAir(ctx, t.suite.target, t.Room); err != nil {
		t.Fatalf("nobody could be put on air: %v", err)
	}
}

func whepOtherMethods(t *T) {
	s := t.watch(PlayOffer())
	some := false
	for _, r := range []Request{
		{Method: http.MethodPut, URL: t.Room.WHEP},
		{Method: http.MethodPatch, URL: t.Room.WHEP},
		{Method: http.MethodDelete, URL: t.Room.WHEP},
		{Method: http.MethodPut, URL: s.URL},
		{Method: http.MethodPost, URL: s.URL},
	} {
		resp := t.Do(r)
		where := "the endpoint"
		if r.URL == s.URL {
			where = "a session"
		}
		switch {
		case resp.Status == http.StatusMethodNotAllowed:
			some = true
			allowed := listed(resp, "Allow")
			if len(allowed) == 0 {
				t.Errorf("%s on %s: expected Allow in the 405, got none", r.Method, where)
			}
			if slices.Contains(allowed, strings.ToLower(r.Method)) {
				t.Errorf("%s on %s: expected Allow without it, got %q", r.Method, where, allowed)
			}
		case t.Strict() || resp.Status < 400 || resp.Status >= 500 && resp.Status != http.StatusNotImplemented:
			t.Errorf("%s on %s: expected 405, got %v", r.Method, where, resp)
		}
	}
	t.WantIntact(s)
	if !some {
		t.Skipf("the server never answers 405")
	}
}

func whepErrors(t *T) {
	s := t.watch(PlayOffer())
	requests := map[string]Request{
		"wrong type":      {Method: http.MethodPost, URL: t.Room.WHEP, Type: "text/plain", Body: PlayOffer()},
		"malformed offer": {Method: http.MethodPost, URL: t.Room.WHEP, Type: typeSDP, Body: "hello"},
		"no If-Match":     {Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: TrickleOf(s.Offer)},
		"no such session": {Method: http.MethodPatch, URL: guess(s.URL), Type: typeFragment, Body: TrickleOf(s.Offer)},
	}
	kinds := map[string]string{}
	for name, request := range requests {
		r := t.Do(request)
		t.discard(r)
		if !t.Want(r, "4xx to "+name, ClientError) {
			continue
		}
		kind := problemType(r)
		if kind == "" {
			if t.Strict() {
				t.Errorf("%s: expected application/problem+json with a type, got %q", name, r.Header.Get("Content-Type"))
			}
			continue
		}
		if other, ok := kinds[kind]; ok && t.Strict() {
			t.Errorf("expected a problem type for each cause, got %q for %s and %s", kind, other, name)
		}
		kinds[kind] = name
	}
}
