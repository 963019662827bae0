package session

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
)

// RestartReply is the reply to an ICE restart of a session with this offer.
func RestartReply(o *Offer, c AnswerConfig) []byte { return o.frame().marshalFragment(c) }

// PatchAlone sends fragments to the session URL of a session that has no
// transport and does nothing with them.
func PatchAlone(o *Offer) func(body string) (*httptest.ResponseRecorder, error) {
	return patchAlone(o, inert{newPatching(o).offered})
}

// PatchSlowly is PatchAlone with restarts that take their time. Overlaps counts
// the requests that were looked at while a restart was under way.
func PatchSlowly(o *Offer) (patch func(body string) (*httptest.ResponseRecorder, error), overlaps func() int64) {
	s := &slow{inert: inert{newPatching(o).offered}}
	return patchAlone(o, s), s.overlaps.Load
}

type slow struct {
	inert
	restarting, overlaps atomic.Int64
}

func (s *slow) ETag() string {
	s.overlaps.Add(s.restarting.Load())
	return s.inert.ETag()
}

func (s *slow) Restart(*Fragment) ([]byte, string, error) {
	s.restarting.Add(1)
	defer s.restarting.Add(-1)
	for range 1000 {
		runtime.Gosched() // lets the others in, if anything does
	}
	return nil, s.inert.ETag(), nil
}

func patchAlone(o *Offer, s patched) func(body string) (*httptest.ResponseRecorder, error) {
	p := newPatching(o)
	return func(body string) (*httptest.ResponseRecorder, error) {
		r := httptest.NewRequest(http.MethodPatch, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", typeFragment)
		r.Header.Set("If-Match", "*")
		w := httptest.NewRecorder()
		return w, p.serve(w, r, s)
	}
}

type inert struct{ remote credentials }

func (inert) ETag() string                              { return `"tag"` }
func (inert) Restart(*Fragment) ([]byte, string, error) { return nil, "", ErrClosed }
func (i inert) peer() credentials                       { return i.remote }
func (inert) trickle(*Fragment)                         {}
