package events_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicemedia/sluice/events"
)

// follower is a reader who may lose his connection.
type follower struct {
	fold
	at     *events.Listener // nil: not connected
	lastID string
}

// world is one room with some who read its events.
type world struct {
	hub       *events.Hub
	log       []events.Event // of this life, by the sink
	followers []*follower
}

func newWorld(small bool) *world {
	w := &world{followers: []*follower{{}, {}, {}}}
	cfg := events.Config{Sink: func(e events.Event) {
		if e.Seq == 1 {
			w.log = nil
		}
		w.log = append(w.log, e)
	}}
	if small {
		cfg.MaxEvents = 5
	}
	w.hub = events.NewHub(cfg)
	return w
}

func (w *world) connect(t *rapid.T, f *follower) {
	if f.at != nil {
		return
	}
	l, err := w.hub.Listen("demo", f.lastID)
	if err != nil {
		t.Fatal(err)
	}
	f.at = l
}

func (w *world) drop(f *follower) {
	if f.at != nil {
		f.at.Close()
		f.at = nil
	}
}

// read takes what there is for a follower, at most n batches.
func (w *world) read(t *rapid.T, f *follower, n int) {
	for ; f.at != nil && n > 0; n-- {
		b, err := f.at.Take()
		if err != nil {
			t.Fatal(err)
		}
		list, err := b.Events()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if err := f.take(e); err != nil {
				t.Fatal(err)
			}
			f.lastID = fmt.Sprintf("%s-%d", f.life, f.last)
		}
		if b.Ended {
			if !f.ended {
				t.Fatal("a log ended without room.ended")
			}
			w.drop(f)
			f.fold = fold{}
		}
		if b.More != nil {
			return
		}
	}
}

// TestStatesAreTheFoldOfTheLog does at random what can be done with a room:
// whatever comes of it, the state of the room, what its log comes to and what
// each reader makes of what he gets are the same.
func TestStatesAreTheFoldOfTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Bool().Draw(t, "small"))
		who := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		someone := rapid.SampledFrom(w.followers)
		publish := func(kind events.Type, data any) { w.hub.Publish("demo", kind, data) }
		publication := func(t *rapid.T) events.Publication {
			return events.Publication{
				Publication: who.Draw(t, "publication"), Session: who.Draw(t, "session"),
				Muted: events.Muted{Audio: rapid.Bool().Draw(t, "audio")},
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"join":    func(t *rapid.T) { publish(events.SessionJoined, session(who.Draw(t, "who"))) },
			"leave":   func(t *rapid.T) { publish(events.SessionLeft, session(who.Draw(t, "who"))) },
			"start":   func(t *rapid.T) { publish(events.PublicationStarted, publication(t)) },
			"stop":    func(t *rapid.T) { publish(events.PublicationStopped, publication(t)) },
			"mute":    func(t *rapid.T) { publish(events.PublicationMuted, publication(t)) },
			"quality": func(t *rapid.T) { publish(events.QualityChanged, events.Quality{Session: who.Draw(t, "who")}) },
			"program": func(t *rapid.T) {
				name := who.Draw(t, "who")
				publish(events.ProgramChanged, events.Program{Publication: &name})
			},
			"lock": func(t *rapid.T) { publish(events.RoomChanged, events.Settings{Locked: rapid.Bool().Draw(t, "locked")}) },
			"message": func(t *rapid.T) {
				if _, err := w.hub.Send("demo", events.Draft{Text: who.Draw(t, "text")}); err != nil {
					t.Fatal(err)
				}
			},
			"end":     func(*rapid.T) { w.hub.End("demo") },
			"sweep":   func(*rapid.T) { w.hub.Sweep(time.Now().Add(time.Hour)) },
			"connect": func(t *rapid.T) { w.connect(t, someone.Draw(t, "reader")) },
			"drop":    func(t *rapid.T) { w.drop(someone.Draw(t, "reader")) },
			"read":    func(t *rapid.T) { w.read(t, someone.Draw(t, "reader"), rapid.IntRange(1, 3).Draw(t, "batches")) },
			"":        func(t *rapid.T) { w.compare(t) },
		})
		for _, f := range w.followers {
			w.read(t, f, 1000) // one whose room ended has nothing to show
			w.connect(t, f)
			w.read(t, f, 1000)
			if want, last := w.hub.State("demo"); text(f.State) != text(want) || f.last != last {
				t.Errorf("a reader has %s after %d, want %s after %d", text(f.State), f.last, text(want), last)
			}
			w.drop(f)
		}
	})
}

// compare holds the state of the room against what its log comes to.
func (w *world) compare(t *rapid.T) {
	var f fold
	for _, e := range w.log {
		if err := f.take(e); err != nil {
			t.Fatal(err)
		}
	}
	if f.ended {
		f = fold{}
	}
	if got, last := w.hub.State("demo"); text(got) != text(f.State) || last != f.last {
		t.Fatalf("the room is %s after %d, want %s after %d", text(got), last, text(f.State), f.last)
	}
}
