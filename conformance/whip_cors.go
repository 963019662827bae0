package conformance

import (
	"net/http"
	"slices"
	"strings"
)

// origin is where the pages are that checks pretend to be.
const origin = "https://page.conformance.example"

// whipCORSChecks judge what browsers need to be told.
func whipCORSChecks() []Check {
	row := rows("WHIP-CORS")
	return []Check{
		row(1, "RFC 9725 4.2", Must, "the endpoint answers CORS preflights of POST", func(t *T) {
			r := t.preflight(t.Room.WHIP, http.MethodPost, "authorization,content-type", origin)
			t.wantPreflight(r, http.MethodPost, "content-type")
		}),
		row(2, "RFC 9725 4.2", Should, "OPTIONS on the endpoint is 200 with Accept-Post", func(t *T) {
			for _, r := range []*Response{
				t.preflight(t.Room.WHIP, http.MethodPost, "content-type", origin), t.Do(Request{Method: http.MethodOptions, URL: t.Room.WHIP}),
			} {
				t.Want(r, "200", Is(http.StatusOK))
				if got := r.Header.Get("Accept-Post"); got != typeSDP {
					t.Errorf("expected Accept-Post: application/sdp, got %q", got)
				}
			}
		}),
		row(3, "FETCH", Must, "a preflight needs no token", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			for _, at := range []string{t.Room.WHIP, s.URL} {
				r := t.Do(Request{Method: http.MethodOptions, URL: at, Anonymous: true}.With("Origin", origin).
					With("Access-Control-Request-Method", http.MethodPost).With("Access-Control-Request-Headers", "authorization"))
				t.Want(r, "2xx without a token", Success)
			}
		}),
		row(4, "FETCH", Must, "every response allows its origin, errors too", checkOriginEverywhere),
		row(5, "FETCH", Choice, "the request fields that clients send are allowed one by one", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			for _, at := range []string{t.Room.WHIP, s.URL} {
				allowed := listed(t.preflight(at, http.MethodPost, "authorization", origin), "Access-Control-Allow-Headers")
				for _, name := range []string{"Authorization", "Content-Type", "If-Match", "If-None-Match", "ETag", "Link"} {
					if !slices.Contains(allowed, strings.ToLower(name)) {
						t.Errorf("expected %s among the allowed fields of %s, got %v", name, at, allowed)
					}
				}
			}
		}),
		row(6, "FETCH", Choice, "the methods that clients use are allowed on the endpoint and on sessions", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			for _, at := range []string{t.Room.WHIP, s.URL} {
				allowed := listed(t.preflight(at, http.MethodPost, "content-type", origin), "Access-Control-Allow-Methods")
				for _, name := range []string{"OPTIONS", "GET", "HEAD", "POST", "PATCH", "DELETE"} {
					if !slices.Contains(allowed, strings.ToLower(name)) {
						t.Errorf("expected %s among the allowed methods of %s, got %v", name, at, allowed)
					}
				}
			}
		}),
		row(7, "FETCH", Choice, "the response fields that clients read are exposed", checkExposed),
		row(8, "FETCH", Must, "a session answers preflights of PATCH and DELETE", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			if !unsupported(t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*"))) {
				t.wantPreflight(t.preflight(s.URL, http.MethodPatch, "authorization,content-type,if-match", origin), http.MethodPatch, "content-type", "if-match")
			}
			t.wantPreflight(t.preflight(s.URL, http.MethodDelete, "authorization", origin), http.MethodDelete)
			t.WantIntact(s)
		}),
		row(9, "Sluice", Choice, "a preflight on a session that is not there succeeds", func(t *T) {
			s := t.Open(t.Room.WHIP, PublishOffer())
			for _, at := range []string{guess(s.URL), malformedSession(s.URL)} {
				t.Want(t.preflight(at, http.MethodPatch, "if-match", origin), "2xx", Success)
			}
		}),
		row(10, "Sluice", Choice, "preflights may be kept for a day, and vary with an origin that is echoed", func(t *T) {
			r := t.preflight(t.Room.WHIP, http.MethodPost, "content-type", origin)
			if got := r.Header.Get("Access-Control-Max-Age"); t.Strict() && got != "86400" {
				t.Errorf("expected Access-Control-Max-Age: 86400, got %q", got)
			}
			if r.Header.Get("Access-Control-Allow-Origin") != "*" && !slices.Contains(listed(r, "Vary"), "origin") {
				t.Errorf("expected Vary: Origin where the origin is echoed, got %q", r.Header.Get("Vary"))
			}
		}),
		row(11, "FETCH", Choice, "the origin null, as after a redirect, is allowed", func(t *T) {
			t.wantReadable(t.preflight(t.Room.WHIP, http.MethodPost, "content-type", "null"), "null")
			t.wantReadable(t.PostOffer(t.Room.WHIP, PublishOffer(), header("Origin", "null")), "null")
		}),
	}
}

