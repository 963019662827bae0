package gatewaytest

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// UDPRelay is an emulated link on loopback that needs no privileges: what is
// sent to Addr goes to the target and back, each sender from a port of its own.
type UDPRelay struct {
	Addr     netip.AddrPort
	Up, Down *Direction // towards the target, and back

	conn   *net.UDPConn
	target netip.AddrPort
	done   sync.WaitGroup

	mu     sync.Mutex
	legs   map[netip.AddrPort]*net.UDPConn // by sender; guarded by mu
	closed bool                            // guarded by mu
}

// NewUDPRelay starts a relay in front of target; the test's end stops it.
// Observers, which may be nil, see each packet as it enters a direction.
func NewUDPRelay(t testing.TB, target netip.AddrPort, seed uint64, up, down func([]byte, Fate)) *UDPRelay {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(target.Addr(), 0)))
	if err != nil {
		t.Fatalf("relay: %v", err)
	}
	r := &UDPRelay{
		Addr:   conn.LocalAddr().(*net.UDPAddr).AddrPort(),
		Up:     NewDirection(seed, up),
		Down:   NewDirection(seed+1, down),
		conn:   conn,
		target: target,
		legs:   map[netip.AddrPort]*net.UDPConn{},
	}
	r.done.Go(func() {
		readAll(conn, func(packet []byte, from netip.AddrPort) {
			if leg := r.leg(from); leg != nil {
				r.Up.Send(packet, func(b []byte) { _, _ = leg.Write(b) }) // a relay drops what it cannot send
			}
		})
	})
	t.Cleanup(r.close)
	return r
}

// leg returns the socket towards the target for a sender, nil after close.
func (r *UDPRelay) leg(from netip.AddrPort) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if leg := r.legs[from]; leg != nil || r.closed {
		return leg
	}
	leg, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.target))
	if err != nil {
		return nil
	}
	r.legs[from] = leg
	r.done.Go(func() {
		readAll(leg, func(packet []byte, _ netip.AddrPort) {
			r.Down.Send(packet, func(b []byte) { _, _ = r.conn.WriteToUDPAddrPort(b, from) })
		})
	})
	return leg
}

func (r *UDPRelay) close() {
	r.mu.Lock()
	r.closed = true
	for _, leg := range r.legs {
		leg.Close()
	}
	r.mu.Unlock()
	r.conn.Close()
	r.done.Wait()
	r.Up.Close()
	r.Down.Close()
}

// readAll hands on copies of all packets until conn is closed. Other errors
// (ICMP: the target is not there yet) are passed over.
func readAll(conn *net.UDPConn, f func(packet []byte, from netip.AddrPort)) {
	b := make([]byte, 65536)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			f(append([]byte(nil), b[:n]...), from)
		}
	}
}
