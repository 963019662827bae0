package session

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sideQueue is how many datagrams of publishers may wait for the ice package.
	sideQueue = 2048
)

// owner is what a ufrag or an address belongs to. Both methods are called by
// the mux's read loop, must not block and must not keep b.
type owner interface {
	// check takes a STUN request whose USERNAME begins with a ufrag of the owner;
	// b was decoded into r.
	check(r *responder, b []byte, from netip.AddrPort)
	// datagram takes everything else from an address of the owner.
	datagram(b []byte, from netip.AddrPort)
}

// mux owns the media socket and hands each datagram to the session it belongs
// to: connectivity checks by the ufrag in them, the rest by source address. An
// address becomes a session's only by an authenticated check.
type mux struct {
	conn    *net.UDPConn // the first of sockets
	sockets mediaSockets
	local   *net.UDPAddr
	side    *pipe // what publishers sent; read by the ice package
	buffers *buffers
	count   counters
	log     *slog.Logger
	done    chan struct{} // closed when the read loop has ended

	mu     sync.RWMutex // guards the maps; owners' locks are taken before it, never under it
	ufrags map[string]owner
	addrs  map[netip.AddrPort]owner
	// pending are publishers' checks that the ice package has not answered yet.
	pending map[netip.AddrPort]*route
}

// counters count datagrams of the media socket.
type counters struct {
	checks [verdicts]atomic.Uint64
	drops  [drops]atomic.Uint64
}

// drop is why a datagram was thrown away.
type drop uint8

const (
	dropUnknownUfrag   drop = iota // a check for nobody here, not answered
	dropUnknownAddress             // not STUN, from an address that never passed a check
	dropMalformed                  // STUN that does not parse, or no check
	dropKind                       // first byte of no protocol of ours (RFC 7983)
	dropQueue                      // a queue was full
	dropMedia                      // media from a viewer
	dropRTCP                       // SRTCP that could not be opened
	dropDTLS                       // a DTLS record that makes no sense now
	dropJoins                      // a ClientHello too large to wait
	drops
)

// listenMedia opens the media sockets.
func listenMedia(at netip.AddrPort, log *slog.Logger) (*mux, error) {
	sockets, err := openMedia(at, log)
	if err != nil {
		return nil, err
	}
	conn := sockets.first
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		_ = sockets.close() // nothing was sent yet
		return nil, fmt.Errorf("session: listen for media: %v is no UDP address", conn.LocalAddr())
	}
	m := &mux{
		conn: conn, sockets: sockets, local: local, buffers: &buffers{}, log: log,
		done:    make(chan struct{}),
		ufrags:  make(map[string]owner),
		addrs:   make(map[netip.AddrPort]owner),
		pending: make(map[netip.AddrPort]*route),
	}
	m.side = newPipe(sideQueue, local, m.buffers, m.writeSide)
	return m, nil
}

// run reads until the socket is closed.
func (m *mux) run() {
	defer close(m.done)
	var r responder
	handle := func(b []byte, from netip.AddrPort) { m.receive(&r, b, from) }
	for {
		err := read(m.conn, handle)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Nothing known to happen on an unconnected socket; do not spin on it.
		m.log.Warn("media socket not readable", "err", err)
		time.Sleep(10 * time.Millisecond)
	}
}

// readEach reads with a system call for each datagram, and one more that finds
// none before each wait. See read.
func readEach(conn *net.UDPConn, handle func(b []byte, from netip.AddrPort)) error {
	// Room for the longest there is: Windows calls a datagram that does not fit an
	// error of the socket, which strangers could cause at will.
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		handle(buf[:min(n, maxDatagram)], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	}
}

// receive hands one datagram to its owner (RFC 7983 section 7).
func (m *mux) receive(r *responder, b []byte, from netip.AddrPort) {
	switch {
	case len(b) == 0:
		m.drop(dropKind)
	case b[0] < 4:
		m.stun(r, b, from)
	case isDTLS(b) || isRTP(b):
		m.mu.RLock()
		o := m.addrs[from]
		m.mu.RUnlock()
		if o == nil {
			m.drop(dropUnknownAddress)
			return
		}
		o.datagram(b, from)
	default:
		m.drop(dropKind)
	}
}

func isDTLS(b []byte) bool { return b[0] >= 20 && b[0] < 64 }
func isRTP(b []byte) bool  { return b[0] >= 128 && b[0] < 192 }

// isRTCP tells RTCP from RTP (RFC 5761 section 4).
func isRTCP(b []byte) bool { return len(b) > 1 && b[1] >= 192 && b[1] < 224 }

func (m *mux) stun(r *responder, b []byte, from netip.AddrPort) {
	if err := r.decode(b); err != nil {
		m.drop(dropMalformed)
		return
	}
	m.mu.RLock()
	o := m.ufrags[string(r.local)]
	m.mu.RUnlock()
	if o == nil {
		m.drop(dropUnknownUfrag)
		return
	}
	o.check(r, b, from)
}

func (m *mux) drop(why drop) { m.count.drops[why].Add(1) }

// addUfrag lets checks for ufrag reach o.
func (m *mux) addUfrag(ufrag string, o owner) {
	m.mu.Lock()
	m.ufrags[ufrag] = o
	m.mu.Unlock()
}

// dropUfrag makes checks for ufrag unknown.
func (m *mux) dropUfrag(ufrag string) {
	m.mu.Lock()
	delete(m.ufrags, ufrag)
	m.mu.Unlock()
}

// bind makes from an address of o; whoever had it loses it.
func (m *mux) bind(from netip.AddrPort, o owner) {
	m.mu.RLock()
	same := m.addrs[from] == o
	m.mu.RUnlock()
	if same {
		return
	}
	m.mu.Lock()
	m.addrs[from] = o
	m.mu.Unlock()
}

// unbind forgets addresses of o.
func (m *mux) unbind(o owner, from ...netip.AddrPort) {
	m.mu.Lock()
	for _, a := range from {
		if m.addrs[a] == o {
			delete(m.addrs, a)
		}
	}
	m.mu.Unlock()
}

// sizes tells how many ufrags and addresses are known; for tests of leaks.
func (m *mux) sizes() (ufrags, addrs, pending int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.ufrags), len(m.addrs), len(m.pending)
}

// abandon closes a mux that never ran.
func (m *mux) abandon() error { return errors.Join(m.sockets.close(), m.side.Close()) }

// close closes the socket and waits for the read loop.
func (m *mux) close() error {
	err := m.sockets.close()
	<-m.done
	return errors.Join(err, m.side.Close())
}
