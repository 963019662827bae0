package events_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events"
)

func TestRoomEnds(t *testing.T) {
	h := events.NewHub(events.Config{})
	l := listen(t, h, "")
	taken(t, l)
	h.Publish("demo", events.SessionJoined, session("a"))
	h.Publish("demo", events.SessionJoined, session("b"))
	h.End("demo")
	h.Publish("demo", events.SessionLeft, session("a"))
	h.Publish("demo", events.SessionLeft, session("b"))
	got, ended := taken(t, l)
	wantTypes(t, got, "1 session.joined, 2 session.joined, 3 session.left, 4 session.left, 5 room.ended")
	if !ended {
		t.Error("the log goes on after the end of the room")
	}
	h.Publish("demo", events.SessionJoined, session("c"))
	got, ended = taken(t, listen(t, h, "5"))
	wantTypes(t, got, "1 snapshot")
	if ended {
		t.Error("the next room of the name has ended")
	}
}

// TestRoomEndsWithoutThoseInIt ends rooms whose sessions are slow to end.
func TestRoomEndsWithoutThoseInIt(t *testing.T) {
	var list []events.Event
	h := events.NewHub(events.Config{Sink: func(e events.Event) { list = append(list, e) }})
	h.Publish("demo", events.SessionJoined, session("a"))
	h.End("demo")
	h.End("demo")
	h.Sweep(time.Now())
	wantTypes(t, list, "1 session.joined")
	h.Sweep(time.Now().Add(events.EndPatience))
	wantTypes(t, list, "1 session.joined, 2 room.ended")
	h.Publish("demo", events.SessionLeft, session("a"))
	wantTypes(t, list, "1 session.joined, 2 room.ended")

	list = nil
	h.Publish("demo", events.SessionJoined, session("a"))
	h.End("demo")
	h.Publish("demo", events.SessionJoined, session("b")) // into the next room
	h.Publish("demo", events.SessionLeft, session("a"))   // of the one before
	wantTypes(t, list, "1 session.joined, 2 room.ended, 1 session.joined")
	if s, _ := h.State("demo"); len(s.Sessions) != 1 || s.Sessions[0].Session != "b" {
		t.Errorf("got %+v in the next room, want b alone", s.Sessions)
	}

	list = nil
	h.End("fresh")
	wantTypes(t, list, "1 room.ended")
}

// TestLockOfTheNextRoom makes a locked room again while somebody is still in the
// one that was ended.
func TestLockOfTheNextRoom(t *testing.T) {
	var list []events.Event
	h := events.NewHub(events.Config{Sink: func(e events.Event) { list = append(list, e) }})
	h.SetLocked("demo", false)
	if got := h.Stats().Rooms; got != 0 {
		t.Errorf("%d logs for a room in which nothing is news", got)
	}
	h.SetLocked("demo", true)
	h.SetLocked("demo", true)
	h.Publish("demo", events.SessionJoined, session("a"))
	h.End("demo")
	h.SetLocked("demo", true)
	h.Publish("demo", events.SessionLeft, session("a")) // of the one before
	h.SetLocked("demo", false)
	wantTypes(t, list, "1 room.changed, 2 session.joined, 3 room.ended, 1 room.changed, 2 room.changed")
	for i, want := range map[int]bool{0: true, 3: true, 4: false} {
		if got, err := read[events.Settings](list[i]); err != nil || got.Locked != want {
			t.Errorf("event %d: got %+v, %v, want locked %t", i, got, err, want)
		}
	}
}

// TestEndReachesTheSlow lets a reader fall behind before the room ends.
func TestEndReachesTheSlow(t *testing.T) {
	h := events.NewHub(events.Config{MaxEvents: 4})
	l, fresh := listen(t, h, ""), listen(t, h, "")
	taken(t, l)
	for i := range 10 {
		h.Publish("demo", events.MessageSent, events.Message{Text: fmt.Sprint(i)})
	}
	h.End("demo")
	for _, l := range []*events.Listener{l, fresh} {
		got, ended := taken(t, l)
		wantTypes(t, got, "10 snapshot, 11 room.ended")
		if !ended {
			t.Error("the log goes on")
		}
	}
}

func TestLogsAreForgotten(t *testing.T) {
	kept := true
	var list []events.Event
	h := events.NewHub(events.Config{
		Linger: time.Minute,
		Keep:   func(string) bool { return kept },
		Sink:   func(e events.Event) { list = append(list, e) },
	})
	l, err := h.Listen("demo", "")
	if err != nil {
		t.Fatal(err)
	}
	h.Publish("demo", events.SessionJoined, session("a"))
	later := time.Now()
	rooms := func(why string, want int) {
		t.Helper()
		later = later.Add(2 * time.Minute)
		h.Sweep(later)
		if got := h.Stats().Rooms; got != want {
			t.Errorf("%s: %d logs, want %d", why, got, want)
		}
	}
	rooms("somebody is there and listens", 1)
	l.Close()
	rooms("somebody is there", 1)
	h.Publish("demo", events.SessionLeft, session("a"))
	rooms("the room is kept", 1)
	kept = false
	rooms("nobody is there", 0)
	wantTypes(t, list, "1 session.joined, 2 session.left, 3 room.ended")

	l, err = h.Listen("silent", "")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	rooms("nothing ever happened", 0)
	if len(list) != 3 {
		t.Errorf("a room in which nothing happened tells %v", list[3:])
	}
}
