//go:build e2e && linux

package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// roomWriters change rooms over the lives of a node and remember what was
// answered.
type roomWriters struct {
	t *testing.T

	mu       sync.Mutex
	asked    map[string]int // max_viewers by room
	answered map[string]int
	cut      int // requests that got no answer
}

// write changes one room. false: the node is gone.
func (w *roomWriters) write(url, method, path, name, body string, viewers int) bool {
	w.mu.Lock()
	w.asked[name] = viewers
	w.mu.Unlock()
	req, err := http.NewRequestWithContext(w.t.Context(), method, url+path, strings.NewReader(body))
	if err != nil {
		w.t.Error(err)
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer operator-key")
	resp, err := http.DefaultClient.Do(req)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		w.cut++
		return false
	case resp.StatusCode >= 300:
		w.t.Errorf("%s %s: got %d %s", method, path, resp.StatusCode, text)
		return false
	}
	w.answered[name] = viewers
	return true
}

// rush lets four make rooms and one change a room until the node is killed, once
// enough answers have come, while all five wait for theirs.
func (w *roomWriters) rush(n *gatewaytest.Binary, round, enough int) {
	var wg sync.WaitGroup
	answers := make(chan struct{}, 1000)
	for id := range 4 {
		wg.Go(func() {
			for i := 1; ; i++ {
				name := fmt.Sprintf("room-%d-%d-%d", round, id, i)
				body := fmt.Sprintf(`{"name":%q,"password":"correct horse","members":["anna"],"max_viewers":%d}`, name, i)
				if !w.write(n.URL, "POST", "/v1/rooms", name, body, i) {
					return
				}
				answers <- struct{}{}
			}
		})
	}
	wg.Go(func() {
		for i := 1000*round + 1; w.write(n.URL, "PATCH", "/v1/rooms/changing", "changing", fmt.Sprintf(`{"max_viewers":%d}`, i), i); i++ {
		}
	})
	late := time.After(joinLimit)
	for got := 0; got < enough; got++ {
		select {
		case <-answers:
		case <-late:
			w.t.Error("the writers do not get on")
			got = enough
		}
	}
	_ = n.Process.Stop(syscall.SIGKILL, 10*time.Second) // its status tells of the signal
	wg.Wait()
}

// check compares what is there with what was answered, and with what was asked
// for: a request that was cut has been carried out or not, and never in part.
func (w *roomWriters) check(url string) (beyond int) {
	w.t.Helper()
	var list struct {
		Items []struct {
			Name       string
			MaxViewers int `json:"max_viewers"`
			Protected  bool
			Members    []string
		}
	}
	if err := json.Unmarshal(askAPI(w.t, "GET", url+"/v1/rooms?limit=1000", "operator-key", "", http.StatusOK), &list); err != nil {
		w.t.Fatal(err)
	}
	there := map[string]bool{}
	for _, r := range list.Items {
		there[r.Name] = true
		asked, known := w.asked[r.Name]
		answered := w.answered[r.Name]
		if !known || !r.Protected || len(r.Members) != 1 || r.MaxViewers != asked && r.MaxViewers != answered {
			w.t.Errorf("got %+v, want %d viewers, or %d by a request that was cut", r, answered, asked)
		}
		if r.MaxViewers != answered {
			w.answered[r.Name] = r.MaxViewers // by GET, now
			beyond++
		}
	}
	for name := range w.answered {
		if !there[name] {
			w.t.Errorf("%s was made and is gone", name)
		}
	}
	return beyond
}

// TestE2ERoomsOutliveAKill ends the program by SIGKILL while rooms are made and
// changed: whatever was answered is there again, and nothing is there by halves.
func TestE2ERoomsOutliveAKill(t *testing.T) {
	data := t.TempDir()
	n := operated(t, data)
	w := &roomWriters{t: t, asked: map[string]int{}, answered: map[string]int{}}
	w.write(n.URL, "POST", "/v1/rooms", "changing", `{"name":"changing","password":"correct horse","members":["anna"]}`, 0)
	const rounds = 5
	beyond := 0
	for round := range rounds {
		w.rush(n, round, 12)
		n = operated(t, data)
		beyond += w.check(n.URL)
	}
	join := n.URL + "/v1/rooms/changing/join"
	askAPI(t, "POST", join, "", `{"identity":"anna"}`, http.StatusCreated)
	askAPI(t, "POST", join, "", `{"identity":"bob","password":"correct horse"}`, http.StatusCreated)
	askAPI(t, "POST", join, "", `{"identity":"bob","password":"wrong"}`, http.StatusForbidden)
	t.Logf("%d rooms outlived %d kills, which cut %d requests; %d changes were made and not answered", len(w.answered), rounds, w.cut, beyond)
}
