package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluicemedia/sluice/events"
)

// listen makes a listener that the test closes.
func listen(t *testing.T, h *events.Hub, lastID string) *events.Listener {
	t.Helper()
	l, err := h.Listen("demo", lastID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// taken are the events that a listener has to send now.
func taken(t *testing.T, l *events.Listener) (list []events.Event, ended bool) {
	t.Helper()
	for {
		b, err := l.Take()
		if err != nil {
			t.Fatal(err)
		}
		some, err := b.Events()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, some...)
		if b.Ended || b.More != nil {
			return list, b.Ended
		}
	}
}

// types are what happened, in short.
func types(list []events.Event) string {
	var words []string
	for _, e := range list {
		words = append(words, fmt.Sprintf("%d %s", e.Seq, e.Type))
	}
	return strings.Join(words, ", ")
}

func wantTypes(t *testing.T, list []events.Event, want string) {
	t.Helper()
	if got := types(list); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func session(id string) events.Session {
	return events.Session{Session: id, Role: "viewer", Publication: "main"}
}

func TestListenersSeeTheSame(t *testing.T) {
	h := events.NewHub(events.Config{})
	early := listen(t, h, "")
	h.Publish("demo", events.SessionJoined, session("a"))
	h.Publish("other", events.SessionJoined, session("x"))
	h.Publish("demo", events.RoomChanged, events.Settings{Locked: true})
	late := listen(t, h, "")
	h.Publish("demo", events.SessionLeft, session("a"))

	got, _ := taken(t, early)
	// The snapshot is made when it is taken, so the late one's is all there is to see.
	wantTypes(t, got, "3 snapshot")
	got, _ = taken(t, late)
	wantTypes(t, got, "3 snapshot")
	if s, err := read[events.Beginning](got[0]); err != nil || len(s.Sessions) != 0 || !s.Locked || s.Missed != 0 {
		t.Errorf("the snapshot is %s, %v", got[0].Data, err)
	}
	h.Publish("demo", events.SessionJoined, session("b"))
	for _, l := range []*events.Listener{early, late} {
		got, _ = taken(t, l)
		wantTypes(t, got, "4 session.joined")
	}
}

func TestNonsenseIsLeftOut(t *testing.T) {
	h := events.NewHub(events.Config{})
	h.Publish("demo", events.SessionLeft, session("a"))
	if got := h.Stats(); got.Rooms != 0 || got.Events != 0 {
		t.Errorf("got %+v after a session left that never joined", got)
	}
	pub := events.Publication{Publication: "main", Session: "a"}
	h.Publish("demo", events.SessionJoined, session("a"))
	for _, c := range []struct {
		t    events.Type
		data any
		want uint64
	}{
		{events.SessionJoined, session("a"), 0},
		{events.SessionLeft, session("b"), 0},
		{events.QualityChanged, events.Quality{Session: "b"}, 0},
		{events.QualityChanged, events.Quality{Session: "a"}, 2},
		{events.LayerChanged, events.Layer{Session: "b"}, 0},
		{events.LayerChanged, events.Layer{Session: "a"}, 3},
		{events.PublicationMuted, pub, 0},
		{events.PublicationStarted, pub, 4},
		{events.PublicationStopped, events.Publication{Publication: "main", Session: "old"}, 0},
		{events.PublicationMuted, pub, 5},
		{events.PublicationStopped, pub, 6},
		{events.MessageSent, events.Message{Body: json.RawMessage("{")}, 0}, // cannot be written
	} {
		if got := h.Publish("demo", c.t, c.data); got.Seq != c.want {
			t.Errorf("%s %+v: got the number %d, want %d", c.t, c.data, got.Seq, c.want)
		}
	}
}

func TestResume(t *testing.T) {
	h := events.NewHub(events.Config{MaxEvents: 4})
	for i := range 10 {
		h.Publish("demo", events.SessionJoined, session(fmt.Sprint(i)))
	}
	first, _ := taken(t, listen(t, h, ""))
	b, err := read[events.Beginning](first[0])
	if err != nil {
		t.Fatal(err)
	}
	id := func(seq string) string { return b.Life + "-" + seq }
	joined := "7 session.joined, 8 session.joined, 9 session.joined, 10 session.joined"
	for lastID, want := range map[string]string{
		id("6"):                    joined,
		"6":                        joined,
		id("10"):                   "",
		"10":                       "",
		id("5"):                    "10 snapshot",
		id("11"):                   "10 snapshot",
		"0":                        "10 snapshot",
		"other-6":                  "10 snapshot",
		"":                         "10 snapshot",
		"-":                        "10 snapshot",
		"-6":                       "10 snapshot",
		id("-6"):                   "10 snapshot",
		id("6 "):                   "10 snapshot",
		id("99999999999999999999"): "10 snapshot",
		"nonsense":                 "10 snapshot",
	} {
		got, _ := taken(t, listen(t, h, lastID))
		if types(got) != want {
			t.Errorf("after %q: got %q, want %q", lastID, types(got), want)
		}
	}
	got, _ := taken(t, listen(t, h, id("2")))
	if b, err := read[events.Beginning](got[0]); err != nil || b.Missed != 8 {
		t.Errorf("who has 2 of 10 events missed %d, want 8 (%v)", b.Missed, err)
	}
	got, _ = taken(t, listen(t, h, "other-2"))
	if b, err := read[events.Beginning](got[0]); err != nil || b.Missed != 0 {
		t.Errorf("who comes from another life missed %d of this, want 0 (%v)", b.Missed, err)
	}
}

func TestSlowReaderIsToldWhatItMissed(t *testing.T) {
	h := events.NewHub(events.Config{MaxEvents: 8})
	slow, quick := listen(t, h, ""), listen(t, h, "")
	var s, q fold
	follow := func(l *events.Listener, f *fold) []events.Event {
		got, _ := taken(t, l)
		for _, e := range got {
			if err := f.take(e); err != nil {
				t.Fatal(err)
			}
		}
		return got
	}
	follow(slow, &s)
	for i := range 100 {
		h.Publish("demo", events.SessionJoined, session(fmt.Sprint(i)))
		follow(quick, &q)
	}
	wantTypes(t, follow(slow, &s), "100 snapshot")
	if s.missed != 100 || q.missed != 0 {
		t.Errorf("the slow reader missed %d, the quick one %d, want 100 and 0", s.missed, q.missed)
	}
	want, _ := h.State("demo")
	if text(s.State) != text(want) || text(q.State) != text(want) {
		t.Errorf("the readers differ from the room")
	}
	if got := h.Stats(); got.Missed != 100 {
		t.Errorf("%d events are counted as missed, want 100", got.Missed)
	}
}

func TestLogsAreBounded(t *testing.T) {
	h := events.NewHub(events.Config{MaxEvents: 100, MaxBytes: 10_000})
	long := strings.Repeat("x", 1000)
	for range 50 {
		h.Publish("demo", events.MessageSent, events.Message{Kind: "chat", Text: long})
	}
	if n, bytes := h.Kept("demo"); n == 0 || bytes > 10_000 {
		t.Errorf("%d events of %d bytes are kept, want at most 10000 bytes", n, bytes)
	}
	if s, _ := h.State("demo"); len(s.Messages) < 5 || len(s.Messages) > 10 {
		t.Errorf("%d messages of 1000 bytes are kept, want what 10000 bytes hold", len(s.Messages))
	}
	for i := range 500 {
		h.Publish("demo", events.SessionJoined, session(fmt.Sprint(i)))
	}
	if n, _ := h.Kept("demo"); n == 0 || n > 100 {
		t.Errorf("%d events are kept, want at most 100", n)
	}
}

func TestHistory(t *testing.T) {
	for keep, want := range map[int]int{-1: 0, 0: 0, 1: 1, 7: 7} {
		h := events.NewHub(events.Config{History: func(string) int { return keep }})
		for i := range 10 {
			h.Publish("demo", events.MessageSent, events.Message{Text: fmt.Sprint(i)})
		}
		s, _ := h.State("demo")
		if len(s.Messages) != want {
			t.Errorf("history %d: %d messages are kept, want %d", keep, len(s.Messages), want)
		}
		if want > 0 && s.Messages[want-1].Seq != 10 {
			t.Errorf("history %d: the last one is not kept", keep)
		}
	}
}

// TestMessagesLeaveRoomForListeners sends messages to rooms that nobody has heard
// of, as many as may be.
func TestMessagesLeaveRoomForListeners(t *testing.T) {
	h := events.NewHub(events.Config{MaxRooms: 10})
	sent := 0
	for i := range 20 {
		if _, err := h.Send(fmt.Sprint("room", i), events.Draft{Text: "hello"}); err == nil {
			sent++
		} else if !errors.Is(err, events.ErrTooManyRooms) {
			t.Fatal(err)
		}
	}
	if sent != 5 {
		t.Errorf("messages made %d logs, want 5", sent)
	}
	for range 2 {
		listen(t, h, "").Close()
	}
	if _, err := h.Send("demo", events.Draft{Text: "hello"}); err != nil {
		t.Errorf("a message to a room with a log: %v", err)
	}
}

func TestListenersAreBounded(t *testing.T) {
	h := events.NewHub(events.Config{MaxListeners: 2, MaxRooms: 2})
	first := listen(t, h, "")
	listen(t, h, "")
	if _, err := h.Listen("demo", ""); !errors.Is(err, events.ErrTooManyListeners) {
		t.Errorf("the third listener: got %v", err)
	}
	first.Close()
	first.Close() // counts once
	listen(t, h, "")
	if _, err := h.Listen("demo", ""); !errors.Is(err, events.ErrTooManyListeners) {
		t.Errorf("the third listener after one had left: got %v", err)
	}
	other, err := h.Listen("other", "")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := h.Listen("third", ""); !errors.Is(err, events.ErrTooManyRooms) {
		t.Errorf("a third room: got %v", err)
	}
	if _, err := h.Send("third", events.Draft{Text: "hello"}); !errors.Is(err, events.ErrTooManyRooms) {
		t.Errorf("a message to a third room: got %v", err)
	}
	if e := h.Publish("third", events.SessionJoined, session("a")); e.Seq != 1 {
		t.Error("what happens in a third room is not told")
	}
	if got := h.Stats(); got.Listeners != 3 || got.Refused != 3 {
		t.Errorf("got %+v, want 3 listeners and 3 refused", got)
	}
}

// TestSinkHasTheOrder publishes from many goroutines.
func TestSinkHasTheOrder(t *testing.T) {
	last := map[string]uint64{}
	n := 0
	// Without a lock: the race detector sees to it that calls do not overlap.
	h := events.NewHub(events.Config{Sink: func(e events.Event) {
		n++
		if e.Seq != last[e.Room]+1 {
			t.Errorf("%s: after %d came %d", e.Room, last[e.Room], e.Seq)
		}
		last[e.Room] = e.Seq
	}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				h.Publish(fmt.Sprint("room", j%3), events.MessageSent, events.Message{Text: fmt.Sprint(i)})
			}
		})
	}
	wg.Wait()
	if n != 4000 {
		t.Errorf("%d events came, want 4000", n)
	}
}

func TestClose(t *testing.T) {
	h := events.NewHub(events.Config{})
	l := listen(t, h, "")
	h.Close()
	h.Close()
	<-l.Closing()
	if _, err := h.Listen("demo", ""); !errors.Is(err, events.ErrClosed) {
		t.Errorf("got %v after the end, want ErrClosed", err)
	}
	if _, err := h.Send("new", events.Draft{Text: "hello"}); !errors.Is(err, events.ErrClosed) {
		t.Errorf("got %v after the end, want ErrClosed", err)
	}
	waited := make(chan struct{})
	go func() {
		h.Wait()
		close(waited)
	}()
	l.Close()
	<-waited
}
