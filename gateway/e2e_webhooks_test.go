//go:build e2e && linux

package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// app is a program that follows rooms by webhook, and is down at first: it hangs up on
// whoever comes.
type app struct {
	*httptest.Server
	t *testing.T

	mu    sync.Mutex // guards what follows
	up    bool
	tried int
	seen  map[string]bool // webhook-ids
	last  map[string]int  // number of the last message, by room
}

func startApp(t *testing.T) *app {
	t.Helper()
	a := &app{t: t, seen: map[string]bool{}, last: map[string]int{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tried++
	if !a.up || err != nil {
		panic(http.ErrAbortHandler) // net/http closes the connection
	}
	verifier, err := standardwebhooks.NewWebhook(webhookSecret)
	if err == nil {
		err = verifier.Verify(body, r.Header)
	}
	if err != nil {
		a.t.Errorf("the library refuses %s: %v", body, err)
	}
	id := r.Header.Get("webhook-id")
	if a.seen[id] {
		return
	}
	a.seen[id] = true
	var e events.Event
	var message events.Message
	if err := json.Unmarshal(body, &e); err != nil {
		a.t.Errorf("%s: %v", body, err)
	}
	if e.Type != events.MessageSent {
		a.t.Errorf("got %s, which was not chosen", e.Type)
		return
	}
	if err := json.Unmarshal(e.Data, &message); err != nil {
		a.t.Errorf("%s: %v", body, err)
	}
	if n, err := strconv.Atoi(message.Text); err != nil || n != a.last[e.Room]+1 {
		a.t.Errorf("%s: %q came after %d", e.Room, message.Text, a.last[e.Room])
	}
	a.last[e.Room]++
}

func (a *app) state() (tried, taken int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tried, len(a.seen)
}

// say sends the messages of some numbers to each room, and waits until as many
// events are on disk.
func say(t *testing.T, b *gatewaytest.Binary, rooms []string, from, to, backlog int) {
	t.Helper()
	for n := from; n <= to; n++ {
		for _, room := range rooms {
			resp, err := http.Post(b.URL+"/v1/rooms/"+room+"/messages", "application/json", strings.NewReader(fmt.Sprintf(`{"text":"%d"}`, n)))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close() // only the status matters
			if resp.StatusCode != http.StatusCreated {
				t.Fatalf("%s: got %s", room, resp.Status)
			}
		}
	}
	eventually(t, "the events are on disk", func() bool { return webhookBacklog(t, b) >= backlog })
}

// webhookBacklog is how many events the node has on disk.
func webhookBacklog(t *testing.T, b *gatewaytest.Binary) int {
	t.Helper()
	resp, err := http.Get(b.URL + "/v1/webhooks")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	var page struct{ Items []webhookItem }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || len(page.Items) != 1 {
		t.Fatalf("got %+v, %v", page, err)
	}
	return page.Items[0].Backlog
}

// TestE2EWebhooksSurvive: the receiver is down for some seconds, and the node is killed
// twice meanwhile. Everything arrives, in order in each room, signed.
func TestE2EWebhooksSurvive(t *testing.T) {
	a, dir, rooms := startApp(t), t.TempDir(), []string{"garden", "hall", "attic"}
	secrets := filepath.Join(dir, "secrets")
	write(t, secrets, webhookSecret+"\n")
	options := gatewaytest.BinaryOptions{Flags: []string{
		"--data", filepath.Join(dir, "data"), "--webhook-url", a.URL, "--webhook-secret-file", secrets, "--webhook-events", "message",
	}}
	kill := func(b *gatewaytest.Binary) {
		t.Helper()
		_ = b.Process.Stop(syscall.SIGKILL, 10*time.Second) // its status tells of the signal
	}
	began := time.Now()
	first := gatewaytest.StartBinary(t, options)
	say(t, first, rooms, 1, 15, 45)
	kill(first)
	second := gatewaytest.StartBinary(t, options)
	say(t, second, rooms, 16, 20, 60)
	eventually(t, "the receiver was down for three seconds", func() bool { return time.Since(began) > 3*time.Second })
	kill(second)
	tried, taken := a.state()
	if tried < 3 || taken != 0 {
		t.Errorf("tried %d times and took %d while it was down", tried, taken)
	}
	third := gatewaytest.StartBinary(t, options)
	if n := webhookBacklog(t, third); n != 60 {
		t.Errorf("%d events wait after the second kill, want 60", n)
	}
	a.mu.Lock()
	a.up = true
	a.mu.Unlock()
	up := time.Now()
	eventually(t, "all arrive", func() bool { _, taken := a.state(); return taken == 60 })
	for _, room := range rooms {
		if a.last[room] != 20 {
			t.Errorf("%s: the last is %d, want 20", room, a.last[room])
		}
	}
	eventually(t, "nothing waits", func() bool { return webhookBacklog(t, third) == 0 })
	t.Logf("down %v and killed twice: 60 events %v after it was up", up.Sub(began).Round(time.Millisecond), time.Since(up).Round(time.Millisecond))
	if err := third.Stop(); err != nil {
		t.Error(err)
	}
}
