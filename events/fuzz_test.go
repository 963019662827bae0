package events_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/sluicemedia/sluice/events"
)

// FuzzLastEventID comes back with whatever a client may send. It gets the
// events after the one it names, or a snapshot: never anything else.
func FuzzLastEventID(f *testing.F) {
	for _, id := range []string{"", "0", "3", "x-3", "-3", "3-", "18446744073709551615", "18446744073709551616", "+3", "３", "a-b-3"} {
		f.Add(id)
	}
	h := events.NewHub(events.Config{MaxEvents: 4})
	for range 7 {
		h.Publish("demo", events.MessageSent, events.Message{Text: "x"})
	}
	f.Fuzz(func(t *testing.T, id string) {
		l, err := h.Listen("demo", id)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		b, err := l.Take()
		if err != nil {
			t.Fatal(err)
		}
		list, err := b.Events()
		if err != nil {
			t.Fatal(err)
		}
		last := uint64(7)
		if len(list) > 0 && list[0].Type != events.Snapshot {
			last = list[0].Seq - 1
			if last < 3 {
				t.Errorf("%q: goes on after %d, which is no longer there", id, last)
			}
		}
		for _, e := range list {
			if e.Type != events.Snapshot && e.Seq != last+1 {
				t.Errorf("%q: got %s", id, types(list))
			}
			last = e.Seq
		}
		if last != 7 {
			t.Errorf("%q: got %s, want all up to 7", id, types(list))
		}
	})
}

// FuzzCommand says whatever a client may say. Each command has one answer, and
// only a message becomes an event.
func FuzzCommand(f *testing.F) {
	for _, text := range []string{
		`{"type":"message","text":"hello"}`, `{"type":"message","kind":"wave","body":[1,{"a":null}],"ref":"1"}`,
		`{"type":"ping"}`, `{"type":"message"}`, `{}`, `[]`, `null`, `{"type":"message","text":"a"}{}`, "\xff", `{"type":"message","text":"\ud800"}`,
		`{"type":"message","identity":"ann","text":"x"}`, `{"type":"message","Text":"x","seq":1}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var sent []events.Event
		h := events.NewHub(events.Config{Sink: func(e events.Event) { sent = append(sent, e) }})
		socket := events.Socket{
			Send:    func(d events.Draft) (events.Event, error) { d.Identity = "me"; return h.Send("demo", d) },
			Problem: func(err error) any { return map[string]bool{"command": errors.Is(err, events.ErrCommand)} },
		}
		answer, err := socket.Obey(text)
		if err != nil {
			t.Fatal(err)
		}
		var reply struct {
			Type, ID string
			Seq      uint64
		}
		if err := json.Unmarshal(answer, &reply); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		switch reply.Type {
		case "ack":
			if len(sent) != 1 || reply.Seq != 1 || reply.ID == "" {
				t.Fatalf("%q: got %s and %d events", text, answer, len(sent))
			}
			m, err := read[events.Message](sent[0])
			if err != nil || m.ID != reply.ID || m.Identity != "me" || len(m.Text) > events.MaxText || len(m.Body) > events.MaxBody {
				t.Errorf("%q became %s, %v", text, sent[0].Data, err)
			}
		case "pong", "error":
			if len(sent) != 0 {
				t.Errorf("%q: got %s, and it was sent", text, answer)
			}
		default:
			t.Errorf("%q: got %s", text, answer)
		}
	})
}
