package session

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// testMux is a media socket that does not run: tests hand it datagrams.
func testMux(t testing.TB) *mux {
	t.Helper()
	m, err := listenMedia(netip.MustParseAddrPort("127.0.0.1:0"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.abandon(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// next is what waits on the publishers' side, nil when nothing does.
func (m *mux) next(t *testing.T) []byte {
	t.Helper()
	if len(m.side.in) == 0 {
		return nil
	}
	b := make([]byte, maxDatagram)
	n, _, err := m.side.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

const testPwd = "0123456789abcdef01234567"

// testGeneration is an ICE session with testPwd, towards "x".
func testGeneration(ufrag string) *generation {
	return newGeneration(credentials{ufrag, testPwd}, credentials{"x", testPwd})
}

// request is a check with testPwd.
func request(t testing.TB, username string, extra ...stun.Setter) []byte {
	t.Helper()
	set := append([]stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(username)}, extra...)
	m, err := stun.Build(append(set, stun.NewShortTermIntegrity(testPwd), stun.Fingerprint)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// openRoute is a route of one ICE session.
func (m *mux) openRoute(g *generation) *route {
	r := m.newRoute()
	r.add(g)
	return r
}

// Publishers' datagrams reach the ice package once it has answered a check of
// their sender; nobody else's do.
func TestRoute(t *testing.T) {
	m := testMux(t)
	here := m.local.AddrPort() // answers go to ourselves: nobody reads them
	stranger := netip.MustParseAddrPort("127.0.0.1:9")
	media, response := []byte{128, 96, 0, 1}, stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw
	refusal := stun.MustBuild(stun.TransactionID, stun.BindingError).Raw
	r := m.openRoute(testGeneration("pub1"))
	var res responder
	receive := func(b []byte, from netip.AddrPort, want bool) {
		t.Helper()
		m.receive(&res, b, from)
		got := m.next(t)
		if want != slices.Equal(got, b) {
			t.Errorf("passed on %x of %x, want %v", got, b, want)
		}
	}
	write := func(b []byte, to netip.AddrPort) {
		t.Helper()
		if _, err := m.side.WriteTo(b, net.UDPAddrFromAddrPort(to)); err != nil {
			t.Fatal(err)
		}
	}
	receive(request(t, "pub2:x"), here, false)
	receive(media, here, false)
	receive(request(t, "pub1:x"), here, true)
	receive(media, here, false) // not answered yet
	write(refusal, here)
	receive(media, here, false)
	write(response, here) // of no check
	receive(media, here, false)
	if !r.checked().IsZero() || !r.heard().IsZero() {
		t.Error("checked without a check")
	}
	receive(request(t, "pub1:x"), here, true)
	write(response, here)
	receive(media, here, true)
	receive([]byte{22, 254, 253}, here, true)
	receive(media, stranger, false)
	if r.checked().IsZero() || r.heard().Before(r.checked()) {
		t.Errorf("checked %v, heard %v", r.checked(), r.heard())
	}

	r.add(testGeneration("pub1b")) // an ICE restart
	receive(request(t, "pub1b:x"), here, true)
	write(response, here)
	r.drop("pub1")
	receive(request(t, "pub1:x"), here, false)
	receive(media, here, true)
	r.close()
	r.close()
	r.add(testGeneration("pub1c"))
	r.accept(here)
	receive(request(t, "pub1b:x"), here, false)
	receive(request(t, "pub1c:x"), here, false)
	receive(media, here, false)
	if u, a, p := m.sizes(); u+a+p != 0 {
		t.Errorf("left: %d ufrags, %d addresses, %d pending", u, a, p)
	}
}

// Checks with something wrong never reach the ice package, which would answer
// some of them with success.
func TestRouteRefusesChecks(t *testing.T) {
	m := testMux(t)
	r := m.openRoute(testGeneration("pub1"))
	t.Cleanup(r.close)
	here := m.local.AddrPort() // replies go to ourselves: nobody reads them
	unknown := stun.RawAttribute{Type: 0x7fff, Value: []byte{1, 2, 3, 4}}
	damaged := request(t, "pub1:x")
	damaged[len(damaged)-1] ^= 1
	forged := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("pub1:x"),
		stun.NewShortTermIntegrity("not the password at all"), stun.Fingerprint).Raw
	var res responder
	for name, c := range map[string]struct {
		check []byte
		want  verdict
	}{
		"unknown attribute": {request(t, "pub1:x", unknown), checkUnknown},
		"wrong fingerprint": {damaged, checkIntegrity},
		"wrong password":    {forged, checkIntegrity},
		"unprotected":       {stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("pub1:x")).Raw, checkMalformed},
		"controlled":        {request(t, "pub1:x", tie(stun.AttrICEControlled)), checkRoleConflict},
	} {
		before := m.count.checks[c.want].Load()
		m.receive(&res, c.check, here)
		if m.next(t) != nil {
			t.Errorf("%s: passed on", name)
		}
		if got := m.count.checks[c.want].Load() - before; got != 1 {
			t.Errorf("%s: verdict %d counted %d times, want 1", name, c.want, got)
		}
	}
}

func tie(a stun.AttrType) stun.Setter { return stun.RawAttribute{Type: a, Value: make([]byte, 8)} }

// A publisher to whom nothing was sent for ten seconds gets an indication, and
// one that was sent something does not.
func TestRouteKeepsAlive(t *testing.T) {
	m := testMux(t)
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	to := sock.LocalAddr().(*net.UDPAddr).AddrPort()
	r := m.openRoute(testGeneration("pub1"))
	t.Cleanup(r.close)
	now := time.Now()
	r.keepAlive(now) // has no address yet
	r.accept(to)
	if _, err := m.side.WriteTo([]byte("report"), net.UDPAddrFromAddrPort(to)); err != nil {
		t.Fatal(err)
	}
	r.keepAlive(now.Add(keepaliveInterval - time.Second))
	r.keepAlive(now.Add(keepaliveInterval + time.Second))
	r.keepAlive(now.Add(keepaliveInterval + 2*time.Second)) // just sent
	if _, err := m.conn.WriteToUDPAddrPort([]byte("end"), to); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 3 {
		b := make([]byte, 1500)
		if err := sock.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := sock.Read(b)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		s := &stun.Message{Raw: b[:n]}
		if s.Decode() == nil {
			got = append(got, s.Type.String())
			continue
		}
		got = append(got, string(b[:n]))
	}
	if want := []string{"report", "Binding indication", "end"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A publisher has at most eight addresses, the longest unused goes first, and
// forged checks do not pile up.
func TestRouteIsBounded(t *testing.T) {
	m := testMux(t)
	r := m.openRoute(testGeneration("pub1"))
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(1000+i))
	}
	for i := range 20 {
		r.accept(at(0))
		r.accept(at(i))
	}
	if _, a, _ := m.sizes(); a != maxAddresses {
		t.Errorf("%d addresses, want %d", a, maxAddresses)
	}
	if m.addrs[at(0)] != r || m.addrs[at(19)] != r || m.addrs[at(2)] != nil {
		t.Error("the wrong address was forgotten")
	}
	check := request(t, "pub1:x")
	var res responder
	for i := range 3 * maxPending {
		m.receive(&res, check, at(i))
	}
	if _, _, p := m.sizes(); p > maxPending {
		t.Errorf("%d checks pending", p)
	}
	if n := m.count.drops[dropQueue].Load(); n == 0 {
		t.Error("no full queue was counted")
	}
}

// An address that passed a check of another session belongs to that one, and
// closing the first does not take it away.
func TestAddressChangesHands(t *testing.T) {
	m := testMux(t)
	a, b := m.openRoute(testGeneration("a")), m.openRoute(testGeneration("b"))
	here := netip.MustParseAddrPort("127.0.0.1:1000")
	a.accept(here)
	b.accept(here)
	a.close()
	if m.addrs[here] != b {
		t.Error("the address was lost")
	}
	b.close()
	if _, n, _ := m.sizes(); n != 0 {
		t.Errorf("%d addresses left", n)
	}
}

// What passes through the mux costs no allocation.
func TestMuxDoesNotAllocate(t *testing.T) {
	m := testMux(t)
	r := m.openRoute(testGeneration("pub1"))
	here := netip.MustParseAddrPort("127.0.0.1:1000")
	r.accept(here)
	media, b := make([]byte, 1200), make([]byte, maxDatagram)
	media[0] = 128
	check := request(t, "nobody:x")
	var res responder
	for name, f := range map[string]func(){
		"publisher's media": func() {
			m.receive(&res, media, here)
			if _, _, err := m.side.ReadFromAddrPort(b); err != nil {
				t.Fatal(err)
			}
		},
		"unknown check": func() { m.receive(&res, check, here) },
		"stranger":      func() { m.receive(&res, media, netip.MustParseAddrPort("127.0.0.1:9")) },
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Whatever comes in, the mux neither panics nor accepts a check that is not
// protected by the password.
func FuzzReceive(f *testing.F) {
	g := newGeneration(credentials{"local123", "0123456789abcdef01234567"}, credentials{"remote12", "x"})
	here := netip.MustParseAddrPort("127.0.0.1:1000")
	valid := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.NewUsername("local123:remote12"),
		stun.RawAttribute{Type: stun.AttrUseCandidate}, pionKey(g), stun.Fingerprint).Raw
	f.Add(valid)
	f.Add(valid[:40])
	f.Add(request(f, "local123:remote12"))
	f.Add([]byte{21, 254, 253, 0, 1, 0, 0, 0, 0, 0, 99, 0, 2, 1, 0})
	f.Add([]byte{128, 200, 0, 1, 0, 0, 0, 0})
	var r responder
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxDatagram {
			return
		}
		if seen := inspect(b); seen.alert != nil && (len(seen.alert) > maxAlertRecord || seen.alert[0] != recordAlert) || seen.legal && seen.data {
			t.Errorf("seen %+v", seen)
		}
		if r.decode(b) != nil || string(r.local) != g.local.ufrag {
			return
		}
		v, reply := r.judge(g, here)
		again := &stun.Message{Raw: slices.Clone(b)}
		if err := again.Decode(); err != nil {
			t.Fatal(err)
		}
		good := pionKey(g).Check(again) == nil
		if accepted := v == checkAccepted || v == checkNominated; accepted && (!good || len(reply) == 0) {
			t.Errorf("verdict %d with reply %x, integrity %v", v, reply, good)
		}
		if v == checkIntegrity && reply != nil {
			t.Error("a forged check was answered")
		}
		if len(reply) > 0 {
			if err := (&stun.Message{Raw: reply}).Decode(); err != nil {
				t.Errorf("reply does not parse: %v", err)
			}
		}
	})
}
