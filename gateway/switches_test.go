package gateway_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// TestSessionRequireAuth is TestSessionURL with tokens asked for.
func TestSessionRequireAuth(t *testing.T) {
	n := start(t, withTokens(t), func(c *gateway.Config) { c.SessionRequireAuth = true })
	session, _ := n.post(t, "/whip/demo", "publish-key", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		for _, path := range []string{session, "/s/n.none"} {
			if resp := n.do(t, method, path, nil, ""); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s without a token: got %d, want 401", method, path, resp.StatusCode)
			}
		}
	}
	if resp := n.do(t, "DELETE", session, []string{"Authorization", "Bearer publish-key"}, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("with the token: got %d, want 200", resp.StatusCode)
	}
	open := start(t, func(c *gateway.Config) { c.SessionRequireAuth = true })
	session, _ = open.post(t, "/whip/demo", "", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	if resp := open.do(t, "DELETE", session, nil, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("without authentication: got %d, want 200", resp.StatusCode)
	}
}

func TestTokensElsewhere(t *testing.T) {
	bare := func(c *gateway.Config) { c.AuthAllowBare = true }
	query := func(c *gateway.Config) { c.AuthAllowQuery = true }
	off := func(*gateway.Config) {}
	for _, tc := range []struct {
		name         string
		option       func(*gateway.Config)
		path, header string
		status       int
	}{
		{"bare, off", off, "/whip/demo", "publish-key", 401},
		{"bare", bare, "/whip/demo", "publish-key", 201},
		{"bare and wrong", bare, "/whip/demo", "publish-kex", 401},
		{"Bearer where bare is allowed", bare, "/whip/demo", "Bearer publish-key", 201},
		{"Basic where bare is allowed", bare, "/whip/demo", "Basic YTpi", 401},
		{"query, off", off, "/whip/demo?token=publish-key", "", 401},
		{"query", query, "/whip/demo?token=publish-key", "", 201},
		{"query of another room", query, "/whip/demo?token=other-room-key", "", 403},
		{"two tokens", query, "/whip/demo?token=publish-key&token=publish-key", "", 401},
		{"an empty one", query, "/whip/demo?token=", "", 401},
		{"the header wins", query, "/whip/demo?token=publish-key", "Bearer wrong-token", 401},
		{"not on other routes", query, "/v1/rooms?token=all-admin-key", "", 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log := &journal{}
			cfg := onLoopback(t)
			withTokens(t)(&cfg)
			tc.option(&cfg)
			n := node{gatewaytest.Run(t, cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))}
			headers := []string{"Content-Type", "application/sdp"}
			if tc.header != "" {
				headers = append(headers, "Authorization", tc.header)
			}
			resp := n.do(t, "POST", tc.path, headers, offer(t, webrtc.RTPTransceiverDirectionSendonly))
			if resp.StatusCode != tc.status {
				t.Errorf("got %d %s, want %d", resp.StatusCode, resp.Body, tc.status)
			}
			if strings.ContainsAny(resp.Header.Get("Location"), "?&") {
				t.Errorf("Location is %q", resp.Header.Get("Location"))
			}
			if log.count("publish-key")+log.count("other-room-key") > 0 {
				t.Error("the log has a token in it")
			}
		})
	}
}

// TestLenientPatchIsConfigured: what it does is package session's to test.
func TestLenientPatchIsConfigured(t *testing.T) {
	sdp := offer(t, webrtc.RTPTransceiverDirectionSendonly)
	var ufrag, pwd string
	for line := range strings.SplitSeq(sdp, "\r\n") {
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			ufrag = v
		}
		if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			pwd = v
		}
	}
	for lenient, want := range map[bool]int{false: http.StatusPreconditionRequired, true: http.StatusNoContent} {
		n := start(t, func(c *gateway.Config) { c.PatchLenient = lenient })
		session, _ := n.post(t, "/whip/demo", "", sdp)
		resp := n.do(t, "PATCH", session, []string{"Content-Type", "application/trickle-ice-sdpfrag"}, "a=ice-ufrag:"+ufrag+"\r\na=ice-pwd:"+pwd+"\r\na=end-of-candidates\r\n")
		if resp.StatusCode != want {
			t.Errorf("lenient %t: got %d, want %d", lenient, resp.StatusCode, want)
		}
	}
}
