package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// portableNetwork reads each socket on a goroutine of its own. It costs several
// times what the poller of Linux does, and works everywhere.
type portableNetwork struct {
	fleet   *fleet
	running sync.WaitGroup
}

func newPortableNetwork(f *fleet) (network, error) { return &portableNetwork{fleet: f}, nil }

func (n *portableNetwork) close() error {
	n.running.Wait()
	return nil
}

type portableSocket struct {
	conn *net.UDPConn

	mu     sync.Mutex // guards remote
	remote netip.AddrPort
}

func (n *portableNetwork) open(bind netip.Addr, v *viewer) (socket, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(bind, 0)))
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", plain(err))
	}
	_ = conn.SetReadBuffer(wantedBuffer) // the system gives what it allows
	s := &portableSocket{conn: conn}
	n.running.Go(func() { n.read(s, v) })
	return s, nil
}

// read ends when the socket is closed.
func (n *portableNetwork) read(s *portableSocket, v *viewer) {
	buf := make([]byte, maxDatagram)
	for {
		size, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != s.peer() {
			continue // Windows reports unreachable ports here
		}
		now := time.Now()
		n.fleet.mu.Lock()
		v.take(buf[:size], size, now.UnixNano(), now)
		n.fleet.mu.Unlock()
	}
}

func (s *portableSocket) peer() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remote
}

func (s *portableSocket) local() netip.AddrPort {
	at := s.conn.LocalAddr().(*net.UDPAddr).AddrPort() //nolint:forcetypeassert // a UDPConn has no other
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

func (s *portableSocket) connect(to netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remote = to
	return nil
}

func (s *portableSocket) send(datagram []byte) error {
	_, err := s.conn.WriteToUDPAddrPort(datagram, s.peer())
	return plain(err)
}

func (s *portableSocket) drops() uint64 { return 0 } // no common way to ask

func (s *portableSocket) close() error { return s.conn.Close() }
