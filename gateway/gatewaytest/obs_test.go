package gatewaytest_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
	"github.com/sluicemedia/sluice/session"
)

const obsPatience = 20 * time.Second // bounds every wait; none gets near it

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(obsPatience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %v: %s", obsPatience, what)
		}
	}
}

// OBS publishes, is sent away by close_notify, comes back with the same SSRCs,
// and leaves with a DELETE that is answered by 200.
func TestOBS(t *testing.T) {
	n := gatewaytest.Start(t)
	obs, err := gatewaytest.StartOBS(t.Context(), gatewaytest.OBSOptions{
		URL: n.URL() + "/whip/demo", Token: "ignored", HTTP: n.Client, RetryDelay: 20 * time.Millisecond,
		Video: gatewaytest.FakeH264(60, 3000), Audio: func(int) []byte { return []byte("opus") },
	})
	if err != nil {
		t.Fatal(err)
	}
	live := func() bool {
		info, err := n.Rooms().Info("demo")
		return err == nil && info.Live && len(info.Publications[0].Tracks) == 2
	}
	waitFor(t, "a live room with two tracks", live)
	first, err := n.Rooms().Info("demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range n.Sessions().List() {
		s.Close(session.CauseKicked)
	}
	waitFor(t, "a second session", func() bool { return obs.Report().Sessions == 2 })
	waitFor(t, "a live room from the second session", func() bool {
		info, err := n.Rooms().Info("demo")
		return live() && err == nil && info.Publications[0].Session != first.Publications[0].Session
	})
	if err := obs.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if r := obs.Report(); len(r.Deletes) != 2 || r.Deletes[0] != http.StatusOK || r.Deletes[1] != http.StatusOK {
		t.Errorf("DELETEs were answered %v, want 200 twice", r.Deletes)
	}
	waitFor(t, "the end of the last session", func() bool { return len(n.Sessions().List()) == 0 })
}

// OBS leaves when the answer has fewer layers than it offered.
func TestOBSLayers(t *testing.T) {
	options := func(n *gatewaytest.Node) gatewaytest.OBSOptions {
		fake := gatewaytest.FakeH264(60, 1000)
		return gatewaytest.OBSOptions{URL: n.URL() + "/whip/demo", HTTP: n.Client, Layers: []func(int) []byte{fake, fake, fake}}
	}
	n := gatewaytest.Start(t)
	obs, err := gatewaytest.StartOBS(t.Context(), options(n))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "three layers", func() bool {
		info, err := n.Rooms().Info("demo")
		return err == nil && info.Live && len(info.Publications[0].Tracks) == 1 && len(info.Publications[0].Tracks[0].Layers) == 3
	})
	if err := obs.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if r := obs.Report(); len(r.Deletes) != 1 || r.Deletes[0] != http.StatusOK {
		t.Errorf("DELETE was answered %v, want 200", r.Deletes)
	}
	off := gatewaytest.Start(t, func(c *gateway.Config) { c.Simulcast = false })
	if _, err := gatewaytest.StartOBS(t.Context(), options(off)); err == nil || !strings.Contains(err.Error(), "want 3 layers") {
		t.Errorf("an answer without layers: got %v", err)
	}
}

// What OBS does not accept.
func TestOBSRefuses(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"200": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("v=0")) },
		"no Location": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte("v=0"))
		},
		"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
	} {
		t.Run(name, func(t *testing.T) {
			posts := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				posts++
				var body bytes.Buffer
				if _, err := body.ReadFrom(r.Body); err != nil {
					t.Error(err)
				}
				if strings.Contains(body.String(), "a=candidate") || strings.Contains(body.String(), "FINGERPRINT") {
					t.Errorf("offered\n%s", body.String())
				}
				answer(w, r)
			}))
			defer server.Close()
			if _, err := gatewaytest.StartOBS(t.Context(), gatewaytest.OBSOptions{URL: server.URL}); err == nil {
				t.Error("accepted")
			}
			if posts != 1 {
				t.Errorf("%d POSTs, want 1", posts)
			}
		})
	}
}

// Access units that are cut from a stream make up the stream.
func TestLoopH264(t *testing.T) {
	fake := gatewaytest.FakeH264(3, 40)
	var stream []byte
	for n := range 7 {
		stream = append(stream, fake(n)...)
	}
	loop := gatewaytest.LoopH264(stream)
	for n := range 10 {
		if got, want := loop(n), fake(n%7); !bytes.Equal(got, want) {
			t.Errorf("unit %d is %x, want %x", n, got, want)
		}
	}
	if gatewaytest.LoopH264(nil)(0) != nil {
		t.Error("units from nothing")
	}
}
