package gateway_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
)

// TestGuesses sends more wrong requests of each kind than one address may, and
// then a right one.
func TestGuesses(t *testing.T) {
	for name, guess := range map[string]struct {
		method, path string
		headers      []string
		body         string
	}{
		"session URLs to delete": {method: "DELETE", path: "/s/n.guess"},
		"session URLs to patch":  {method: "PATCH", path: "/s/n.guess"},
		"tokens":                 {method: "POST", path: "/whip/demo", headers: []string{"Authorization", "Bearer wrong-token"}},
		"tokens by OPTIONS":      {method: "OPTIONS", path: "/whep/demo", headers: []string{"Authorization", "Bearer wrong-token"}},
		"offers":                 {method: "POST", path: "/whep/demo", headers: []string{"Authorization", "Bearer watch-key-1", "Content-Type", "application/sdp"}, body: "v=0"},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, withTokens(t))
			limited := 0
			for range 1000 {
				resp := n.do(t, guess.method, guess.path, guess.headers, guess.body)
				if resp.StatusCode != http.StatusTooManyRequests {
					continue
				}
				limited++
				if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || after < 1 {
					t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
				}
			}
			if limited == 0 {
				t.Fatal("none of 1000 guesses is limited")
			}
			session, _ := n.post(t, "/whip/demo", "publish-key", offer(t, webrtc.RTPTransceiverDirectionSendonly))
			if resp := n.do(t, "DELETE", session, nil, ""); resp.StatusCode != http.StatusOK {
				t.Errorf("the right DELETE: got %d, want 200", resp.StatusCode)
			}
			if _, metrics := get(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, n.AdminURL()+"/metrics"); !strings.Contains(metrics, "sluice_http_limited_total "+strconv.Itoa(limited)+"\n") {
				t.Errorf("sluice_http_limited_total is not %d", limited)
			}
		})
	}
}

// TestWaitingViewersAreNoGuesses: who finds nothing on air has done nothing wrong.
func TestWaitingViewersAreNoGuesses(t *testing.T) {
	n := start(t)
	text := offer(t, webrtc.RTPTransceiverDirectionRecvonly)
	for range 500 {
		if resp := n.do(t, "POST", "/whep/demo", []string{"Content-Type", "application/sdp"}, text); resp.StatusCode != http.StatusConflict {
			t.Fatalf("got %d, want 409", resp.StatusCode)
		}
	}
}
