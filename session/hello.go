package session

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
)

// sideConn is the publishers' part of the media socket.
type sideConn interface {
	net.PacketConn
	ice.AddrPortReaderWriter
}

// helloRepeats are the waits before a ClientHello is sent again.
var helloRepeats = [...]time.Duration{40 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}

// helloRepeater sends a ClientHello again, and soon, until the other side says
// something in DTLS. ffmpeg (setup:passive) begins to listen a moment after the
// ClientHello reached it; by DTLS's own timer it would get the next a second
// later. Shorter timers for the whole handshake are no way out: a flight that
// reaches ffmpeg 9 after its handshake makes it wait for a datagram before
// every packet it sends from then on, which stops its media.
type helloRepeater struct {
	sideConn

	mu      sync.Mutex // guards what follows
	waiting map[netip.AddrPort]*hello
	closed  bool
}

// hello is a ClientHello that was not answered yet.
type hello struct {
	record []byte
	timer  *time.Timer
	sent   int // repeats
}

func newHelloRepeater(side sideConn) *helloRepeater {
	return &helloRepeater{sideConn: side, waiting: make(map[netip.AddrPort]*hello)}
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (r *helloRepeater) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if isClientHello(b) {
		r.expectAnswer(b, to)
	}
	return r.sideConn.WriteToAddrPort(b, to)
}

// WriteTo implements net.PacketConn.
func (r *helloRepeater) WriteTo(b []byte, to net.Addr) (int, error) {
	if a, ok := to.(*net.UDPAddr); ok {
		return r.WriteToAddrPort(b, a.AddrPort())
	}
	return r.sideConn.WriteTo(b, to)
}

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (r *helloRepeater) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := r.sideConn.ReadFromAddrPort(b)
	if err == nil && n > 0 && isDTLS(b[:n]) {
		r.answered(from)
	}
	return n, from, err
}

// ReadFrom implements net.PacketConn.
func (r *helloRepeater) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := r.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// Close implements net.PacketConn.
func (r *helloRepeater) Close() error {
	r.mu.Lock()
	r.closed = true
	for to := range r.waiting {
		r.forget(to)
	}
	r.mu.Unlock()
	return r.sideConn.Close()
}

func (r *helloRepeater) expectAnswer(record []byte, to netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(to)
	if r.closed {
		return
	}
	h := &hello{record: append([]byte(nil), record...)}
	h.timer = time.AfterFunc(helloRepeats[0], func() { r.repeat(h, to) })
	r.waiting[to] = h
}

func (r *helloRepeater) repeat(h *hello, to netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[to] != h {
		return
	}
	_, _ = r.sideConn.WriteToAddrPort(h.record, to) // as lost as the one before
	if h.sent++; h.sent == len(helloRepeats) {
		delete(r.waiting, to)
		return
	}
	h.timer.Reset(helloRepeats[h.sent])
}

func (r *helloRepeater) answered(from netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(from)
}

// forget is called with the lock held.
func (r *helloRepeater) forget(to netip.AddrPort) {
	if h := r.waiting[to]; h != nil {
		h.timer.Stop()
		delete(r.waiting, to)
	}
}

// isClientHello tells an unencrypted handshake record that begins with a
// ClientHello (RFC 6347 section 4.1 and 4.3.2).
func isClientHello(b []byte) bool {
	const handshake, clientHello, header = 22, 1, 13
	return len(b) > header && b[0] == handshake && b[3] == 0 && b[4] == 0 && b[header] == clientHello
}
