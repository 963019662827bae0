package mutant

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pion/stun/v4"
)

// relay passes the datagrams of all sessions: each address that sends to it
// reaches the backend from a port of its own.
type relay struct {
	proxy *Proxy
	addr  netip.AddrPort
	conn  *net.UDPConn
	done  sync.WaitGroup

	target atomic.Pointer[netip.AddrPort] // of the backend, from its candidates

	mu      sync.Mutex              // guards what follows
	legs    map[netip.AddrPort]*leg // by address of the client
	byUfrag map[string]*session     // by ufrag of the server, and by that of the client
	closed  bool
}

// leg is one address of a client.
type leg struct {
	relay    *relay
	client   netip.AddrPort
	conn     *net.UDPConn // to the backend
	session  atomic.Pointer[session]
	plain    atomic.Bool // a check without USE-CANDIDATE has come
	doomed   atomic.Bool // a fault lets no more through
	reported atomic.Bool // a sender report has come
}

// kind is what a datagram is, by its first byte (RFC 7983) and its payload type.
type kind uint8

const (
	other kind = iota
	stunRequest
	stunResponse
	dtlsRecord
	rtpPacket
	rtcpPacket
)

// datagram is one on its way.
type datagram struct {
	leg  *leg
	kind kind
	up   bool // towards the server
	data []byte
}

func startRelay(p *Proxy) (*relay, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("mutant: listen for media: %w", err)
	}
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		_ = conn.Close() // what failed is told
		return nil, fmt.Errorf("mutant: read own address: %w", err)
	}
	r := &relay{proxy: p, addr: at, conn: conn, legs: map[netip.AddrPort]*leg{}, byUfrag: map[string]*session{}}
	r.done.Go(func() {
		readAll(conn, func(b []byte, from netip.AddrPort) {
			if l := r.leg(from); l != nil {
				l.pass(&datagram{leg: l, kind: kindOfDatagram(b), up: true, data: b})
			}
		})
	})
	return r, nil
}

// setTarget says where the backend's media is.
func (r *relay) setTarget(at netip.AddrPort) { r.target.Store(&at) }

// know makes the ICE sessions of a session known.
func (r *relay) know(s *session) {
	f := s.know()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byUfrag[f.ufrag] = s
}

// find is the session of a ufrag of the server, nil when nobody knows it.
func (r *relay) find(ufrag string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byUfrag[ufrag]
}

// leg returns that of an address, a new one if need be; nil at the end and
// before there is a backend.
func (r *relay) leg(from netip.AddrPort) *leg {
	target := r.target.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.legs[from]; l != nil || r.closed || target == nil {
		return l
	}
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(*target))
	if err != nil {
		return nil
	}
	l := &leg{relay: r, client: from, conn: conn}
	r.legs[from] = l
	r.done.Go(func() {
		readAll(conn, func(b []byte, _ netip.AddrPort) {
			l.pass(&datagram{leg: l, kind: kindOfDatagram(b), data: b})
		})
	})
	return l
}

func (r *relay) close() {
	r.mu.Lock()
	r.closed = true
	for _, l := range r.legs {
		_ = l.conn.Close() // ends its reader; nothing else is to be done
	}
	r.mu.Unlock()
	_ = r.conn.Close()
	r.done.Wait()
}

// pass sends a datagram on unless the fault drops it.
func (l *leg) pass(d *datagram) {
	if d.kind == stunRequest && d.up {
		if s := l.relay.find(d.ufrag()); s != nil {
			l.session.Store(s)
			s.firstCheck()
		}
	}
	if f := l.relay.proxy.fault.swallow; f != nil && f(d) {
		return
	}
	switch {
	case d.up:
		l.toServer(d.data)
	case d.kind == stunResponse && d.session() != nil:
		l.toClient(d.mapped())
	default:
		l.toClient(d.data)
	}
}

// Datagrams that cannot be sent are lost, as on any link.
func (l *leg) toServer(b []byte) { _, _ = l.conn.Write(b) }
func (l *leg) toClient(b []byte) { _, _ = l.relay.conn.WriteToUDPAddrPort(b, l.client) }

// session is that of the address, nil until its first check.
func (d *datagram) session() *session { return d.leg.session.Load() }

// of tells whether the datagram belongs to a session of the protocol.
func (d *datagram) of(protocol string) bool {
	s := d.session()
	return s != nil && s.protocol == protocol
}

// ufrag is the server's in the USERNAME of a check.
func (d *datagram) ufrag() string {
	server, _, _ := strings.Cut(d.username(), ":")
	return server
}

func (d *datagram) username() string {
	m, err := d.message()
	if err != nil {
		return ""
	}
	var u stun.Username
	if u.GetFrom(m) != nil {
		return "" // a check without one
	}
	return u.String()
}

func (d *datagram) message() (*stun.Message, error) {
	m := &stun.Message{Raw: append([]byte(nil), d.data...)}
	if err := m.Decode(); err != nil {
		return nil, fmt.Errorf("mutant: read STUN: %w", err)
	}
	return m, nil
}

// kindOfDatagram tells what a datagram is.
func kindOfDatagram(b []byte) kind {
	switch {
	case len(b) < 2:
		return other
	case b[0] < 4 && stun.IsMessage(b):
		switch { // the two bits of the class, RFC 8489 section 5
		case b[0]&0x01 != 0:
			return stunResponse
		case b[1]&0x10 != 0:
			return other // an indication
		}
		return stunRequest
	case b[0] >= 20 && b[0] < 64:
		return dtlsRecord
	case b[0] >= 128 && b[0] < 192 && b[1] >= 192 && b[1] < 224: // RFC 5761 section 4
		return rtcpPacket
	case b[0] >= 128 && b[0] < 192:
		return rtpPacket
	}
	return other
}

// readAll hands on copies of all packets until conn is closed. Other errors
// (ICMP: nobody is there) are passed over.
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
