package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

func TestProblemTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range problems {
		if seen[p.name] || !regexp.MustCompile(`^[a-z-]+$`).MatchString(p.name) {
			t.Errorf("%q: a name is lower case and unique", p.name)
		}
		seen[p.name] = true
		if p.status < 400 || p.title == "" || p.remedy == "" {
			t.Errorf("%s: %+v is not whole", p.name, p)
		}
		if wants := p.status == http.StatusServiceUnavailable || p.status == http.StatusTooManyRequests; wants && p.retryAfter == 0 {
			t.Errorf("%s: a %d says when to come back", p.name, p.status)
		}
	}
	if problems[len(problems)-1].name != "internal" {
		t.Error("internal must be the last: lookup falls back to it")
	}
	for _, c := range causes {
		if !seen[c.name] {
			t.Errorf("%v is the problem %q, which is not there", c.err, c.name)
		}
	}
}

func TestProblemOf(t *testing.T) {
	offer := &session.OfferError{Problem: session.ProblemMalformed, Detail: "line 3 has no value"}
	for _, tc := range []struct {
		name   string
		err    error
		status int
		want   string
		detail string
	}{
		{"wrapped sentinel", fmt.Errorf("whip: publish in demo: %w", sfu.ErrPublicationBusy), 409, "publication-busy", ""},
		{"offer", offer, 400, "sdp-malformed", "line 3 has no value"},
		{"offer of a viewer", viewerError{offer}, 422, "sdp-malformed", "line 3 has no value"},
		{"wrapped offer", fmt.Errorf("whip: %w", offer), 400, "sdp-malformed", "line 3 has no value"},
		{"viewer's other error", viewerError{session.ErrMediaType}, 415, "media-type", ""},
		{"offer of a kind that is not in the table", &session.OfferError{Problem: "new", Detail: "x"}, 500, "internal", ""},
		{"own", &problemError{"field-invalid", "name is too long"}, 422, "field-invalid", "name is too long"},
		{"unknown", errors.New("pq: password for 10.0.0.1 wrong"), 500, "internal", ""},
		{"stopping", session.ErrClosed, 503, "stopping", ""},
		{"not live", sfu.ErrNotLive, 409, "not-live", ""},
		{"node full", session.ErrTooMany, 503, "overloaded", ""},
		{"slow", session.ErrTimeout, 408, "too-slow", ""},
	} {
		p, detail := problemOf(tc.err)
		if p.status != tc.status || p.name != tc.want || detail != tc.detail {
			t.Errorf("%s: got %d %s %q, want %d %s %q", tc.name, p.status, p.name, detail, tc.status, tc.want, tc.detail)
		}
	}
}

// TestOfferProblems: every problem that package session knows has a status.
func TestOfferProblems(t *testing.T) {
	for _, name := range []string{
		session.ProblemMalformed, session.ProblemFragment, session.ProblemDirection, session.ProblemTooManyTracks,
		session.ProblemMultipleStreams, session.ProblemNoCommonCodec, session.ProblemNoBundle, session.ProblemNoRTCPMux,
		session.ProblemDTLSSetup, session.ProblemFingerprint, session.ProblemICE, session.ProblemTooComplex,
	} {
		p, known := lookup(name)
		if !known || p.status != http.StatusBadRequest && p.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: got %d, want 400 or 422", name, p.status)
		}
	}
}

func TestJitter(t *testing.T) {
	seen := map[int]bool{}
	for range 1000 {
		n := jitter(9)
		if n < 6 || n > 12 {
			t.Fatalf("9 s became %d", n)
		}
		seen[n] = true
	}
	if len(seen) < 3 {
		t.Errorf("a crowd comes back together: %v", seen)
	}
	if n := jitter(1); n < 1 {
		t.Errorf("1 s became %d", n)
	}
}

// TestPanic: a bug in a handler costs one request, is counted, and is not told.
func TestPanic(t *testing.T) {
	var log strings.Builder
	g := &Gateway{limits: newLimits(), log: slog.New(slog.NewTextHandler(&log, nil)), stats: newStats()}
	h := g.handle("/x", func(http.ResponseWriter, *http.Request, httprouter.Params) error { panic("secret") })
	w := httptest.NewRecorder()
	h(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil), nil)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Error("a page cannot read the error: CORS is missing")
	}
	if g.stats.panics.Load() != 1 || !strings.Contains(log.String(), "secret") {
		t.Errorf("the panic was not counted or not logged: %s", log.String())
	}
}

// TestErrorAfterTheAnswer: what was written stays.
func TestErrorAfterTheAnswer(t *testing.T) {
	g := &Gateway{limits: newLimits(), log: slog.New(slog.DiscardHandler), stats: newStats()}
	h := g.handle("/x", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
		w.WriteHeader(http.StatusCreated)
		return errors.New("too late")
	})
	w := httptest.NewRecorder()
	h(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil), nil)
	if w.Code != http.StatusCreated || w.Body.Len() != 0 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// TestSecretsAreNotLogged: the path of a session URL and a token are secrets.
func TestSecretsAreNotLogged(t *testing.T) {
	var log strings.Builder
	g := &Gateway{limits: newLimits(), log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), stats: newStats()}
	h := g.handle("/s/:session", func(http.ResponseWriter, *http.Request, httprouter.Params) error { return session.ErrNotFound })
	r := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/s/node.capability?token=hidden-1", nil)
	r.Header.Set("Authorization", "Bearer hidden-2")
	h(httptest.NewRecorder(), r, httprouter.Params{{Key: "session", Value: "node.capability"}})
	if log.Len() == 0 {
		t.Error("nothing was logged")
	}
	for _, secret := range []string{"capability", "hidden"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log tells %q: %s", secret, log.String())
		}
	}
}

func TestRetryAfter(t *testing.T) {
	g := &Gateway{limits: newLimits(), log: slog.New(slog.DiscardHandler), stats: newStats()}
	for name, err := range map[string]error{"not-live": sfu.ErrNotLive, "busy": sfu.ErrPublicationBusy, "stopping": session.ErrClosed} {
		w := httptest.NewRecorder()
		g.writeProblem(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), err, "id")
		if n, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || n < 1 {
			t.Errorf("%s: Retry-After is %q", name, w.Header().Get("Retry-After"))
		}
	}
}
