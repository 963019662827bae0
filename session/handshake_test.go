package session_test

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/session"
)

// otherFingerprint makes the offer promise another certificate.
func otherFingerprint(sdp string) string {
	have := attribute(sdp, "fingerprint")
	hash, value, _ := strings.Cut(have, " ")
	other := "00" + value[2:]
	if other == value {
		other = "11" + value[2:]
	}
	return strings.ReplaceAll(sdp, have, hash+" "+other)
}

// A certificate that is not the one of the offer is refused within the
// handshake, so that the viewer sees an alert and no keys exist.
func TestWrongFingerprint(t *testing.T) {
	t.Parallel()
	for name, offer := range map[string]func(string) string{
		"server": otherFingerprint,
		"client": func(s string) string { return passive(otherFingerprint(s)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := view(t, newTable(t, nil), viewerOptions{offer: offer})
			w.ended(session.CauseFingerprint)
			w.transport(webrtc.DTLSTransportStateFailed) // by our alert: its own limit is 30 s
			if i := w.session.Info(); i.Profile != "" {
				t.Errorf("keys were made: %+v", i)
			}
			if len(w.connected) != 0 {
				t.Error("Connected was called")
			}
		})
	}
}

// One of several fingerprints is enough.
func TestSeveralFingerprints(t *testing.T) {
	t.Parallel()
	w := view(t, newTable(t, nil), viewerOptions{offer: func(s string) string {
		have := "a=fingerprint:" + attribute(s, "fingerprint") + "\r\n"
		return strings.ReplaceAll(s, have, "a=fingerprint:"+attribute(otherFingerprint(s), "fingerprint")+"\r\n"+have)
	}})
	w.up()
}

// Who shows no certificate at all gets no keys: the DTLS stack goes on waiting
// for the proof that belongs to one.
func TestNoCertificate(t *testing.T) {
	t.Parallel()
	r := openRaw(t, newTable(t, func(c *session.Config) { c.ConnectTimeout = time.Second }))
	r.check(checkOption{nominate: true})
	shaken := make(chan error, 1)
	go func() { shaken <- r.shake() }()
	r.ended(session.CauseDTLSTimeout)
	_ = r.pipe.Close()
	if err := <-shaken; err == nil {
		t.Error("a handshake without a certificate passed")
	}
	if i := r.session.Info(); i.Profile != "" || len(r.connected) != 0 {
		t.Errorf("keys were made: %+v", i)
	}
}

func TestForeignCertificate(t *testing.T) {
	t.Parallel()
	other, err := selfsign.GenerateSelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	r := openRaw(t, newTable(t, nil))
	r.check(checkOption{nominate: true})
	// In DTLS 1.2 the client may be done before the server has judged it.
	_ = r.shake(other)
	r.ended(session.CauseFingerprint)
}

// A ClientHello from an address that passed no check starts nothing.
func TestClientHelloWithoutCheck(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	r := openRaw(t, table)
	other := openRaw(t, table)
	shaken := make(chan error, 1)
	go func() { shaken <- other.shake(other.cert) }()
	poll(t, "repeated ClientHello", func() bool { return table.Stats().Drops["unknown_address"] >= 2 })
	if n := table.Stats().Handshakes.Started; n != 0 {
		t.Errorf("%d handshakes started", n)
	}
	v := r.join() // nobody else is disturbed
	if v == nil {
		t.Fatal("no viewer")
	}
	other.check(checkOption{nominate: true})
	if err := <-shaken; err != nil {
		t.Errorf("the ClientHello after the check: %v", err)
	}
}

// Handshakes beyond the limit wait for their next ClientHello.
func TestHandshakesAreBounded(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	table.Limits(1, 0, 0)
	a, b := openRaw(t, table), openRaw(t, table)
	a.check(checkOption{nominate: true})
	// A ClientHello that leads nowhere takes the only slot.
	a.write([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
	poll(t, "first handshake", func() bool { return a.session.Phase() == "joining" })
	b.check(checkOption{nominate: true})
	shaken := make(chan error, 1)
	go func() { shaken <- b.shake(b.cert) }()
	poll(t, "refused handshakes", func() bool { return table.Stats().Drops["too_many_handshakes"] >= 2 })
	a.session.Close(session.CauseKicked)
	if err := <-shaken; err != nil {
		t.Error(err)
	}
}

// relay stands between a viewer and the table, may lose datagrams and counts.
type relay struct {
	front, back *net.UDPConn // to the viewer, to the table
	lose        func(fromViewer bool, b []byte) bool
	mu          sync.Mutex // guards what follows, and lose while it runs
	viewer      netip.AddrPort
}

func newRelay(t *testing.T, to netip.AddrPort, lose func(fromViewer bool, b []byte) bool) *relay {
	t.Helper()
	loop := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	front, err := net.ListenUDP("udp4", loop)
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp4", loop, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{front: front, back: back, lose: lose}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.viewer = from
			lost := lose(true, buf[:n])
			r.mu.Unlock()
			if !lost {
				_, _ = back.Write(buf[:n])
			}
		}
	})
	wg.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, err := back.Read(buf)
			if err != nil {
				return
			}
			r.mu.Lock()
			to, lost := r.viewer, lose(false, buf[:n])
			r.mu.Unlock()
			if !lost && to.IsValid() {
				_, _ = front.WriteToUDPAddrPort(buf[:n], to)
			}
		}
	})
	t.Cleanup(func() {
		_ = front.Close()
		_ = back.Close()
		wg.Wait()
	})
	return r
}

// through rewrites an answer so that the viewer talks to the relay.
func (r *relay) through(table *session.Table) func(string) string {
	from := table.MediaAddr()
	to := r.front.LocalAddr().(*net.UDPAddr).AddrPort()
	return func(sdp string) string {
		return strings.ReplaceAll(sdp, " "+from.Addr().String()+" "+port(from)+" ", " "+to.Addr().String()+" "+port(to)+" ")
	}
}

func port(a netip.AddrPort) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

// The gateway's last flight gets lost: the viewer repeats its own, and the
// connection is still there to answer.
func TestLastFlightLost(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	lost := 0
	r := newRelay(t, table.MediaAddr(), func(fromViewer bool, b []byte) bool {
		if fromViewer || len(b) == 0 || b[0] != 20 || lost == 2 { // ChangeCipherSpec begins the flight
			return false
		}
		lost++
		return true
	})
	w := view(t, table, viewerOptions{answer: r.through(table)})
	v := w.up()
	w.transport(webrtc.DTLSTransportStateConnected)
	w.plays(v, "hello")
	r.mu.Lock()
	defer r.mu.Unlock()
	if lost != 2 {
		t.Errorf("lost %d flights, want 2", lost)
	}
}

// A viewer that never reports keeps its connection until the limit, no longer;
// one that does is rid of it at once.
func TestConnectionIsDropped(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	silent := openRaw(t, table)
	silent.join()
	if p := silent.session.Phase(); p != "linger" {
		t.Errorf("phase %q before any report", p)
	}
	silent.report()

	short := newTable(t, nil)
	short.Limits(0, 50*time.Millisecond, 0)
	r := openRaw(t, short)
	r.join()
	poll(t, "dropped at the limit", func() bool { return r.session.Phase() == "dropped" })

	w := view(t, table, viewerOptions{offer: passive})
	w.up()
	poll(t, "dropped at once as client", func() bool { return w.session.Phase() == "dropped" })
}
