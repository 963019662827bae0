package conformance

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestReach: where every check would fail for one reason, that reason is said
// instead.
func TestReach(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int // of every answer
		target Target
		want   string
	}{
		{"nothing there", http.StatusNotFound, Target{WHIP: "/whip/x"}, "--whip"},
		{"a file server", http.StatusNotImplemented, Target{WHIP: "/x"}, "no such endpoint: it says 501"},
		{"no player's endpoint", http.StatusMethodNotAllowed, Target{WHEP: "/x"}, "no such endpoint: it says 405"},
		{"a token is needed", http.StatusUnauthorized, Target{WHIP: "/x"}, "wants a token"},
		{"another token is needed", http.StatusForbidden, Target{WHIP: "/x", Token: "t"}, "refuses the token with 403"},
		{"the checks of tokens", http.StatusUnauthorized, Target{WHIP: "/x", Token: "t", Only: []string{"WHIP-AUTH"}}, ""},
		{"nobody on air", http.StatusNotFound, Target{WHEP: "/x"}, ""},
		{"nobody on air, by the draft", http.StatusConflict, Target{WHEP: "/x"}, ""},
		{"a server that is broken", http.StatusInternalServerError, Target{WHIP: "/x"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tc.status) }))
			defer server.Close()
			if tc.target.WHIP != "" {
				tc.target.WHIP = server.URL + tc.target.WHIP
			}
			if tc.target.WHEP != "" {
				tc.target.WHEP = server.URL + tc.target.WHEP
			}
			client := tc.target.newClient()
			defer client.CloseIdleConnections()
			err := tc.target.reach(t.Context(), client)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v, want it judged", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestLimitIsWaitedFor: a limit on the suite's address is not a verdict, but for
// the checks that are about limits.
func TestLimitIsWaitedFor(t *testing.T) {
	for _, tc := range []struct {
		name   string
		stage  Stage
		method string
		want   int32 // requests that arrive
	}{
		{"a check", Idle, http.MethodPost, 2},
		{"one about limits", Last, http.MethodPost, 1},
		{"a session's own limit", Idle, http.MethodPatch, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1) == 1 {
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(http.StatusTooManyRequests)
				}
			}))
			defer server.Close()
			target := &Target{}
			check := &T{check: &Check{Stage: tc.stage}, suite: &suite{target: target}, ctx: t.Context(), client: target.newClient()}
			defer check.client.CloseIdleConnections()
			if _, err := check.Try(Request{Method: tc.method, URL: server.URL}); err != nil {
				t.Fatal(err)
			}
			if got := requests.Load(); got != tc.want {
				t.Errorf("got %d requests, want %d", got, tc.want)
			}
		})
	}
}
