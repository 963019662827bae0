package session_test

import (
	"bytes"
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

// The gateway's last flight gets lost: the viewer repeats its own, and gets the
// same bytes again from a gateway that has long dropped the connection.
func TestLastFlightLost(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	var flights [][]byte
	r := newRelay(t, table.MediaAddr(), func(fromViewer bool, b []byte) bool {
		if fromViewer || len(b) == 0 || b[0] != 20 { // ChangeCipherSpec begins the flight
			return false
		}
		flights = append(flights, bytes.Clone(b))
		return len(flights) <= 2
	})
	w := view(t, table, viewerOptions{answer: r.through(table)})
	v := w.up()
	w.transport(webrtc.DTLSTransportStateConnected)
	w.plays(v, "hello")
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(flights) < 3 {
		t.Fatalf("%d flights, want 3 or more", len(flights))
	}
	for _, f := range flights {
		if !bytes.Equal(f, flights[0]) {
			t.Errorf("sent %x, then %x", flights[0], f)
		}
	}
}

// The last flight is repeated only so often, and to nobody who has shown to have it.
func TestLastFlightIsBounded(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	finished := []byte{22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0}
	for name, c := range map[string]struct {
		report bool
		asked  int
	}{
		"too often": {false, session.MaxRepeats + 1},
		"proven":    {true, 1},
	} {
		r := openRaw(t, table)
		r.join()
		poll(t, "dropped", func() bool { return r.session.Phase() == "dropped" })
		if c.report {
			r.report()
		}
		before := table.Stats().Drops["dtls_refused"]
		for range c.asked {
			r.write(finished)
		}
		poll(t, name, func() bool { return table.Stats().Drops["dtls_refused"] == before+1 })
	}
}

// A connection is dropped as soon as there are keys, in either role.
func TestConnectionIsDropped(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	silent := openRaw(t, table)
	silent.join()
	poll(t, "dropped as server", func() bool { return silent.session.Phase() == "dropped" })
	silent.report() // and it hears what comes

	w := view(t, table, viewerOptions{offer: passive})
	w.up()
	poll(t, "dropped as client", func() bool { return w.session.Phase() == "dropped" })
}
