package conformance

import (
	"net/http"
	"strings"
)

// Session is a session that a POST opened.
type Session struct {
	URL, ETag string
	Offer     string
	Answer    string
	Created   *Response
}

// PostOffer sends an offer to an endpoint. A session that comes of it is
// deleted when the check is over.
func (t *T) PostOffer(endpoint, offer string, change ...func(*Request)) *Response {
	if endpoint == "" {
		t.Skipf("the target has no such endpoint")
	}
	r := Request{Method: http.MethodPost, URL: endpoint, Type: typeSDP, Body: offer}
	for _, c := range change {
		c(&r)
	}
	resp := t.follow(r)
	t.discard(resp)
	return resp
}

// discard ends the session of a response, if it made one, when the check is over,
// also when the check's time is up: nothing stays behind on the server.
func (t *T) discard(r *Response) {
	at := r.Location()
	if at == "" || r.Status != http.StatusCreated && r.Status != http.StatusNotAcceptable {
		return
	}
	t.Cleanup(func() {
		if !t.over[at] {
			t.end(at)
		}
	})
}

// ask is PostOffer where the response is all that is wanted: its session is ended
// at once, since many servers have but one publisher in a room.
func (t *T) ask(endpoint, offer string, change ...func(*Request)) *Response {
	r := t.PostOffer(endpoint, offer, change...)
	if at := r.Location(); at != "" && r.Status == http.StatusCreated {
		t.Delete(&Session{URL: at})
	}
	return r
}

// end is the DELETE of a clean-up. The session may have ended by itself.
func (t *T) end(at string) {
	_, _ = send(t.parting, t.client, Request{Method: http.MethodDelete, URL: at}, t.Token())
}

// Open is PostOffer for offers that must be taken.
func (t *T) Open(endpoint, offer string, change ...func(*Request)) *Session {
	return t.opened(t.PostOffer(endpoint, offer, change...), offer)
}

// opened is the session of a 201.
func (t *T) opened(resp *Response, offer string) *Session {
	if resp.Status != http.StatusCreated {
		t.Fatalf("expected 201, got %v", resp)
	}
	s := &Session{URL: resp.Location(), ETag: resp.Header.Get("ETag"), Offer: offer, Answer: resp.Body, Created: resp}
	if s.URL == "" {
		t.Fatalf("expected a Location in the 201, got none")
	}
	return s
}

// Patch sends a fragment to a session; ifMatch "" sends no If-Match.
func (t *T) Patch(s *Session, fragment, ifMatch string, change ...func(*Request)) *Response {
	r := Request{Method: http.MethodPatch, URL: s.URL, Type: typeFragment, Body: fragment}
	if ifMatch != "" {
		r = r.With("If-Match", ifMatch)
	}
	for _, c := range change {
		c(&r)
	}
	return t.Do(r)
}

// Delete ends a session.
func (t *T) Delete(s *Session) *Response {
	r := t.Do(Request{Method: http.MethodDelete, URL: s.URL})
	if Success(r.Status) {
		if t.over == nil {
			t.over = map[string]bool{}
		}
		t.over[s.URL] = true
	}
	return r
}

// WantIntact fails the check when the session does not take a trickle with its
// tag any more.
func (t *T) WantIntact(s *Session) {
	r := t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*"))
	if unsupported(r) || r.Status == http.StatusUnprocessableEntity && !t.Strict() {
		return // no PATCH, or restarts alone: then 422 is what a living session says (RFC 9725 section 4.3.1)
	}
	if r.Status != http.StatusNoContent {
		t.Errorf("expected the session to be intact (204 to a trickle), got %v", r)
	}
}

// unsupported tells whether a server has no PATCH of sessions.
func unsupported(r *Response) bool {
	return r.Status == http.StatusMethodNotAllowed || r.Status == http.StatusNotImplemented
}

// unknownKind are the answers of a server that does not know a kind of fragment.
var unknownKind = Is(http.StatusUnprocessableEntity, http.StatusMethodNotAllowed, http.StatusNotImplemented)

// supports tells whether a server takes a kind of fragment, by a session of its
// own, and what it said.
func (t *T) supports(fragment func(offer string) string) (*Response, bool) {
	s := t.Open(t.Room.WHIP, PublishOffer())
	r := t.Patch(s, fragment(s.Offer), or(s.ETag, "*"))
	t.Delete(s)
	return r, !unknownKind(r.Status)
}

// anonymous sends no token.
func anonymous(r *Request) { r.Anonymous = true }

// typed sends another Content-Type.
func typed(mediaType string) func(*Request) {
	return func(r *Request) { r.Type = mediaType }
}

// header adds a header field.
func header(name, value string) func(*Request) {
	return func(r *Request) { *r = r.With(name, value) }
}

// sdpLine is the value of the first line that begins with prefix, "" when there is none.
func sdpLine(text, prefix string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSuffix(line, "\r"), prefix); ok {
			return v
		}
	}
	return ""
}

// hasLine tells whether a line is there as it is.
func hasLine(text, line string) bool {
	for l := range strings.SplitSeq(text, "\n") {
		if strings.TrimSuffix(l, "\r") == line {
			return true
		}
	}
	return false
}

// lineWith is the first line that begins with prefix and has part, "" when there is none.
func lineWith(text, prefix, part string) string {
	for l := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(l, prefix) && strings.Contains(l, part) {
			return strings.TrimSuffix(l, "\r")
		}
	}
	return ""
}
