package conformance

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
)

// whipPatchChecks judge what is common to all PATCH requests.
func whipPatchChecks() []Check {
	row := rows("WHIP-PATCH")
	return []Check{
		row(1, "RFC 9725 4.3.1", Must, "a fragment of another media type is refused and changes nothing", func(t *T) {
			s := t.tagged()
			for _, mediaType := range []string{"text/plain", typeSDP, ""} {
				t.Want(t.Patch(s, TrickleOf(s.Offer), s.ETag, typed(mediaType)), "4xx to type "+mediaType, ClientError)
			}
			t.WantIntact(s)
		}),
		row(2, "RFC 5789 2.2", Choice, "another media type is 415, with Accept-Patch", func(t *T) {
			s := t.tagged()
			r := t.Patch(s, TrickleOf(s.Offer), s.ETag, typed("text/plain"))
			t.WantChoice(r, http.StatusUnsupportedMediaType, "4xx", ClientError)
			if got := r.Header.Get("Accept-Patch"); r.Status == http.StatusUnsupportedMediaType && got != typeFragment {
				t.Errorf("expected Accept-Patch: %s on the 415, got %q", typeFragment, got)
			}
		}),
		row(3, "RFC 9725 4.3.1", Must, "a fragment that cannot be read is refused and changes nothing", checkMalformedFragments),
		row(4, "RFC 9725 4.3.1", Must, "of trickle and restart, the one that is not supported is 422",
			func(t *T) { t.wantHalves(t.Open(t.Room.WHIP, PublishOffer())) }),
		row(5, "RFC 9725 4.3.1", Must, "a fragment without If-Match is 428", func(t *T) {
			for _, kind := range t.kinds() {
				s := t.tagged()
				t.Want(t.Patch(s, kind.of(s.Offer), ""), "428 without If-Match", Is(http.StatusPreconditionRequired))
				t.WantIntact(s)
				t.Delete(s)
			}
		}),
		row(6, "RFC 9110 13.1.1", Must, "an If-Match that does not match is 412", func(t *T) {
			for _, kind := range t.kinds() {
				s := t.tagged()
				t.Want(t.Patch(s, kind.of(s.Offer), `"nope"`), "412 to a wrong If-Match", Is(http.StatusPreconditionFailed))
				t.WantIntact(s)
				t.Delete(s)
			}
		}),
		row(7, "RFC 9110 13.1.1", Must, "If-Match: * matches, with a trickle too", func(t *T) {
			for _, kind := range t.kinds() {
				s := t.tagged()
				t.Want(t.Patch(s, kind.of(s.Offer), "*"), kind.expected+" with If-Match: *", kind.taken)
				t.Delete(s)
			}
		}),
		row(8, "RFC 9725 4.3.3", Choice, "If-Match with the star in quotes, as the RFC prints it, is a star", func(t *T) {
			s := t.takesTrickle()
			t.WantChoice(t.Patch(s, TrickleOf(s.Offer), `"*"`), http.StatusNoContent, "204 or 412", Is(http.StatusNoContent, http.StatusPreconditionFailed))
			t.WantChoice(t.Patch(s, RestartOf(s.Offer), `"*"`), http.StatusOK, "200, 412 or 422",
				Is(http.StatusOK, http.StatusPreconditionFailed, http.StatusUnprocessableEntity))
		}),
		row(9, "RFC 9110 13.1.1", Must, "a list of tags matches by any of them, and weak tags never match", func(t *T) {
			s := t.takesTrickle()
			if s.ETag == "" {
				t.Skipf("201 has no ETag")
			}
			for _, list := range []string{`"a", ` + s.ETag, s.ETag + `,"b"`, `"a" , ` + s.ETag + ` ,"b"`} {
				t.Want(t.Patch(s, TrickleOf(s.Offer), list), "204 to the list "+list, Is(http.StatusNoContent))
			}
			t.Want(t.Patch(s, TrickleOf(s.Offer), "W/"+s.ETag), "412 to the weak tag", Is(http.StatusPreconditionFailed))
			t.Want(t.Patch(s, TrickleOf(s.Offer), `"a", "b"`), "412 to a list of others", Is(http.StatusPreconditionFailed))
		}),
		row(10, "Sluice", Choice, "a trickle without If-Match is not taken, unless the server says so", func(t *T) {
			s := t.takesTrickle()
			t.WantChoice(t.Patch(s, TrickleOf(s.Offer), ""), http.StatusPreconditionRequired, "204 or 428",
				Is(http.StatusNoContent, http.StatusPreconditionRequired))
		}),
		row(11, "RFC 9725 4.3.1", Client, "fragments that overlap are all taken", checkParallelTrickle),
		row(12, "RFC 9110 13.2.1", Choice, "of several faults of one request the first in the usual order is told", checkFaultOrder),
		row(13, "Sluice", Choice, "a session that never was or is over is 404", func(t *T) {
			s := t.tagged()
			t.Delete(s)
			for _, at := range []string{s.URL, guess(s.URL), malformedSession(s.URL)} {
				r := t.Do(Request{Method: http.MethodPatch, URL: at, Type: typeFragment, Body: TrickleOf(s.Offer)}.With("If-Match", s.ETag))
				t.WantChoice(r, http.StatusNotFound, "404 or 410", Is(http.StatusNotFound, http.StatusGone))
			}
		}),
	}
}

// tagged opens a session that takes fragments of one kind or the other.
func (t *T) tagged() *Session {
	s := t.Open(t.Room.WHIP, PublishOffer())
	if s.ETag != "" {
		return s
	}
	if r := t.Patch(s, TrickleOf(s.Offer), "*"); unsupported(r) {
		t.Skipf("the server takes no fragments: %v", r)
	}
	return s
}

