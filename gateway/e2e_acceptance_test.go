//go:build e2e && linux

package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
	"github.com/sluicemedia/sluice/whep"
)

// operated runs the program with authentication and a place for what outlives it.
func operated(t *testing.T, data string) *gatewaytest.Binary {
	t.Helper()
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("operator-key * moderate,admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{Flags: []string{"--auth-token-file", tokens, "--data", data}})
}

// TestE2EAcceptance runs a room from its creation to its end by curl, jq and
// ffmpeg, and holds every request and answer against openapi.yaml. Beside it, a
// guest who joined the same way publishes and another sees the picture.
func TestE2EAcceptance(t *testing.T) {
	n := operated(t, t.TempDir())
	record := t.TempDir()
	cmd := exec.Command(filepath.Join(gatewaytest.Root(t), "scripts", "acceptance", "room.sh"), n.URL)
	cmd.Env = append(os.Environ(), "ADMIN_TOKEN=operator-key", "RECORD="+record, "FFMPEG="+gatewaytest.Tool(t, "ffmpeg"))
	cmd.WaitDelay = time.Second // whatever the script may have left behind
	said, err := cmd.CombinedOutput()
	t.Logf("%s", said)
	if err != nil {
		t.Fatal(err)
	}
	if checked := checkRecord(t, record); checked < 25 {
		t.Errorf("only %d answers were held against openapi.yaml", checked)
	}
	guestSees(t, n.URL)
}

// checkRecord validates what the script kept and returns how many answers that were.
func checkRecord(t *testing.T, dir string) int {
	t.Helper()
	router, err := gorillamux.NewRouter(document(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{t: t, router: router}
	asked, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range asked {
		base := strings.TrimSuffix(file, ".json")
		var ask struct {
			Method, URL, Body string
			Status            int
			Headers           []string
		}
		if err := json.Unmarshal(readFile(t, file), &ask); err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), ask.Method, ask.URL, strings.NewReader(ask.Body))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range ask.Headers {
			name, value, _ := strings.Cut(h, ": ")
			req.Header.Add(name, value)
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(readFile(t, base+".headers"))), req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != ask.Status {
			t.Errorf("%s: the headers say %d, curl %d", file, resp.StatusCode, ask.Status)
		}
		c.check(t.Context(), req, []byte(ask.Body), resp, readFile(t, base+".body"))
	}
	return len(asked)
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// guestSees joins twice with nothing but what join returned: ffmpeg publishes,
// and a viewer gets its packets.
func guestSees(t *testing.T, url string) {
	t.Helper()
	askAPI(t, "POST", url+"/v1/rooms", "operator-key", `{"name":"seen","password":"correct horse","wait":true}`, http.StatusCreated)
	join := func(identity string) (in welcome) {
		t.Helper()
		body := askAPI(t, "POST", url+"/v1/rooms/seen/join", "", fmt.Sprintf(`{"identity":%q,"password":"correct horse"}`, identity), http.StatusCreated)
		if err := json.Unmarshal(body, &in); err != nil {
			t.Fatal(err)
		}
		return in
	}
	bob := join("bob")
	gatewaytest.StartFFmpeg(t, bob.WHIP, gatewaytest.FFmpegOptions{Token: bob.Token, Muted: true})
	anna := join("anna")
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() }) // whatever it says, the test is over
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	seen := make(chan struct{})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for range 50 {
			if _, _, err := track.ReadRTP(); err != nil {
				return
			}
		}
		close(seen)
	})
	if _, err := (&whep.Client{URL: anna.Program, Token: anna.Token}).Play(t.Context(), pc); err != nil {
		t.Fatal(err)
	}
	select {
	case <-seen:
	case <-time.After(joinLimit):
		t.Error("the viewer got no picture")
	}
}

// askAPI sends a JSON request, and returns the answer when it is the one wanted.
func askAPI(t *testing.T, method, url, token, body string, want int) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or failed
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("%s %s: got %d %s, %v, want %d", method, url, resp.StatusCode, text, err, want)
	}
	return text
}
