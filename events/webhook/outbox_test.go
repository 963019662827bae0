package webhook_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/events/webhook"
)

func TestInOrderAndSigned(t *testing.T) {
	r := newReceiver(t)
	o := open(t, quick(t, r.server.URL))
	rooms := []string{"a", "b", "c"}
	for n := 1; n <= 50; n++ {
		for _, room := range rooms {
			o.Put(event(room, n))
		}
	}
	eventually(t, "all events arrive", func() bool { return r.has() == 150 })
	r.inOrder()
	if len(r.requests()) != 150 {
		t.Errorf("got %d requests for 150 events", len(r.requests()))
	}
	eventually(t, "nothing waits", func() bool { return only(t, o).Backlog == 0 })
	s := only(t, o)
	if s.Sent != 150 || s.BacklogBytes != 0 || !s.Oldest.IsZero() || s.State != webhook.StateWell || len(s.Failed) != 0 || s.LastSuccess.IsZero() {
		t.Errorf("got %+v", s)
	}
	first := r.requests()[0].event
	if want := event("a", 1); string(first.Data) != `{"n":1,"text":"\u003cb\u003e\u0026"}` || first.Type != want.Type || first.Seq != 1 {
		t.Errorf("got %s of %s, %d", first.Data, first.Type, first.Seq)
	}
}