// kind is a kind of fragment and what tells that it was taken.
type kind struct {
	of       func(offer string) string
	expected string
	taken    Codes
}

// kinds are those that the server takes; the check is skipped when there are none.
func (t *T) kinds() []kind {
	var list []kind
	var refused *Response
	for _, kind := range []kind{
		{TrickleOf, "204 to a trickle", Is(http.StatusNoContent)},
		{RestartOf, "2xx to a restart", Success}, // which one is WHIP-RST-01
	} {
		if r, ok := t.supports(kind.of); ok {
			list = append(list, kind)
		} else {
			refused = r
		}
	}
	if len(list) == 0 {
		t.Skipf("the server takes no fragments: %v", refused)
	}
	return list
}

// guess is a session URL of the same form with another secret.
func guess(at string) string {
	for range 8 { // a short secret may be hit
		if other := anySecret(at); other != at {
			return other
		}
	}
	return at + randomText(4)
}

// anySecret replaces up to 16 characters at the end of the last element of a path.
func anySecret(at string) string {
	b := []byte(at)
	random := randomText(16)
	for i := range min(16, len(b)) {
		c := b[len(b)-1-i]
		if c == '/' {
			break // beyond the last element it would be another resource, or host
		}
		if c == '.' || c == '-' || c == '=' || c == '?' {
			continue
		}
		b[len(b)-1-i] = random[i]
	}
	return string(b)
}

// malformedSession is beside a session URL, and of no form that servers use.
func malformedSession(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return at
	}
	u.Path, u.RawPath, u.RawQuery = path.Join(path.Dir(u.Path), "not a session~"), "", ""
	return u.String()
}

func checkMalformedFragments(t *T) {
	s := t.tagged()
	ufrag, pwd := sdpLine(s.Offer, "a=ice-ufrag:"), sdpLine(s.Offer, "a=ice-pwd:")
	for name, body := range map[string]string{
		"a greeting":           "hello",
		"nothing":              "",
		"a pwd without ufrag":  "a=ice-pwd:" + pwd + "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n",
		"a ufrag without pwd":  "a=ice-ufrag:" + ufrag + "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n",
		"a fragment with NUL":  TrickleOf(s.Offer) + "a=x\x00\r\n",
		"a pwd that is short":  Fragment("abcdef", "short", "0", ""),
		"a ufrag that is tiny": Fragment("ab", randomText(12), "0", ""),
	} {
		r := t.Patch(s, body, or(s.ETag, "*"))
		t.WantChoice(r, http.StatusBadRequest, "4xx to "+name, ClientError)
	}
	t.WantIntact(s)
}

// wantHalves applies to sessions of servers that do one of two things.
func (t *T) wantHalves(s *Session) {
	trickle := t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*"))
	restart := t.Patch(s, RestartOf(s.Offer), "*")
	switch {
	case Success(trickle.Status) && Success(restart.Status):
		t.Skipf("the server supports both")
	case !Success(trickle.Status) && !Success(restart.Status):
		t.Skipf("the server supports neither: %v", trickle)
	case Success(trickle.Status):
		t.Want(restart, "422 to a restart", Is(http.StatusUnprocessableEntity))
	default:
		t.Want(trickle, "422 to a trickle", Is(http.StatusUnprocessableEntity))
	}
}

func checkParallelTrickle(t *T) {
	s := t.takesTrickle()
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			body := Fragment(sdpLine(s.Offer, "a=ice-ufrag:"), sdpLine(s.Offer, "a=ice-pwd:"), "0",
				"a=candidate:1 1 udp 2130706431 127.0.0.1 "+[]string{"40000", "40001"}[n%2]+" typ host\r\n")
			r, err := t.Try(Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: body}.With("If-Match", s.ETag))
			if err != nil {
				t.Errorf("expected 204 to one of 20 fragments at a time, got no response: %v", err)
				return
			}
			t.Want(r, "204 to one of 20 fragments at a time", Is(http.StatusNoContent))
		})
	}
	wg.Wait()
	t.WantIntact(s)
}

// checkFaultOrder sends requests with two faults each, of which the first is to
// be told.
func checkFaultOrder(t *T) {
	s := t.tagged()
	bad := Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: "hello"}
	with := func(change ...func(*Request)) Request {
		r := bad
		for _, c := range change {
			c(&r)
		}
		return r
	}
	elsewhere := func(r *Request) { r.URL = guess(s.URL) }
	large := func(r *Request) { r.Body = strings.Repeat("a=x\r\n", 40<<10) }
	for _, tc := range []struct {
		name    string
		request Request
		want    int
	}{
		{"of an unknown session and a wrong type", with(elsewhere, typed("text/plain")), http.StatusNotFound},
		{"of an unknown session and no If-Match", with(elsewhere), http.StatusNotFound},
		{"of a wrong type and a large body", with(typed("text/plain"), large), http.StatusUnsupportedMediaType},
		{"of a wrong type and no If-Match", with(typed("text/plain")), http.StatusUnsupportedMediaType},
		{"of a large body and no If-Match", with(large), http.StatusRequestEntityTooLarge},
		{"of no If-Match and a malformed body", with(), http.StatusPreconditionRequired},
		{"of a wrong If-Match and a malformed body", with(header("If-Match", `"nope"`)), http.StatusPreconditionFailed},
		{"of a malformed body alone", with(header("If-Match", s.ETag)), http.StatusBadRequest},
	} {
		t.WantChoice(t.Do(tc.request), tc.want, "4xx to the faults "+tc.name, ClientError)
	}
	t.WantIntact(s)
}
