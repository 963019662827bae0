package gateway_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

const (
	turnLink = `<turn:relay.example:3478?transport=udp>; rel="ice-server"; username="user"; credential="pass"; credential-type="password"`
	stunLink = `<stun:relay.example:3478>; rel="ice-server"`
)

// withICEServers configures a STUN and a TURN server.
func withICEServers(t *testing.T) func(*gateway.Config) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ice-servers")
	write(t, path, "stun:relay.example:3478\nturn:relay.example:3478?transport=udp user pass\n")
	return func(c *gateway.Config) { c.ICEServersFile = path }
}

// iceLinks are the header lines about ICE servers.
func iceLinks(h http.Header) []string {
	return slices.DeleteFunc(slices.Clone(h.Values("Link")), func(v string) bool { return v != turnLink && v != stunLink })
}

func TestICEServersAreTold(t *testing.T) {
	n := start(t, withTokens(t), withICEServers(t))
	if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	want := []string{turnLink, stunLink}
	_, resp := n.post(t, "/whip/demo", "publish-key", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	if got := iceLinks(resp.Header); !slices.Equal(got, want) {
		t.Errorf("WHIP: got %q, want %q", got, want)
	}
	_, resp = n.post(t, "/whep/demo", "watch-key-1", offer(t, webrtc.RTPTransceiverDirectionRecvonly))
	if got := iceLinks(resp.Header); !slices.Equal(got, want) {
		t.Errorf("WHEP: got %q, want %q", got, want)
	}
	preflight := []string{"Origin", "https://page.example", "Access-Control-Request-Method", "POST"}
	for _, tc := range []struct {
		name, path string
		headers    []string
		want       []string
	}{
		{"a publisher", "/whip/demo", []string{"Authorization", "Bearer publish-key"}, want},
		{"a viewer", "/whep/demo/main", []string{"Authorization", "Bearer watch-key-1", "Origin", "https://page.example"}, want},
		{"nobody", "/whep/demo", nil, nil},
		{"a wrong token", "/whip/demo", []string{"Authorization", "Bearer wrong-token"}, nil},
		{"another grant", "/whip/demo", []string{"Authorization", "Bearer watch-key-1"}, nil},
		{"another room", "/whep/demo", []string{"Authorization", "Bearer moderate-key"}, nil},
		{"a preflight", "/whip/demo", preflight, nil},
		{"a preflight with a token", "/whip/demo", append(preflight, "Authorization", "Bearer publish-key"), nil},
	} {
		resp := n.do(t, "OPTIONS", tc.path, tc.headers, "")
		if got := iceLinks(resp.Header); resp.StatusCode != http.StatusOK || !slices.Equal(got, tc.want) {
			t.Errorf("OPTIONS by %s: got %d %q, want 200 %q", tc.name, resp.StatusCode, got, tc.want)
		}
	}
	if resp := n.do(t, "POST", "/whip/demo", []string{"Authorization", "Bearer publish-key", "Content-Type", "text/plain"}, "x"); len(resp.Header.Values("Link")) != 0 {
		t.Errorf("a refusal carries %q", resp.Header.Values("Link"))
	}
}

func TestICEServersAreFollowed(t *testing.T) {
	cfg := onLoopback(t)
	cfg.ICEServersFile = filepath.Join(t.TempDir(), "ice-servers")
	write(t, cfg.ICEServersFile, "stun:first.example\n")
	n, log, hangup, _ := reloading(t, cfg)
	told := func() string { return node{n}.do(t, "OPTIONS", "/whip/demo", nil, "").Header.Get("Link") }
	if got := told(); got != `<stun:first.example>; rel="ice-server"` {
		t.Errorf("got %q", got)
	}
	write(t, cfg.ICEServersFile, "turn:second.example secret=not-for-the-log-either extra extra\n")
	hangup <- syscall.SIGHUP
	eventually(t, "the broken file is told of", func() bool { return log.count("configuration not reloaded") > 0 })
	if got := told(); got != `<stun:first.example>; rel="ice-server"` {
		t.Errorf("after a broken file: got %q", got)
	}
	if log.count("not-for-the-log") > 0 {
		t.Error("the log has a secret in it")
	}
	write(t, cfg.ICEServersFile, "stun:second.example\n")
	hangup <- syscall.SIGHUP
	eventually(t, "the new server", func() bool { return told() == `<stun:second.example>; rel="ice-server"` })
}
