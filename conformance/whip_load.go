package conformance

import (
	"net/http"
	"net/url"
	"strings"
)

// whipLoadChecks judge redirects, and what a server does when it has too much to do.
func whipLoadChecks() []Check {
	row := rows("WHIP-LB")
	last := func(c Check) Check {
		c.Stage = Last
		return c
	}
	return []Check{
		row(2, "RFC 9725 4.5", MustNot, "nothing is redirected with 301 or 302", func(t *T) {
			t.noRedirect(http.StatusMovedPermanently, http.StatusFound)
		}),
		row(4, "RFC 9110 15.4.4", Choice, "nothing is redirected with 303", func(t *T) {
			t.noRedirect(http.StatusSeeOther)
		}),
		row(7, "RFC 9725 4.5", Client, "a session is reached without redirects", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			for _, r := range []*Response{t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*")), t.Delete(s)} {
				t.Want(r, "no redirect", func(status int) bool { return status < 300 || status >= 400 })
			}
		}),
		last(row(9, "RFC 9725 4.5", May, "a server that is full says 503", func(t *T) {
			r := t.fill()
			if r == nil {
				t.Skipf("%d sessions at a time did not fill the server", fullAt)
			}
			t.WantChoice(r, http.StatusServiceUnavailable, "503 or 429", tooMany)
		})),
		last(row(10, "RFC 9725 4.5", May, "a server that is full says when to come back", func(t *T) {
			r := t.fill()
			if r == nil {
				t.Skipf("%d sessions at a time did not fill the server", fullAt)
			}
			t.wantRetryAfter(r)
		})),
		last(row(12, "RFC 9725 5", Should, "a burst of POSTs is slowed down", checkBurst)),
		{
			ID: "WHIP-PATCH-14", Section: "RFC 9725 5", Level: Should, Stage: Last,
			What: "a burst of fragments to one session is slowed down, and the session lives on", Run: checkPatchBurst,
		},
	}
}

// noRedirect sends what servers and proxies like to redirect, and wants none of
// the codes.
func (t *T) noRedirect(codes ...int) {
	s := t.Open(t.Room.WHIP, PublishOffer())
	for _, endpoint := range []string{t.Room.WHIP, s.URL} {
		for _, at := range oddPaths(endpoint) {
			for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
				if method == http.MethodDelete && at == s.URL {
					continue // it would end what is tried
				}
				q := Request{Method: method, URL: at}
				if method == http.MethodPost {
					q.Type, q.Body = typeSDP, PublishOffer()
				}
				r := t.Do(q)
				if Is(codes...)(r.Status) {
					t.Errorf("expected no %d, got one to %s %s", r.Status, method, at)
				}
				t.discard(r)
			}
		}
	}
}

// oddPaths are a URL and what is nearly it: servers "correct" such paths.
func oddPaths(at string) []string {
	list := []string{at}
	u, err := url.Parse(at)
	if err != nil {
		return list
	}
	for _, p := range []string{u.Path + "/", strings.ToUpper(u.Path), strings.Replace(u.Path, "/", "//", 1), "/." + u.Path} {
		odd := *u
		odd.Path, odd.RawPath = p, ""
		list = append(list, odd.String())
	}
	return list
}

// fullAt is how many sessions are opened, none of which connects, to see
// whether there is a bound.
const fullAt = 600

// fill opens sessions until one is refused for their number, and returns that
// answer; nil when none was.
func (t *T) fill() *Response {
	rooms := t.suite.siblings
	return t.flood(fullAt, func(int) Request {
		q := Request{Method: http.MethodPost, URL: t.Room.WHIP, Type: typeSDP, Body: PublishOffer()}
		if rooms {
			q.URL = t.suite.target.room("c" + randomText(5)).WHIP
		}
		return q
	}, tooMany)
}

// checkBurst sends offers that cannot be read: they cost the server least. Only
// when all are answered, it sends right ones.
func checkBurst(t *T) {
	r := t.flood(guesses, func(int) Request {
		return Request{Method: http.MethodPost, URL: t.Room.WHIP, Type: typeSDP, Body: "hello"}
	}, tooMany)
	if r == nil {
		r = t.fill()
	}
	if r == nil {
		t.Errorf("expected 429 or 503 in a burst of %d malformed and %d right offers, got none", guesses, fullAt)
		return
	}
	t.wantRetryAfter(r)
}

// patchBurst is how many fragments a session is sent at once.
const patchBurst = 200

func checkPatchBurst(t *T) {
	s := t.takesTrickle()
	r := t.flood(patchBurst, func(int) Request {
		return Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: TrickleOf(s.Offer)}.With("If-Match", or(s.ETag, "*"))
	}, Is(http.StatusTooManyRequests))
	if r == nil {
		t.Errorf("expected 429 to some of %d fragments, got none", patchBurst)
		return
	}
	t.wantRetryAfter(r)
	if !t.Until(checkLimit/4, func() bool {
		return t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*")).Status == http.StatusNoContent
	}) {
		t.Errorf("expected the session to take fragments again after a while, got none taken")
	}
}
