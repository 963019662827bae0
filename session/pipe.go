package session

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v4/deadline"
)

// maxDatagram is the largest datagram that is read; media and handshakes stay
// below 1500 bytes.
const maxDatagram = 2048

// datagram is a received datagram in a buffer of the buffers it came from.
type datagram struct {
	buf  *[maxDatagram]byte
	n    int
	from netip.AddrPort
}

// buffers recycles datagram buffers.
type buffers struct{ pool sync.Pool }

func (p *buffers) get() *[maxDatagram]byte {
	if b, ok := p.pool.Get().(*[maxDatagram]byte); ok {
		return b
	}
	return new([maxDatagram]byte)
}

func (p *buffers) put(b *[maxDatagram]byte) { p.pool.Put(b) }

// pipe is a net.PacketConn whose input is pushed by the mux. It carries the
// publishers' side of the media socket, and a viewer's DTLS while it joins. It
// also implements ice.AddrPortReaderWriter, so that the ice package does not
// allocate an address for each packet.
type pipe struct {
	local   *net.UDPAddr
	write   func(b []byte, to netip.AddrPort) (int, error)
	buffers *buffers
	in      chan datagram // full: the datagram is dropped, as if lost on the way
	// limit ends the input after so many datagrams with net.ErrClosed; zero: none.
	// Read loop only.
	limit int

	readable *deadline.Deadline
	muted    atomic.Bool
	closed   chan struct{}
	once     sync.Once
}

// newPipe makes a pipe that queues up to depth datagrams.
func newPipe(depth int, local *net.UDPAddr, b *buffers, write func([]byte, netip.AddrPort) (int, error)) *pipe {
	return &pipe{
		local: local, write: write, buffers: b,
		in:       make(chan datagram, depth),
		readable: deadline.New(),
		closed:   make(chan struct{}),
	}
}

// push queues a copy of b; false when it was dropped.
func (p *pipe) push(b []byte, from netip.AddrPort) bool {
	d := datagram{buf: p.buffers.get(), from: from}
	d.n = copy(d.buf[:], b)
	select {
	case <-p.closed:
	case p.in <- d:
		return true
	default:
	}
	p.buffers.put(d.buf)
	return false
}

// mute makes all later writes vanish.
func (p *pipe) mute() { p.muted.Store(true) }

// ReadFromAddrPort implements ice.AddrPortReaderWriter.
func (p *pipe) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	if p.limit < 0 {
		return 0, netip.AddrPort{}, net.ErrClosed
	}
	select {
	case d := <-p.in:
		if p.limit > 0 {
			if p.limit--; p.limit == 0 {
				p.limit = -1
			}
		}
		n := copy(b, d.buf[:d.n])
		p.buffers.put(d.buf)
		return n, d.from, nil
	case <-p.readable.Done():
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	case <-p.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// ReadFrom implements net.PacketConn.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToAddrPort implements ice.AddrPortReaderWriter.
func (p *pipe) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if p.muted.Load() {
		return len(b), nil
	}
	return p.write(b, to)
}

// WriteTo implements net.PacketConn.
func (p *pipe) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, &net.AddrError{Err: "not a UDP address", Addr: to.String()}
	}
	return p.WriteToAddrPort(b, a.AddrPort())
}

// Close ends reading; the media socket stays open.
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// LocalAddr is the address of the media socket.
func (p *pipe) LocalAddr() net.Addr { return p.local }

// SetDeadline implements net.PacketConn.
func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.readable.Set(t)
	return nil
}

// SetWriteDeadline does nothing: writes to a UDP socket hardly block, and a
// deadline would hit everybody else on it.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