// TestEveryEndpointGetsEverything: one that is away holds no other up.
func TestEveryEndpointGetsEverything(t *testing.T) {
	well, ill := newReceiver(t), newReceiver(t)
	ill.does(status(http.StatusServiceUnavailable))
	o := open(t, quick(t, well.server.URL, ill.server.URL+"/hook?key=hidden"))
	for n := 1; n <= 20; n++ {
		o.Put(event("a", n))
	}
	eventually(t, "the one has all", func() bool { return well.has() == 20 })
	if ill.has() != 0 {
		t.Errorf("the other took %d", ill.has())
	}
	ill.does(nil)
	eventually(t, "the other has all", func() bool { return ill.has() == 20 })
	well.inOrder()
	ill.inOrder()
	for i, g := range ill.firsts() {
		if g.id != well.firsts()[i].id {
			t.Fatalf("%d: the ids are %s and %s", i, g.id, well.firsts()[i].id)
		}
	}
	list, err := o.Endpoints()
	if err != nil || len(list) != 2 || list[0].URL != well.server.URL || list[1].URL != ill.server.URL+"/hook" || list[1].Failed["busy"] == 0 {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestTypesAreFiltered(t *testing.T) {
	r := newReceiver(t)
	cfg := quick(t, r.server.URL)
	cfg.Types = []events.Type{events.SessionJoined, events.RoomEnded}
	o := open(t, cfg)
	for n, kind := range []events.Type{events.SessionJoined, events.LayerChanged, events.MessageSent, events.RoomEnded} {
		e := event("a", n+1)
		e.Type = kind
		o.Put(e)
	}
	eventually(t, "the chosen types arrive", func() bool { return r.has() == 2 })
	if all := r.firsts(); all[0].event.Type != events.SessionJoined || all[1].event.Type != events.RoomEnded {
		t.Errorf("got %v", all)
	}
}

// TestStopKeepsWhatWasNotSent: a stop in an outage loses nothing and changes no id.
func TestStopKeepsWhatWasNotSent(t *testing.T) {
	r := newReceiver(t)
	r.does(status(http.StatusBadGateway))
	cfg := quick(t, r.server.URL)
	o := open(t, cfg)
	for n := 1; n <= 30; n++ {
		o.Put(event("a", n))
	}
	eventually(t, "it is tried twice", func() bool { return len(r.requests()) > 1 })
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o.Put(event("a", 31))
	if lost := o.Stats().Lost; lost != 1 {
		t.Errorf("after the end, %d events are counted as lost, want 1", lost)
	}
	before := r.requests()
	r.does(nil)
	again := open(t, cfg)
	eventually(t, "all arrive after the restart", func() bool { return r.has() == 30 })
	r.inOrder()
	if r.firsts()[0].id != before[0].id {
		t.Errorf("the id was %s and is %s", before[0].id, r.firsts()[0].id)
	}
	// Numbers go on: a new event is not taken for an old one.
	again.Put(event("a", 31))
	eventually(t, "the next arrives", func() bool { return r.has() == 31 })
	r.inOrder()
}

// TestSlowReceiver: rooms go on beside each other, as many as there are
// workers and no more, and a request in flight ends with the outbox.
func TestSlowReceiver(t *testing.T) {
	r := newReceiver(t)
	cfg := quick(t, r.server.URL)
	cfg.Workers = 3
	arrived, release := make(chan string, 10), make(chan struct{})
	r.does(func(w http.ResponseWriter, g got) {
		arrived <- g.event.Room
		<-release
		w.WriteHeader(http.StatusOK)
	})
	o := open(t, cfg)
	for _, room := range []string{"a", "b", "c", "d", "e"} {
		o.Put(event(room, 1))
		o.Put(event(room, 2))
	}
	if err := o.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{<-arrived: true, <-arrived: true, <-arrived: true}
	if len(seen) != 3 {
		t.Errorf("the rooms in flight are %v, want three", seen)
	}
	if s := only(t, o); s.InFlight != 3 || s.Backlog != 10 {
		t.Errorf("got %d in flight and %d waiting, want 3 and 10", s.InFlight, s.Backlog)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	close(release)
	eventually(t, "the old requests are over", func() bool { return r.idle() })
	r.does(nil)
	open(t, cfg)
	eventually(t, "all arrive", func() bool { return r.has() == 10 })
	r.inOrder()
}

func TestSecretsAreRotated(t *testing.T) {
	r := newReceiver(t)
	o := open(t, quick(t, r.server.URL))
	n := 0
	next := func(what string) {
		t.Helper()
		n++
		o.Put(event("a", n))
		eventually(t, what, func() bool { return r.has() == n })
	}
	next("signed by the old secret")
	o.SetSecrets([]webhook.Secret{secret(t, secretTwo), secret(t, secretOne)})
	next("signed by both, the receiver knows the old one")
	r.mu.Lock()
	r.secret = secretTwo
	r.mu.Unlock()
	next("signed by both, the receiver knows the new one")
	o.SetSecrets([]webhook.Secret{secret(t, secretTwo)})
	next("signed by the new secret")
	r.inOrder()
}

func TestSyncEndsWithItsContext(t *testing.T) {
	r := newReceiver(t)
	o := open(t, quick(t, r.server.URL))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.Sync(ctx); err == nil {
		t.Error("a closed outbox says that it wrote")
	}
	if err := o.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// TestQueueFull: what comes while the disk is busy is kept up to a bound, then
// counted, and Put goes on at once.
func TestQueueFull(t *testing.T) {
	r := newReceiver(t)
	cfg := quick(t, r.server.URL)
	cfg.Gather, cfg.MaxQueue = time.Hour, 10_000 // the writer does not come
	var log strings.Builder
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	o := open(t, cfg)
	const count = 1000
	for n := 1; n <= count; n++ {
		o.Put(event("a", n))
	}
	lost := int(o.Stats().Lost)
	if lost < count-50 || lost >= count-20 {
		t.Errorf("%d of %d are lost, want all but some 40", lost, count)
	}
	if err := o.Close(); err != nil { // writes what was kept
		t.Fatal(err)
	}
	if lines := strings.Count(log.String(), "events for webhooks are lost"); lines != 1 {
		t.Errorf("%d lines in the log for %d lost events", lines, lost)
	}
	open(t, cfg)
	eventually(t, "what was kept arrives", func() bool { return r.has() == count-lost })
	r.inOrder()
}

// TestNoJSON: an event that nobody can be sent is lost alone.
func TestNoJSON(t *testing.T) {
	r := newReceiver(t)
	o := open(t, quick(t, r.server.URL))
	bad := event("a", 2)
	bad.Data = []byte(`{"n":`)
	for _, e := range []events.Event{bad, event("a", 1), bad, bad, event("a", 2), bad} {
		o.Put(e)
	}
	if err := o.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lost := o.Stats().Lost; lost != 4 {
		t.Errorf("%d are lost, want 4", lost)
	}
	eventually(t, "the others arrive", func() bool { return r.has() == 2 })
	r.inOrder()
}

// TestPartsOfABurst: more than one commit holds arrives all the same, and a
// stop in the middle of it keeps what is left.
func TestPartsOfABurst(t *testing.T) {
	r := newReceiver(t)
	r.does(status(http.StatusServiceUnavailable))
	cfg := quick(t, r.server.URL)
	cfg.Gather = time.Hour
	o := open(t, cfg)
	for n := 1; n <= 10_000; n++ {
		o.Put(event("a", n))
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Gather = 0
	o = open(t, cfg)
	if s := only(t, o); s.Backlog != 10_000 || o.Stats().Lost != 0 {
		t.Errorf("%d wait, %d are lost", s.Backlog, o.Stats().Lost)
	}
}

// TestLongOutage: a file full of events that are too old does not hold the
// start up for long.
func TestLongOutage(t *testing.T) {
	events := 10_000
	if os.Getenv("SLUICE_LONG") != "" {
		events = 100_000
	}
	r := newReceiver(t)
	r.does(status(http.StatusServiceUnavailable))
	cfg := quick(t, r.server.URL)
	cfg.MaxQueue = 1 << 30
	o := open(t, cfg)
	for n := 1; n <= events; n++ {
		o.Put(event("room-"+itoa(n%1000), n))
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	o = open(t, cfg)
	t.Logf("opened with %d events in %v", only(t, o).Backlog, time.Since(began))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.MaxAge = time.Nanosecond
	began = time.Now()
	o = open(t, cfg)
	took := time.Since(began)
	t.Logf("opened with as many that are too old in %v", took)
	if took > 30*time.Second {
		t.Errorf("the start took %v", took)
	}
	eventually(t, "all are given up", func() bool { s := only(t, o); return s.Backlog == 0 && s.Dead == min(events, cfg.MaxDead) })
}
