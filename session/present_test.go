package session

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ailing is a transport that has whatever the test says.
type ailing struct {
	ending
	cause *atomic.Value // a Cause
}

func (a ailing) diagnose(time.Time) Cause { return a.cause.Load().(Cause) }

// A cause comes and goes in what is shown, and is told to the log once.
func TestPresentCauses(t *testing.T) {
	log := &lockedBuffer{}
	table, err := NewTable(Config{Node: "n1", Media: netip.MustParseAddrPort("127.0.0.1:0")}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	}()
	var way, media atomic.Value // the sweeper may look, too
	way.Store(Cause(""))
	media.Store(Cause(""))
	s := table.newSession("", RolePublisher, Labels{Room: "demo"}, func(Cause) {})
	s.diagnose = func(time.Time) Cause { return media.Load().(Cause) }
	if err := table.add(s, ailing{cause: &way}, nil); err != nil {
		t.Fatal(err)
	}
	shows := func(what, state string, cause Cause, troubled int) {
		t.Helper()
		s.look(time.Now())
		if i := s.Info(); i.State != state || i.Cause != cause {
			t.Errorf("%s: got %s with %q, want %s with %q", what, i.State, i.Cause, state, cause)
		}
		st := table.Stats()
		n := 0
		for _, m := range st.Troubled[RolePublisher] {
			n += m
		}
		if n != troubled {
			t.Errorf("%s: %d sessions are in trouble, want %d", what, n, troubled)
		}
	}
	media.Store(CauseNoRTP)
	shows("before it is connected media does not matter", "connecting", "", 0)
	way.Store(CauseNoICE)
	shows("not reached", "connecting", CauseNoICE, 1)
	way.Store(Cause(""))
	s.live("")
	shows("without media", "silent", CauseNoRTP, 1)
	media.Store(CauseNoKeyframe)
	shows("with media", "live", CauseNoKeyframe, 1)
	for range 5 {
		media.Store(Cause(""))
		shows("well", "live", "", 0)
		media.Store(CauseNoKeyframe)
		shows("not well", "live", CauseNoKeyframe, 1)
	}
	s.end(CauseDeleted)
	<-s.done
	shows("ended", "ended", CauseDeleted, 0)
	if i, err := table.Status(s.ID()); err != nil || i.State != "ended" || i.Cause != CauseDeleted || i.ID != PublicID(s.ID()) || i.Labels.Room != "demo" {
		t.Errorf("got %+v (%v) of a session that ended", i, err)
	}
	for line, want := range map[string]int{
		"session in trouble": 3, "session is well again": 1, "cause=no-ice": 1, "cause=no-keyframe": 2, "session ended": 1,
	} {
		if got := strings.Count(log.String(), line); got != want {
			t.Errorf("the log has %d times %q, want %d:\n%s", got, line, want, log)
		}
	}
}

// A publisher who falls silent before many viewers does not fill the log.
func TestNewsAreBounded(t *testing.T) {
	var log bytes.Buffer
	var cause atomic.Value
	cause.Store(CauseSilent)
	table := &Table{log: slog.New(slog.NewTextHandler(&log, nil)), news: newNews()}
	for range 10 * newsBurst {
		s := table.newSession("n1.secretsecret", RoleViewer, Labels{}, nil)
		s.transport, s.state = ailing{cause: &cause}, stateConnecting
		s.look(time.Now())
	}
	if got := strings.Count(log.String(), "session in trouble"); got < newsBurst || got > 2*newsBurst {
		t.Errorf("%d sessions made %d lines, want about %d", 10*newsBurst, got, newsBurst)
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
