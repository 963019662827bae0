package session_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/sluicemedia/sluice/egress"
	"github.com/sluicemedia/sluice/session"
)

func TestSessionIdentity(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	seen := map[string]bool{}
	for range 100 {
		s := openRaw(t, table).session
		if !regexp.MustCompile(`^n1\.[a-z2-7]{26,}$`).MatchString(s.ID()) {
			t.Fatalf("id %q", s.ID())
		}
		if !regexp.MustCompile(`^"[a-z2-7]{20,}"$`).MatchString(s.ETag()) {
			t.Fatalf("tag %q", s.ETag())
		}
		for _, v := range []string{s.ID(), s.ETag(), attribute(string(s.Answer()), "ice-ufrag"), attribute(string(s.Answer()), "ice-pwd")} {
			if seen[v] {
				t.Fatalf("%q came twice", v)
			}
			seen[v] = true
		}
		found, err := table.Find(s.ID())
		if err != nil || found != s {
			t.Fatalf("found %v, %v", found, err)
		}
	}
	if n := len(table.List()); n != 100 {
		t.Errorf("%d sessions listed", n)
	}
	if _, err := table.Find("n1.nobody"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if table.Ended("n1.nobody") {
		t.Error("who never was has not ended")
	}
	if st := table.Stats(); st.Sessions[session.RoleViewer]["connecting"] != 100 {
		t.Errorf("got %v", st.Sessions)
	}
}

// Sessions that do not connect, or fall silent, end by themselves.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	table := newTable(t, func(c *session.Config) {
		c.ConnectTimeout, c.ConsentTimeout = 400*time.Millisecond, 400*time.Millisecond
	})
	never, checked := openRaw(t, table), openRaw(t, table)
	checked.check(checkOption{nominate: true})
	never.ended(session.CauseNoICE)
	checked.ended(session.CauseDTLSTimeout)

	table = newTable(t, func(c *session.Config) { c.ConsentTimeout = time.Second })
	silent, lively := openRaw(t, table), openRaw(t, table)
	lively.join()
	silent.join()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		silent.ended(session.CauseConsentLost)
	}()
	for done := false; !done; {
		select {
		case <-gone:
			done = true
		case <-time.After(20 * time.Millisecond):
			lively.check(checkOption{}) // consent
		}
	}
	if len(lively.closed) != 0 {
		t.Error("a session that asks for consent ended")
	}
}

