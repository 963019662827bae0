package events_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events"
)

// TestLargeSnapshotsAreShared lets readers come while many sessions do: they
// begin with the same state, written once, and come to what the room is.
func TestLargeSnapshotsAreShared(t *testing.T) {
	h := events.NewHub(events.Config{MaxEvents: 16})
	begin := func() events.Batch {
		t.Helper()
		var f fold
		l := listen(t, h, "")
		first, err := l.Take()
		if err != nil {
			t.Fatal(err)
		}
		list, err := first.Events()
		if err != nil {
			t.Fatal(err)
		}
		rest, _ := taken(t, l)
		for _, e := range append(list, rest...) {
			if err := f.take(e); err != nil {
				t.Fatal(err)
			}
		}
		if want, last := h.State("demo"); text(f.State) != text(want) || f.last != last || f.missed != 0 {
			t.Errorf("a reader has %s after %d, want %s after %d", text(f.State), f.last, text(want), last)
		}
		return first
	}
	join := func(n int) {
		_, last := h.State("demo")
		for i := range n {
			h.Publish("demo", events.SessionJoined, session(fmt.Sprint("session-", last, "-", i)))
		}
	}
	join(5)
	small := begin()
	join(1)
	if begin().Same(small) {
		t.Error("a small state is not the one of now")
	}
	join(1000)
	large := begin()
	for range 15 {
		join(1)
		if !begin().Same(large) {
			t.Error("a large state was written again after an event")
			break
		}
	}
	join(16) // what happened since is no longer there
	next := begin()
	if next.Same(large) {
		t.Error("a state is given that nothing follows")
	}
	h.End("demo")
	h.Sweep(time.Now().Add(events.EndPatience))
	if begin().Same(next) {
		t.Error("the next room begins with the state of the one before")
	}
}
