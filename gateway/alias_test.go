package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
	"github.com/sluicemedia/sluice/whep"
)

// aliased is a node with aliases; its answers are not held against openapi.yaml,
// which does not know the paths of others.
func aliased(t *testing.T, names []string, options ...func(*gateway.Config)) *gatewaytest.Node {
	t.Helper()
	return gatewaytest.Start(t, append(options, func(c *gateway.Config) { c.Aliases = names })...)
}

// ask sends an offer of nothing: what refuses it proves which endpoint took it.
func ask(t *testing.T, n *gatewaytest.Node, method, path, token string) (status int, problem string) {
	t.Helper()
	headers := []string{"Content-Type", "application/sdp"}
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	body := ""
	if method == "POST" {
		body = "v=0\r\n"
	}
	a := node{n}.do(t, method, path, headers, body)
	if a.StatusCode < 400 {
		return a.StatusCode, ""
	}
	name, _ := strings.CutPrefix(decode[struct{ Type string }](t, a).Type, "/problems/")
	return a.StatusCode, name
}

// took is how an endpoint refuses the offer of nothing.
const took = "sdp-malformed"

func TestAliasesOfOthers(t *testing.T) {
	both := []string{"mediamtx", "broadcast-box"}
	tests := []struct {
		aliases             []string
		method, path, token string
		want                string // problem; "" none
	}{
		{both, "POST", "/demo/whip", "", took},
		{both, "POST", "/demo/whep", "", took},
		{both, "POST", "/whip/demo", "", took},
		{both, "GET", "/demo/whip", "", ""},
		{both, "HEAD", "/demo/whep", "", ""},
		{both, "OPTIONS", "/demo/whip", "", ""},
		{both, "DELETE", "/demo/whip", "", "method-not-allowed"},
		{both, "POST", "/a/b/whip", "", "not-found"},
		{both, "POST", "/.hidden/whip", "", "not-found"},
		{both, "POST", "//whip", "", "not-found"},
		{both, "POST", "/v1/whip", "", "not-found"},
		{both, "POST", "/demo/whip/", "", "not-found"},
		{both, "POST", "/api/whip", "demo", took},
		{both, "POST", "/api/whep", "demo", took},
		{both, "POST", "/api/whip", "", "unauthorized"},
		{both, "POST", "/api/whip", "no/room", "alias-without-room"},
		{both, "OPTIONS", "/api/whip", "", ""},
		{both, "GET", "/api/whip", "", ""},
		{both, "DELETE", "/api/whip", "", "method-not-allowed"},
		{[]string{"mediamtx"}, "POST", "/api/whip", "", took}, // a room called api
		{[]string{"broadcast-box"}, "POST", "/demo/whip", "", "not-found"},
		{nil, "POST", "/demo/whip", "", "not-found"},
		{nil, "POST", "/api/whip", "demo", "not-found"},
	}
	nodes := map[string]*gatewaytest.Node{}
	for _, tt := range tests {
		key := strings.Join(tt.aliases, ",")
		if nodes[key] == nil {
			nodes[key] = aliased(t, tt.aliases)
		}
		t.Run(key+" "+tt.method+" "+tt.path+" "+tt.token, func(t *testing.T) {
			status, problem := ask(t, nodes[key], tt.method, tt.path, tt.token)
			if tt.method == "HEAD" {
				if status != http.StatusOK {
					t.Errorf("got %d, want 200", status)
				}
				return
			}
			if problem != tt.want {
				t.Errorf("got %d %q, want %q", status, problem, tt.want)
			}
		})
	}
}

func TestAliasNamesTheRoomOfTheToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	lines := "key-of-one demo publish\nkey-of-many show-* publish\nkey-of-two demo publish\nkey-of-two other publish\n" +
		"key-to-watch demo subscribe\nkey-of-one-twice demo publish\nkey-of-one-twice demo subscribe\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	n := aliased(t, []string{"broadcast-box"}, func(c *gateway.Config) { c.AuthTokenFile = file })
	for token, want := range map[string]string{
		"key-of-one":       took,
		"key-of-one-twice": took,
		"key-of-many":      "alias-without-room",
		"key-of-two":       "alias-without-room",
		"key-to-watch":     "insufficient-scope",
		"key-of-nobody":    "invalid-token",
		"":                 "unauthorized",
	} {
		if status, problem := ask(t, n, "POST", "/api/whip", token); problem != want {
			t.Errorf("%q: got %d %q, want %q", token, status, problem, want)
		}
	}
}

// TestSessionsByAlias goes the whole way: who was set up for another product gets
// a session of this one.
func TestSessionsByAlias(t *testing.T) {
	n := aliased(t, []string{"mediamtx", "broadcast-box"})
	made := node{n}.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo","wait":true}`)
	if made.StatusCode != http.StatusCreated {
		t.Fatalf("make a room: got %d %s", made.StatusCode, made.Body)
	}
	gatewaytest.Publish(t, n.URL(), "demo", 10, codecNamed(t, "VP8"))
	gatewaytest.View(t, n.URL(), "demo", codecNamed(t, "VP8"))
	for path, token := range map[string]string{"/demo/whep": "", "/api/whep": "demo"} {
		pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pc.Close() }) // whatever it says, the test is over
		if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
		s, err := (&whep.Client{URL: n.URL() + path, Token: token}).Play(t.Context(), pc)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		info, err := n.Rooms().Info("demo")
		if err != nil || info.Viewers != 2 {
			t.Errorf("%s: got %d viewers in the room, %v, want 2", path, info.Viewers, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("%s: end the session: %v", path, err)
		}
	}
}

func TestUnknownAliasIsRefused(t *testing.T) {
	cfg, err := gateway.DefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Aliases = []string{"mediamtx", "janus"}
	if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), "aliases") || !strings.Contains(err.Error(), "janus") {
		t.Errorf("got %v, want an error that names the setting and the word", err)
	}
}
