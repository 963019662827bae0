package session

import (
	"net/http"
	"net/http/httptest"
	"strings"
)

// RestartReply is the reply to an ICE restart of a session with this offer.
func RestartReply(o *Offer, c AnswerConfig) []byte { return o.frame().marshalFragment(c) }

// PatchAlone sends fragments to the session URL of a session that has no
// transport and does nothing with them.
func PatchAlone(o *Offer) func(body string) (*httptest.ResponseRecorder, error) {
	p := newPatching(o)
	return func(body string) (*httptest.ResponseRecorder, error) {
		r := httptest.NewRequest(http.MethodPatch, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", typeFragment)
		r.Header.Set("If-Match", "*")
		w := httptest.NewRecorder()
		return w, p.serve(w, r, inert{p.offered})
	}
}

type inert struct{ remote credentials }

func (inert) ETag() string                              { return `"tag"` }
func (inert) Restart(*Fragment) ([]byte, string, error) { return nil, "", ErrClosed }
func (i inert) peer() credentials                       { return i.remote }
func (inert) trickle(*Fragment)                         {}
