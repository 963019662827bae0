package session

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"

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

func request(t testing.TB, username string) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(username))
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// Publishers' datagrams reach the ice package once it has answered a check of
// their sender; nobody else's do.
func TestRoute(t *testing.T) {
	m := testMux(t)
	here := m.local.AddrPort() // answers go to ourselves: nobody reads them
	stranger := netip.MustParseAddrPort("127.0.0.1:9")
	media, response := []byte{128, 96, 0, 1}, stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw
	refusal := stun.MustBuild(stun.TransactionID, stun.BindingError).Raw
	r := m.openRoute("pub1")
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

	r.add("pub1b") // an ICE restart
	receive(request(t, "pub1b:x"), here, true)
	write(response, here)
	r.drop("pub1")
	receive(request(t, "pub1:x"), here, false)
	receive(media, here, true)
	r.close()
	r.close()
	r.add("pub1c")
	r.accept(here)
	receive(request(t, "pub1b:x"), here, false)
	receive(request(t, "pub1c:x"), here, false)
	receive(media, here, false)
	if u, a, p := m.sizes(); u+a+p != 0 {
		t.Errorf("left: %d ufrags, %d addresses, %d pending", u, a, p)
	}
}

// A publisher has at most eight addresses, the longest unused goes first, and
// forged checks do not pile up.
func TestRouteIsBounded(t *testing.T) {
	m := testMux(t)
	r := m.openRoute("pub1")
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
	a, b := m.openRoute("a"), m.openRoute("b")
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
	r := m.openRoute("pub1")
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
		stun.RawAttribute{Type: stun.AttrUseCandidate}, g.integrity, stun.Fingerprint).Raw
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
		if alert, ok := late(b); alert != nil && (len(alert) > maxAlertRecord || alert[0] != recordAlert) {
			t.Errorf("alert %x, %v", alert, ok)
		}
		if r.decode(b) != nil || string(r.local) != g.local.ufrag {
			return
		}
		v, reply := r.judge(g, here)
		again := &stun.Message{Raw: slices.Clone(b)}
		if err := again.Decode(); err != nil {
			t.Fatal(err)
		}
		good := g.integrity.Check(again) == nil
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
