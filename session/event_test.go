package session

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// listener keeps what a table tells.
type listener struct {
	mu   sync.Mutex
	all  []Event
	hook func(Event) // is called with each; nil: nobody
}

func (l *listener) hear(e Event) {
	if l.hook != nil {
		l.hook(e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
}

// of is what was told of a session.
func (l *listener) of(s *Session) (told []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.all {
		if e.Session == PublicID(s.ID()) {
			told = append(told, fmt.Sprint([...]string{Joined: "joined", Changed: "changed", Left: "left"}[e.Type], " ", e.State, " ", e.Cause))
		}
	}
	return told
}

func listened(t *testing.T, l *listener) *Table {
	t.Helper()
	cfg := Config{Node: "n1", Media: netip.MustParseAddrPort("127.0.0.1:0"), OnEvent: l.hear}
	table, err := NewTable(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	return table
}

// What happens to a session is told in order: that it is there, each new state
// and cause, and once that it has ended.
func TestEventsOfASession(t *testing.T) {
	l := &listener{}
	table := listened(t, l)
	var way, media atomic.Value // the sweeper may look, too
	way.Store(Cause(""))
	media.Store(Cause(""))
	labels := Labels{Room: "demo", Publication: "main", Identity: "ann", Name: "Ann"}
	s := table.newSession("", RolePublisher, labels, func(Cause) {})
	s.diagnose = func(time.Time) Cause { return media.Load().(Cause) }
	if err := table.add(s, ailing{cause: &way}, nil); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	look := func(after time.Duration) { now = now.Add(after); s.look(now) }
	look(time.Minute)
	s.live("")
	look(time.Minute)
	look(time.Minute)
	media.Store(CauseNoRTP)
	look(time.Minute)
	media.Store(Cause(""))
	look(changeInterval / 2) // too soon after the last
	media.Store(CauseNoKeyframe)
	look(changeInterval)
	s.Close(CauseKicked)
	s.Close(CauseDeleted)
	<-s.Done()
	look(time.Minute)
	want := []string{"joined connecting ", "changed live ", "changed silent no-rtp", "changed live no-keyframe", "left ended kicked"}
	if got := l.of(s); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, e := range l.all {
		if e.Role != RolePublisher || e.Labels != labels || e.Time.IsZero() {
			t.Errorf("got %+v", e)
		}
	}
}

// A session that ends while it is told that it is there has left after that,
// and nothing is told of one that never was there.
func TestEventsAreInOrder(t *testing.T) {
	l := &listener{}
	table := listened(t, l)
	var s *Session
	ended := make(chan struct{})
	l.hook = func(e Event) {
		if e.Type == Joined {
			s.Close(CausePeerClosed)
			close(ended)
			s.t.mu.Lock() // no lock of the table is held
			defer s.t.mu.Unlock()
		}
	}
	var well atomic.Value
	well.Store(Cause(""))
	s = table.newSession("", RoleViewer, Labels{}, func(Cause) {})
	if err := table.add(s, ailing{cause: &well}, nil); err != nil {
		t.Fatal(err)
	}
	<-ended
	<-s.Done()
	if got, want := l.of(s), []string{"joined connecting ", "left ended closed-by-peer"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	l.hook = nil
	failed := table.newSession("", RoleViewer, Labels{}, func(Cause) {})
	failed.end(CauseDTLSFailed)
	if err := table.add(failed, ailing{cause: &well}, nil); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	if got := l.of(failed); got != nil {
		t.Errorf("told %q of a session that never was", got)
	}
}

// A crowd in trouble is told of some at a time, and of all in the end.
func TestEventsAreBounded(t *testing.T) {
	l := &listener{}
	table := listened(t, l)
	var cause atomic.Value
	cause.Store(Cause(""))
	var all []*Session
	for range changeBurst + 100 {
		s := &Session{t: table, role: RoleViewer, name: "n1.x", state: stateLive, transport: ailing{cause: &cause}}
		s.tellJoined()
		all = append(all, s)
	}
	cause.Store(CauseNoICE)
	changed := func(now time.Time) int {
		for _, s := range all {
			s.look(now)
		}
		n := 0
		for _, e := range l.all {
			if e.Type == Changed {
				n++
			}
		}
		return n
	}
	now := time.Now().Add(time.Hour)
	if got := changed(now); got != changeBurst {
		t.Errorf("told of %d at once, want %d", got, changeBurst)
	}
	if got := changed(now.Add(changeInterval)); got != len(all) {
		t.Errorf("told of %d in the end, want %d", got, len(all))
	}
}
