package whep

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/session"
)

// read takes what a stream has for a reader who comes now.
func read(s *stream, lastID string) (events []string, last bool) {
	t := s.take(lastID)
	defer s.release(t)
	text, upTo, last := s.next(t)
	for block := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n\n"), "\n\n") {
		if block != "" {
			events = append(events, block)
		}
	}
	if len(text) > 0 {
		s.wrote(t, upTo)
	}
	return events, last
}

func opened(t *testing.T, v *viewer, types ...EventType) *stream {
	t.Helper()
	secret, err := v.open(types)
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.stream(secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func emit(t *testing.T, v *viewer, kind EventType, data any) {
	t.Helper()
	if err := v.emit(kind, data); err != nil {
		t.Fatal(err)
	}
}

func text(id int, kind EventType, data string) string {
	return fmt.Sprintf("id: %d\nevent: %s\ndata: %s", id, kind, data)
}

func TestTheNewestEventsWait(t *testing.T) {
	v := &viewer{}
	s := opened(t, v, EventReconnect)
	for n := range maxQueue + 10 {
		emit(t, v, EventReconnect, Reconnect{URL: fmt.Sprint(n)})
		emit(t, v, EventActive, struct{}{}) // not of this stream
	}
	got, _ := read(s, "")
	if want := text(2*10+1, EventReconnect, `{"url":"10"}`); len(got) != maxQueue || got[0] != want {
		t.Errorf("%d events wait, the first is %q, want %d from %q", len(got), got[0], maxQueue, want)
	}
	if got, _ = read(s, ""); len(got) != 0 {
		t.Errorf("sent again: %q", got)
	}
}

// TestLastEventID: the reader's word counts, be it that he missed events or has
// them from elsewhere.
func TestLastEventID(t *testing.T) {
	v := &viewer{}
	s := opened(t, v, EventReconnect)
	for n := range 4 {
		emit(t, v, EventReconnect, Reconnect{URL: fmt.Sprint(n)})
	}
	for _, tc := range []struct {
		lastID string
		want   int // events
	}{{"", 4}, {"", 0}, {"2", 2}, {"nonsense", 0}, {"0", 4}, {"99", 0}, {"4", 0}, {"-1", 0}, {"3", 1}} {
		if got, _ := read(s, tc.lastID); len(got) != tc.want {
			t.Errorf("Last-Event-ID %q: got %q, want %d", tc.lastID, got, tc.want)
		}
	}
}

// TestStatesReplaceOlderOnes: nobody wants to know how many watched a while ago.
func TestStatesReplaceOlderOnes(t *testing.T) {
	v := &viewer{}
	s := opened(t, v, advertised...)
	v.onAir(true)
	emit(t, v, EventLayers, map[string]any{"1": []int{1}})
	emit(t, v, EventReconnect, Reconnect{})
	emit(t, v, EventLayers, map[string]any{"1": []int{2}})
	got, _ := read(s, "")
	want := []string{text(1, EventActive, "{}"), text(3, EventReconnect, "{}"), text(4, EventLayers, `{"1":[2]}`)}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	late := opened(t, v, advertised...)
	if got, _ = read(late, ""); !slices.Equal(got, []string{text(5, EventActive, "{}"), text(6, EventLayers, `{"1":[2]}`)}) {
		t.Errorf("a late stream begins with %q", got)
	}
	v.onAir(true) // no news
	v.onAir(false)
	for _, x := range []*stream{s, late, opened(t, v, advertised...)} {
		got, _ = read(x, "")
		if fresh := x != s && x != late; fresh && len(got) != 0 || !fresh && !slices.Equal(got, []string{text(7, EventInactive, "{}")}) {
			t.Errorf("off air: got %q", got)
		}
	}
	v.onAir(true)
	if got, _ = read(opened(t, v, EventLayers), ""); len(got) != 0 {
		t.Errorf("layers of what was on air before: %q", got)
	}
}

// TestOnlyTheReaderIsWoken: an event must not wait because it woke somebody
// whose turn is over.
func TestOnlyTheReaderIsWoken(t *testing.T) {
	v := &viewer{}
	s := opened(t, v, EventReconnect)
	before := s.take("")
	now := s.take("")
	emit(t, v, EventReconnect, Reconnect{})
	if len(before.wake) != 0 || len(now.wake) != 1 {
		t.Errorf("%d calls for who read before and %d for who reads, want 0 and 1", len(before.wake), len(now.wake))
	}
	s.release(now)
	emit(t, v, EventReconnect, Reconnect{}) // nobody is there
	if got, _ := read(s, ""); len(got) != 2 {
		t.Errorf("got %q, want both", got)
	}
}

// TestNothingIsWrittenForNobody: most viewers have no stream.
func TestNothingIsWrittenForNobody(t *testing.T) {
	v := &viewer{}
	v.onAir(true)
	emit(t, v, EventLayers, map[string]any{"1": []int{1}})
	if v.last != 0 {
		t.Errorf("%d events were written", v.last)
	}
	want := []string{text(1, EventActive, "{}"), text(2, EventLayers, `{"1":[1]}`)}
	if got, _ := read(opened(t, v, advertised...), ""); !slices.Equal(got, want) {
		t.Errorf("the first stream begins with %q, want %q", got, want)
	}
}

func TestEventsAreOneLine(t *testing.T) {
	v := &viewer{}
	s := opened(t, v, EventReconnect)
	emit(t, v, EventReconnect, Reconnect{URL: "a\nb\rc\u2028d"})
	if got, _ := read(s, ""); len(got) != 1 || strings.Count(got[0], "\n") != 2 || strings.Contains(got[0], "\r") {
		t.Errorf("got %q", got)
	}
	if err := v.emit(EventLayers, func() {}); err == nil {
		t.Error("what cannot be written was taken")
	}
}

func TestStreamsEndWithTheSession(t *testing.T) {
	v := &viewer{}
	s := opened(t, v, advertised...)
	v.onAir(true)
	v.end()
	got, last := read(s, "")
	if !slices.Equal(got, []string{text(1, EventActive, "{}"), text(2, EventInactive, "{}")}) || !last {
		t.Errorf("got %q, %t", got, last)
	}
	v.onAir(true)
	emit(t, v, EventReconnect, Reconnect{})
	if got, _ = read(s, ""); len(got) != 0 {
		t.Errorf("after the end: %q", got)
	}
	if _, err := v.open(advertised); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("opened after the end: %v", err)
	}
	if _, err := v.openLink(); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("opened after the end: %v", err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	v := &viewer{}
	if _, err := v.openLink(); err != nil {
		t.Fatal(err)
	}
	var secret string
	for range maxStreams {
		var err error
		if secret, err = v.open(advertised); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.open(advertised); !errors.Is(err, ErrTooManyStreams) {
		t.Errorf("one more: %v", err)
	}
	if err := v.closeStream(secret); err != nil {
		t.Error(err)
	}
	if err := v.closeStream(""); !errors.Is(err, ErrNoStream) {
		t.Errorf("the stream of the Link URL by an empty secret: %v", err)
	}
	if _, err := v.open(advertised); err != nil {
		t.Errorf("after one was ended: %v", err)
	}
}

// FuzzTypes: any body asks for advertised types, each once, or is refused with
// a bounded text.
func FuzzTypes(f *testing.F) {
	for _, seed := range []string{"", `["active"]`, `["active","bogus"]`, `[]`, `{}`, `[1]`, "null", `["active","active"]`, `["\u0000"]`, strings.Repeat(`["`, 9)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		types, err := parseTypes(body)
		var refused *session.OfferError
		if err != nil {
			if !errors.As(err, &refused) || len(refused.Detail) > 4096 || strings.ContainsAny(refused.Detail, "\r\n") {
				t.Errorf("refused by %v", err)
			}
			return
		}
		if len(types) == 0 || len(types) > len(advertised) {
			t.Errorf("got %q", types)
		}
		for _, k := range types {
			if !slices.Contains(advertised, k) {
				t.Errorf("%q is not advertised", k)
			}
		}
	})
}
