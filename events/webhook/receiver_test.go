package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/events/webhook"
)

// got is one request that the receiver had.
type got struct {
	id    string
	event events.Event
	n     int // the event's number in its room, as the test made it
	at    time.Time
}

// receiver is an endpoint. Every request is verified by the library of
// Standard Webhooks, whatever the answer will be.
type receiver struct {
	t      *testing.T
	server *httptest.Server

	mu     sync.Mutex // guards what follows
	secret string
	answer func(w http.ResponseWriter, g got) // nil: 204
	all    []got                              // every request
	taken  []got                              // those answered with 2xx
	flying map[string]int                     // by room
}

const (
	secretOne = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretTwo = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, secret: secretOne, flying: map[string]int{}}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // it went away
	}
	var e events.Event
	var data struct{ N int }
	if err := json.Unmarshal(body, &e); err != nil {
		r.t.Errorf("the body is not an event: %s: %v", body, err)
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		r.t.Errorf("the data is not that of the test: %s: %v", e.Data, err)
	}
	g := got{req.Header.Get("webhook-id"), e, data.N, time.Now()}
	r.mu.Lock()
	if r.flying[e.Room]++; r.flying[e.Room] > 1 {
		r.t.Errorf("%s: two events are in flight", e.Room)
	}
	answer, secret := r.answer, r.secret
	r.all = append(r.all, g)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.flying[e.Room]--
		r.mu.Unlock()
	}()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err == nil {
		err = verifier.Verify(body, req.Header)
	}
	if err != nil {
		r.t.Errorf("the library refuses %s: %v", body, err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if answer == nil {
		answer = func(w http.ResponseWriter, _ got) { w.WriteHeader(http.StatusNoContent) }
	}
	recorder := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	answer(recorder, g)
	if recorder.status/100 == 2 {
		r.mu.Lock()
		r.taken = append(r.taken, g)
		r.mu.Unlock()
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// does changes what the receiver does.
func (r *receiver) does(answer func(w http.ResponseWriter, g got)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func status(code int) func(http.ResponseWriter, got) {
	return func(w http.ResponseWriter, _ got) { w.WriteHeader(code) }
}

func (r *receiver) requests() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]got{}, r.all...)
}

// idle says that no request is being answered.
func (r *receiver) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.flying {
		if n > 0 {
			return false
		}
	}
	return true
}

// has is how many different events were taken.
func (r *receiver) has() int { return len(r.firsts()) }

// firsts are the events that were taken, each where it was taken first.
func (r *receiver) firsts() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	var list []got
	for _, g := range r.taken {
		if !seen[g.id] {
			seen[g.id] = true
			list = append(list, g)
		}
	}
	return list
}

// inOrder checks that each room's events came in order and without a gap, and
// returns how many came of each.
func (r *receiver) inOrder() map[string]int {
	r.t.Helper()
	last := map[string]int{}
	for _, g := range r.firsts() {
		if g.n != last[g.event.Room]+1 {
			r.t.Errorf("%s: %d came after %d", g.event.Room, g.n, last[g.event.Room])
		}
		last[g.event.Room] = g.n
	}
	return last
}

// event is the nth of a room.
func event(room string, n int) events.Event {
	return events.Event{
		Seq: uint64(n), Time: events.Time(time.Now()), Room: room, Type: events.MessageSent,
		Data: fmt.Appendf(nil, `{"n":%d,"text":"<b>&"}`, n),
	}
}

// quick is a configuration that does not let a test wait.
func quick(t *testing.T, urls ...string) webhook.Config {
	t.Helper()
	cfg := webhook.DefaultConfig()
	cfg.Path, cfg.URLs, cfg.Secrets = filepath.Join(t.TempDir(), "webhooks.db"), urls, []webhook.Secret{secret(t, secretOne)}
	cfg.MinWait, cfg.MaxWait, cfg.GoneWait = 5*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond
	cfg.Timeout, cfg.Gather, cfg.Recover = 2*time.Second, time.Millisecond, 10*time.Millisecond
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	return cfg
}

func secret(t *testing.T, text string) webhook.Secret {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text[len("whsec_"):])
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func open(t *testing.T, cfg webhook.Config) *webhook.Outbox {
	t.Helper()
	o, err := webhook.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// eventually polls until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// only is the status of the one endpoint.
func only(t *testing.T, o *webhook.Outbox) webhook.Status {
	t.Helper()
	list, err := o.Endpoints()
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v", list, err)
	}
	return list[0]
}
