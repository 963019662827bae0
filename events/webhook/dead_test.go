package webhook_test

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events/webhook"
)

func letters(t *testing.T, o *webhook.Outbox) []webhook.DeadLetter {
	t.Helper()
	all, more, err := o.Dead("", 1000)
	if err != nil || more {
		t.Fatalf("got %d letters, more %t, %v", len(all), more, err)
	}
	return all
}

// refuse refuses the events of these numbers.
func refuse(r *receiver, numbers ...int) {
	r.does(func(w http.ResponseWriter, g got) {
		if slices.Contains(numbers, g.n) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}

// TestRefusedEvent: it is tried as often as configured, waits for the operator,
// and its room goes on.
func TestRefusedEvent(t *testing.T) {
	r := newReceiver(t)
	cfg := quick(t, r.server.URL)
	cfg.Tries = 3
	refuse(r, 2, 4)
	o := open(t, cfg)
	for n := 1; n <= 5; n++ {
		o.Put(event("a", n))
	}
	eventually(t, "the others arrive", func() bool { return r.has() == 3 && only(t, o).Dead == 2 })
	var order []int
	for _, g := range r.requests() {
		order = append(order, g.n)
	}
	want := []int{1, 2, 2, 2, 3, 4, 4, 4, 5}
	if !slices.Equal(order, want) {
		t.Fatalf("the requests were %v, want %v", order, want)
	}
	dead := letters(t, o)
	if len(dead) != 2 {
		t.Fatalf("got %d letters", len(dead))
	}
	first := dead[0]
	if first.Reason != "refused" || first.Tries != 3 || first.Failure != "the receiver answered 422" || first.Room != "a" ||
		first.MessageID != r.requests()[1].id || !strings.Contains(string(first.Event), `"n":2`) || time.Since(first.Died) > time.Minute {
		t.Errorf("got %+v, event %s", first, first.Event)
	}
	// Pages follow each other.
	if page, more, err := o.Dead("", 1); err != nil || !more || len(page) != 1 || page[0].ID != first.ID {
		t.Errorf("the first page is %+v, %t, %v", page, more, err)
	}
	if page, more, err := o.Dead(first.ID, 1); err != nil || more || len(page) != 1 || page[0].ID != dead[1].ID {
		t.Errorf("the second page is %+v, %t, %v", page, more, err)
	}
	if s := only(t, o); s.Buried != 2 || s.Dropped != 0 {
		t.Errorf("got %+v", s)
	}
}

// TestLogNamesNoURL: paths of webhooks are secrets with many receivers.
func TestLogNamesNoURL(t *testing.T) {
	r := newReceiver(t)
	cfg := quick(t, r.server.URL+"/in/hidden-path?key=hidden-key")
	cfg.Tries = 1
	var log strings.Builder
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	r.does(status(http.StatusServiceUnavailable))
	o := open(t, cfg)
	o.Put(event("a", 1))
	o.Put(event("b", 1))
	eventually(t, "they are tried", func() bool { return len(r.requests()) > 0 })
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	refuse(r, 1)
	o = open(t, cfg)
	eventually(t, "they are dead", func() bool { return only(t, o).Dead == 2 })
	id := only(t, o).ID
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Contains(text, "hidden") || strings.Count(text, id) != 3 {
		t.Errorf("the log is %s, want one line about the start and two about the dead, all with the id %s", text, id)
	}
}

// TestReplay: a letter is sent again under its id, and may die again.
func TestReplay(t *testing.T) {
	r := newReceiver(t)
	cfg := quick(t, r.server.URL)
	cfg.Tries = 2
	refuse(r, 1, 2, 3)
	o := open(t, cfg)
	for n := 1; n <= 3; n++ {
		o.Put(event("a", n))
	}
	eventually(t, "all are dead", func() bool { return only(t, o).Dead == 3 && only(t, o).Backlog == 0 })
	dead := letters(t, o)
	tried := len(r.requests())
	if err := o.Replay(dead[1].ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it dies again", func() bool { return len(r.requests()) == tried+cfg.Tries && only(t, o).Dead == 3 })
	if again := letters(t, o)[1]; again.ID != dead[1].ID || again.MessageID != dead[1].MessageID {
		t.Errorf("it was %+v and is %+v", dead[1], again)
	}
	for _, id := range []string{"", "x", dead[0].Endpoint, dead[0].ID + "0", dead[0].Endpoint + "-00000000000003e8", "0000000000000000-" + strings.Split(dead[0].ID, "-")[1]} {
		if err := o.Replay(id); !errors.Is(err, webhook.ErrNotFound) {
			t.Errorf("%q: got %v, want ErrNotFound", id, err)
		}
	}
	r.does(nil)
	if n, err := o.ReplayAll(); n != 3 || err != nil {
		t.Errorf("replayed %d, %v", n, err)
	}
	eventually(t, "all arrive", func() bool { return r.has() == 3 && only(t, o).Backlog == 0 })
	r.inOrder()
	for i, g := range r.firsts() {
		if g.id != dead[i].MessageID {
			t.Errorf("%d: the id is %s, was %s", i, g.id, dead[i].MessageID)
		}
	}
	if n, err := o.ReplayAll(); n != 0 || err != nil {
		t.Errorf("replayed %d, %v", n, err)
	}
}

// TestReplayedGoFirst: a letter comes before what waits of its room.
func TestReplayedGoFirst(t *testing.T) {
	r := newReceiver(t)
	cfg := quick(t, r.server.URL)
	cfg.Tries = 1
	refuse(r, 1)
	o := open(t, cfg)
	o.Put(event("a", 1))
	eventually(t, "it is dead", func() bool { return only(t, o).Dead == 1 })
	r.does(status(http.StatusServiceUnavailable))
	o.Put(event("a", 2))
	o.Put(event("a", 3))
	eventually(t, "the next is tried", func() bool { all := r.requests(); return all[len(all)-1].n == 2 })
	if n, err := o.ReplayAll(); n != 1 || err != nil {
		t.Fatalf("replayed %d, %v", n, err)
	}
	eventually(t, "the letter is tried before it", func() bool { all := r.requests(); return all[len(all)-1].n == 1 })
	r.does(nil)
	eventually(t, "all arrive", func() bool { return r.has() == 3 })
	r.inOrder()
}

// TestTooOld: what waited for too long is given up.
func TestTooOld(t *testing.T) {
	r := newReceiver(t)
	r.does(status(http.StatusServiceUnavailable))
	cfg := quick(t, r.server.URL)
	cfg.MaxAge, cfg.Sweep = 100*time.Millisecond, 10*time.Millisecond
	o := open(t, cfg)
	for n := 1; n <= 3; n++ {
		o.Put(event("a", n))
	}
	eventually(t, "they are given up", func() bool { return only(t, o).Dead == 3 && only(t, o).Backlog == 0 })
	for _, l := range letters(t, o) {
		if l.Reason != "expired" {
			t.Errorf("got %+v", l)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.MaxAge, cfg.Sweep = time.Hour, time.Hour
	o = open(t, cfg)
	// Replayed, it is as young as a new one.
	at := time.Now().Truncate(time.Millisecond)
	if err := o.Replay(letters(t, o)[0].ID); err != nil {
		t.Fatal(err)
	}
	if s := only(t, o); s.Oldest.Before(at) {
		t.Errorf("it waits since %v, and was replayed at %v", s.Oldest, at)
	}
	r.does(nil)
	eventually(t, "it arrives", func() bool { return r.has() == 1 })
	if s := only(t, o); s.Dead != 2 {
		t.Errorf("got %+v", s)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.DeadAge = time.Millisecond
	if s := only(t, open(t, cfg)); s.Dead != 0 || s.Dropped != 2 {
		t.Errorf("letters too old: got %+v", s)
	}
}

// TestBounds: too many events push the oldest out, too many letters as well.
func TestBounds(t *testing.T) {
	for name, bound := range map[string]func(*webhook.Config){
		"count": func(c *webhook.Config) { c.MaxPending, c.MaxDead = 10, 5 },
		"bytes": func(c *webhook.Config) { c.MaxBytes, c.DeadBytes = 2000, 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			r.does(status(http.StatusServiceUnavailable))
			cfg := quick(t, r.server.URL)
			bound(&cfg)
			o := open(t, cfg)
			for n := 1; n <= 100; n++ {
				o.Put(event("a", n))
			}
			if err := o.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := only(t, o)
			if s.Backlog < 2 || s.Backlog > 15 || s.BacklogBytes > cfg.MaxBytes || s.Dead < 2 || s.Dead > 8 || s.Dropped != uint64(100-s.Backlog-s.Dead) {
				t.Fatalf("got %+v", s)
			}
			for i, l := range letters(t, o) {
				if want := 100 - s.Backlog - s.Dead + i + 1; l.Reason != "overflow" || !strings.Contains(string(l.Event), `"n":`+itoa(want)+",") {
					t.Errorf("letter %d is %s, want %d", i, l.Event, want)
				}
			}
			r.does(nil)
			eventually(t, "the youngest arrive", func() bool { return only(t, o).Backlog == 0 })
			all := r.firsts()
			if last := all[len(all)-1].n; last != 100 || len(all) != s.Backlog {
				t.Errorf("%d arrived, the last is %d", len(all), last)
			}
		})
	}
}
