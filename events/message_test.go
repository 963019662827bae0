package events_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemedia/sluice/events"
)

func TestMessages(t *testing.T) {
	h := events.NewHub(events.Config{})
	for _, c := range []struct {
		draft events.Draft
		want  string // in the error; "": it is sent
	}{
		{events.Draft{Text: "hello"}, ""},
		{events.Draft{Kind: "chat", Text: "hello"}, ""},
		{events.Draft{Kind: "wave-1.x_Y", Body: []byte(`{"a": [1, null]}`)}, ""},
		{events.Draft{Kind: "note", Text: "with", Body: []byte(`"both"`)}, ""},
		{events.Draft{Kind: "note", Text: "with no body", Body: []byte("null")}, ""},
		{events.Draft{Text: strings.Repeat("x", events.MaxText)}, ""},
		{events.Draft{Text: strings.Repeat("x", events.MaxText+1)}, "text"},
		{events.Draft{Kind: "note", Body: []byte(`"` + strings.Repeat("x", events.MaxBody) + `"`)}, "body"},
		{events.Draft{Kind: "note", Body: []byte(`{"a":`)}, "JSON"},
		{events.Draft{}, "text"},
		{events.Draft{Text: " \n"}, "text"},
		{events.Draft{Kind: "note"}, "text or body"},
		{events.Draft{Kind: "note", Body: []byte("null")}, "text or body"},
		{events.Draft{Kind: "a b", Text: "x"}, "kind"},
		{events.Draft{Kind: strings.Repeat("k", 65), Text: "x"}, "kind"},
		{events.Draft{Text: "\xff"}, "UTF-8"},
	} {
		e, err := h.Send("demo", c.draft)
		var wrong *events.DraftError
		switch {
		case c.want == "" && (err != nil || e.Seq == 0):
			t.Errorf("%.60q: got %+v, %v", c.draft, e, err)
		case c.want != "" && (!errors.As(err, &wrong) || !strings.Contains(wrong.Detail, c.want)):
			t.Errorf("%.60q: got %v, want an error about %s", c.draft, err, c.want)
		}
	}
}

func TestMessagesAreAsSent(t *testing.T) {
	h := events.NewHub(events.Config{})
	ids := map[string]bool{}
	for range 3 {
		e, err := h.Send("demo", events.Draft{Kind: "note", Text: "Grüße\n", Body: []byte(" { \"n\" : 1.50 } "), Identity: "ann", Name: "Ann"})
		if err != nil {
			t.Fatal(err)
		}
		m, err := read[events.Message](e)
		if err != nil || m.Kind != "note" || m.Text != "Grüße\n" || string(m.Body) != `{"n":1.50}` || m.Identity != "ann" || m.Name != "Ann" {
			t.Errorf("got %+v, %v", m, err)
		}
		ids[m.ID] = true
	}
	if len(ids) != 3 || ids[""] {
		t.Errorf("three messages have the ids %v", ids)
	}
}

// TestBodiesAreUTF8 sends bytes that are no text in a body: a browser that
// got them in a text message would end its WebSocket (RFC 6455, 8.1), and again
// with each snapshot.
func TestBodiesAreUTF8(t *testing.T) {
	h := events.NewHub(events.Config{})
	for _, body := range []string{"\"\xff\"", "{\"\xc0\x80\":1}", "\"\xed\xa0\x80\""} {
		var refused *events.DraftError
		if e, err := h.Send("demo", events.Draft{Kind: "x", Body: []byte(body)}); !errors.As(err, &refused) {
			t.Errorf("%q: got %q, %v, want it refused", body, e.Data, err)
		}
	}
	if _, err := h.Send("demo", events.Draft{Kind: "x", Body: []byte(`"€\ud800"`)}); err != nil {
		t.Errorf("text: %v", err)
	}
}

// TestSendersAreBounded floods a room, and waits.
func TestSendersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := events.NewHub(events.Config{})
		send := func(sender string, tries int) (sent int) {
			for range tries {
				_, err := h.Send("demo", events.Draft{Text: "x", Sender: sender})
				switch {
				case err == nil:
					sent++
				case !errors.Is(err, events.ErrTooManyMessages):
					t.Fatal(err)
				}
			}
			return sent
		}
		if got := send("ann", 100); got != 60 {
			t.Errorf("%d of 100 messages of one sender were sent at once, want 60", got)
		}
		if got := send("bob", 10); got != 10 {
			t.Errorf("%d of 10 messages of another were sent, want all", got)
		}
		time.Sleep(time.Second)
		if got := send("ann", 100); got != 20 {
			t.Errorf("%d messages were sent a second later, want 20", got)
		}
		time.Sleep(time.Minute)
		if got := send("", 3000); got != 2000 {
			t.Errorf("%d of 3000 messages were sent to a room at once, want 2000", got)
		}
		if got := send("bob", 1); got != 0 {
			t.Error("a room that has enough took another message")
		}
		time.Sleep(time.Minute)
		for i := range 20_000 { // more than are told apart
			if i%500 == 0 {
				time.Sleep(time.Second)
			}
			send(fmt.Sprint("sender", i), 1)
		}
		if got := send("ann", 1); got != 1 {
			t.Error("a sender is refused after a crowd of others")
		}
	})
}