// preflight asks as browsers do, without a token.
func (t *T) preflight(at, method, fields, from string) *Response {
	return t.Do(Request{Method: http.MethodOptions, URL: at, Anonymous: true}.With("Origin", from).
		With("Access-Control-Request-Method", method).With("Access-Control-Request-Headers", fields))
}

// listed are the members of a list field, in lower case.
func listed(r *Response, name string) []string {
	var list []string
	for member := range strings.SplitSeq(strings.Join(r.Header.Values(name), ","), ",") {
		if member = strings.ToLower(strings.TrimSpace(member)); member != "" {
			list = append(list, member)
		}
	}
	return list
}

// wantReadable wants a response that scripts of an origin may read.
func (t *T) wantReadable(r *Response, from string) {
	if got := r.Header.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "*" && got[0] != from {
		t.Errorf("expected Access-Control-Allow-Origin of * or %s on the %d to %s, got %q", from, r.Status, r.Request.Method, got)
	}
}

// wantPreflight wants a preflight that lets a method with some fields pass.
func (t *T) wantPreflight(r *Response, method string, fields ...string) {
	t.Want(r, "2xx to a preflight of "+method, Success)
	t.wantReadable(r, origin)
	methods := listed(r, "Access-Control-Allow-Methods")
	if method != http.MethodPost && !slices.Contains(methods, strings.ToLower(method)) && !slices.Contains(methods, "*") {
		t.Errorf("expected %s among the allowed methods, got %v", method, methods)
	}
	allowed := listed(r, "Access-Control-Allow-Headers")
	if t.Token() != "" && !slices.Contains(allowed, "authorization") { // a star does not stand for it
		t.Errorf("expected authorization among the allowed fields, got %v", allowed)
	}
	for _, f := range fields {
		if !slices.Contains(allowed, f) && !slices.Contains(allowed, "*") {
			t.Errorf("expected %s among the allowed fields, got %v", f, allowed)
		}
	}
}

// checkOriginEverywhere looks at successes and at every kind of error that can
// be had from outside.
func checkOriginEverywhere(t *T) {
	s := t.Open(t.Room.WHIP, PublishOffer(), header("Origin", origin))
	t.wantReadable(s.Created, origin)
	for _, q := range []Request{
		{Method: http.MethodGet, URL: t.Room.WHIP},
		{Method: http.MethodOptions, URL: t.Room.WHIP},
		Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: TrickleOf(s.Offer)}.With("If-Match", or(s.ETag, "*")),
		Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: RestartOf(s.Offer)}.With("If-Match", "*"),
	} {
		t.wantReadable(t.Do(q.With("Origin", origin)), origin)
	}
	for _, m := range mistakes() {
		q := m.request(t, s)
		r := t.Do(q.With("Origin", origin))
		t.discard(r)
		if r.Status >= 400 {
			t.wantReadable(r, origin)
		}
	}
	t.wantReadable(t.Do(Request{Method: http.MethodDelete, URL: s.URL}.With("Origin", origin)), origin)
}

func checkExposed(t *T) {
	want := []string{"Location", "ETag", "Link"}
	if t.Strict() {
		want = append(want, "Accept-Patch", "Accept-Post", "Retry-After", "WWW-Authenticate", "Access-Control-Allow-Methods")
	}
	s := t.Open(t.Room.WHIP, PublishOffer(), header("Origin", origin))
	for _, r := range []*Response{
		s.Created, t.Patch(s, RestartOf(s.Offer), "*", header("Origin", origin)),
		t.Do(Request{Method: http.MethodOptions, URL: t.Room.WHIP}.With("Origin", origin)),
	} {
		if unknownKind(r.Status) {
			continue
		}
		exposed := listed(r, "Access-Control-Expose-Headers")
		for _, name := range want {
			if !slices.Contains(exposed, strings.ToLower(name)) && !slices.Contains(exposed, "*") {
				t.Errorf("expected %s to be exposed on the %d to %s, got %v", name, r.Status, r.Request.Method, exposed)
			}
		}
	}
}