// Callbacks come one at a time and never after Closed; closing a session from
// one of them does not block.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	var running, calls atomic.Int32
	var r *raw
	enter := func() {
		calls.Add(1)
		if running.Add(1) != 1 {
			t.Error("two callbacks at a time")
		}
	}
	o, err := session.ParseOffer(rawOfferText(t))
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	ready := make(chan *session.Session, 1)
	s, err := table.OpenViewer(o, session.ViewerSetup{
		Connected: func(*egress.Viewer, []session.ViewerSection) {
			enter()
			s := <-ready
			s.Close(session.CauseKicked)
			s.Close(session.CauseDeleted) // only the first counts
			for range 100 {
				runtime.Gosched() // give Closed a chance to come too early
			}
			running.Add(-1)
		},
		Closed: func(c session.Cause) {
			enter()
			if c != session.CauseKicked {
				t.Errorf("ended by %s", c)
			}
			running.Add(-1)
			close(closed)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r = newRaw(t, table, s)
	r.check(checkOption{nominate: true})
	err = r.shake(r.cert)
	ready <- s // not before: our DTLS takes a close_notify right behind the last flight for a failure
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("not closed")
	}
	<-s.Done()
	r.hangs()
	if n := calls.Load(); n != 2 {
		t.Errorf("%d callbacks, want 2", n)
	}
}

// Close says close_notify to everybody, whatever they are doing, and leaves
// nothing behind.
func TestCloseTable(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	var all []*raw
	for i := range 60 {
		r := openRaw(t, table)
		switch i % 4 {
		case 0:
			r.join()
		case 1, 2:
			r.join()
			r.report()
		case 3: // handshake under way
			r.check(checkOption{nominate: true})
			r.write([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
			poll(t, "joining", func() bool { return r.session.Phase() == "joining" })
		}
		all = append(all, r)
	}
	idle := openRaw(t, table)
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	for i, r := range append(all, idle) {
		if i < len(all) && i%4 != 3 {
			r.hangs()
		}
		select {
		case c := <-r.closed:
			if c != session.CauseDrained {
				t.Errorf("ended by %s", c)
			}
		default:
			t.Fatal("Close returned before Closed")
		}
	}
	if sessions, ufrags, addresses, pending := table.Sizes(); sessions+ufrags+addresses+pending != 0 {
		t.Errorf("left: %d sessions, %d ufrags, %d addresses, %d pending", sessions, ufrags, addresses, pending)
	}
	o, err := session.ParseOffer(rawOfferText(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.OpenViewer(o, session.ViewerSetup{Closed: func(session.Cause) { t.Error("closed") }}); !errors.Is(err, session.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := table.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
}

// Sessions that come and go leave nothing behind, however they go.
func TestChurn(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	round := func() {
		for i := range 4 {
			r := openRaw(t, table)
			if i > 0 {
				r.join()
			}
			if i > 1 {
				r.report()
			}
			if i == 3 {
				_ = r.dtls.Close()
				r.ended(session.CausePeerClosed)
			} else {
				r.session.Close(session.CauseDeleted)
				r.ended(session.CauseDeleted)
			}
			<-r.session.Done()
			r.shut()
		}
	}
	round()
	before := runtime.NumGoroutine()
	for range 10 {
		round()
	}
	// Other tests run beside this one, so their goroutines may be counted, too.
	poll(t, "goroutines gone", func() bool { return runtime.NumGoroutine() <= before+200 })
	if sessions, ufrags, addresses, pending := table.Sizes(); sessions+ufrags+addresses+pending != 0 {
		t.Errorf("left: %d sessions, %d ufrags, %d addresses, %d pending", sessions, ufrags, addresses, pending)
	}
	st := table.Stats()
	if st.Handshakes.UnderWay != 0 || st.Handshakes.Done != 33 || st.Ended[session.RoleViewer][session.CausePeerClosed] != 11 {
		t.Errorf("got %+v", st)
	}
}

// lines is a log for a test to read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The end of a session is one line that gives neither the session URL nor an
// address away.
func TestLogLine(t *testing.T) {
	t.Parallel()
	var log lines
	table, err := session.NewTable(session.Config{Node: "n1", Media: netip.MustParseAddrPort("127.0.0.1:0")},
		slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w := view(t, table, viewerOptions{})
	w.plays(w.up(), "hello")
	w.session.Close(session.CauseKicked)
	w.ended(session.CauseKicked)
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	text := log.String()
	for _, want := range []string{
		`msg="session ended"`, "role=viewer", "room=demo", "publication=main", "cause=kicked", "duration_ms=",
		"profile=SRTP_AEAD_AES_128_GCM", "packets=", "first_frame_ms=", "session=n1.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, w.session.ID()) || strings.Contains(text, "127.0.0.1") || strings.Count(text, "\n") != 1 {
		t.Errorf("says too much: %s", text)
	}
}

// Viewers come over IPv6, and over both at an unspecified address.
func TestIPv6(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen string
		hosts  []string
	}{
		{"[::1]:0", []string{"::1"}},
		{"[::]:0", []string{"::1", "127.0.0.1"}},
		{"0.0.0.0:0", []string{"127.0.0.1"}},
	} {
		t.Run(c.listen, func(t *testing.T) {
			t.Parallel()
			probe, err := session.NewTable(session.Config{Media: netip.MustParseAddrPort(c.listen)}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Skipf("no such address here: %v", err)
			}
			if err := probe.Close(); err != nil {
				t.Error(err)
			}
			table := newTable(t, func(cfg *session.Config) { cfg.Media = netip.MustParseAddrPort(c.listen) })
			if len(table.Candidates()) == 0 {
				t.Error("no candidates")
			}
			for _, host := range c.hosts {
				r := openRaw(t, table)
				r.to = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), table.MediaAddr().Port()))
				r.rebind()
				var mapped stun.XORMappedAddress
				if m := r.check(checkOption{}); mapped.GetFrom(m) != nil || !mapped.IP.Equal(net.ParseIP(host)) {
					t.Errorf("mapped address %v, want %s", mapped, host)
				}
				src := &source{}
				v := r.join()
				bindRaw(t, v, src)
				r.plays(v, src)
				r.report()
				r.session.Close(session.CauseKicked)
				r.hangs()
			}
		})
	}
}

func TestListenFails(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	if _, err := session.NewTable(session.Config{Media: table.MediaAddr()}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a port was opened twice")
	}
}
