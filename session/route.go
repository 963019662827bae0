package session

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxAddresses is how many source addresses one session may have at a time.
	maxAddresses = 8
	// maxPending bounds the publishers' checks that wait for an answer.
	maxPending = 4096
	// keepaliveInterval is how long nothing may be sent to a peer; RFC 8445 section
	// 11 wants 15 s or less.
	keepaliveInterval = 10 * time.Second
)

// route is one publisher as the mux sees it. Its checks, when they are in
// order, and, once the ice package has answered one with success, everything
// from that check's sender go to the publishers' side of the socket.
type route struct {
	mux         *mux
	evidence    evidence
	lastCheck   atomic.Int64 // unix nanoseconds
	reached     atomic.Int64 // the first one
	lastHeard   atomic.Int64
	lastSent    atomic.Int64
	mu          sync.Mutex // guards what follows; taken before mux.mu
	generations []*generation
	addrs       []netip.AddrPort // oldest first
	closed      bool
}

// newRoute makes the route of a publisher. Nothing passes before add.
func (m *mux) newRoute() *route { return &route{mux: m} }

// add lets checks of an ICE session, and what follows from their sender, pass to
// the publishers' side.
func (r *route) add(g *generation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.generations = append(r.generations, g)
	r.mux.addUfrag(g.local.ufrag, r)
}

// drop takes an ICE session away by its ufrag; the addresses stay.
func (r *route) drop(ufrag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := r.find(ufrag); i >= 0 {
		r.generations = slices.Delete(r.generations, i, i+1)
		r.mux.dropUfrag(ufrag)
	}
}

// find is the index of a generation by its ufrag, below 0 when it is not there.
// r.mu is held.
func (r *route) find(ufrag string) int {
	return slices.IndexFunc(r.generations, func(g *generation) bool { return g.local.ufrag == ufrag })
}

// close forgets the publisher, its ufrags and its addresses.
func (r *route) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	for _, g := range r.generations {
		r.mux.dropUfrag(g.local.ufrag)
	}
	r.mux.unbind(r, r.addrs...)
	r.generations, r.addrs = nil, nil
}

// checked tells when the last check was answered with success; zero: never.
func (r *route) checked() time.Time { return instant(r.lastCheck.Load()) }

// heard tells when anything came from one of the publisher's addresses.
func (r *route) heard() time.Time { return instant(r.lastHeard.Load()) }

func instant(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds)
}

// check passes a check on, unless there is something wrong with it: the ice
// package answers checks that a viewer's would be refused for, those with an
// attribute that nobody understands (RFC 8489 section 6.3.1) or with a wrong
// FINGERPRINT. Its answer is what makes the sender's address the publisher's:
// see writeSide.
func (r *route) check(res *responder, b []byte, from netip.AddrPort) {
	m := r.mux
	r.evidence.checks.Add(1)
	r.mu.Lock()
	var g *generation
	if i := r.find(string(res.local)); i >= 0 {
		g = r.generations[i]
	}
	r.mu.Unlock()
	if g == nil { // dropped just now
		m.drop(dropUnknownUfrag)
		return
	}
	if verdict, reply := res.judge(g, from); verdict != checkAccepted && verdict != checkNominated {
		m.count.checks[verdict].Add(1)
		if len(reply) > 0 {
			// What cannot be sent is as lost as on the network: checks are repeated.
			_, _ = m.conn.WriteToUDPAddrPort(reply, from)
		}
		return
	}
	m.mu.Lock()
	if len(m.pending) >= maxPending {
		clear(m.pending) // a flood of forged checks; real ones are repeated
	}
	m.pending[from] = r
	m.mu.Unlock()
	if !m.side.push(b, from) {
		m.drop(dropQueue)
	}
}

// datagram passes on what comes from an address of the publisher.
func (r *route) datagram(b []byte, from netip.AddrPort) {
	r.lastHeard.Store(time.Now().UnixNano())
	if isDTLS(b) {
		r.evidence.received(b)
	}
	if !r.mux.side.push(b, from) {
		r.mux.drop(dropQueue)
	}
}

// accept makes from an address of the publisher.
func (r *route) accept(from netip.AddrPort) {
	now := time.Now().UnixNano()
	r.lastCheck.Store(now)
	r.reached.CompareAndSwap(0, now)
	r.lastHeard.Store(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if i := slices.Index(r.addrs, from); i >= 0 {
		r.addrs = slices.Delete(r.addrs, i, i+1)
	} else if len(r.addrs) == maxAddresses {
		r.mux.unbind(r, r.addrs[0])
		r.addrs = slices.Delete(r.addrs, 0, 1)
	}
	r.addrs = append(r.addrs, from)
	r.mux.bind(from, r)
}

// keepAlive sends a Binding indication to the latest address when nothing was
// sent for a while (RFC 8445 section 11): a publisher whose encoder pauses gets
// no reports, and the binding of its NAT would be lost.
func (r *route) keepAlive(now time.Time) {
	if now.Sub(instant(r.lastSent.Load())) < keepaliveInterval {
		return
	}
	r.mu.Lock()
	var to netip.AddrPort
	if n := len(r.addrs); n > 0 {
		to = r.addrs[n-1]
	}
	r.mu.Unlock()
	if !to.IsValid() {
		return
	}
	r.lastSent.Store(now.UnixNano())
	r.mux.indicate(to)
}

// indicate sends a Binding indication.
func (m *mux) indicate(to netip.AddrPort) {
	var transaction [12]byte
	_, _ = rand.Read(transaction[:]) // never fails
	b := appendFingerprint(appendHeader(nil, bindingIndication, transaction[:]))
	// What cannot be sent is as lost as on the network.
	_, _ = m.conn.WriteToUDPAddrPort(b, to)
}

// writeSide sends for the ice package and watches for its answers to checks.
func (m *mux) writeSide(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	m.mu.RLock()
	o := m.addrs[to]
	m.mu.RUnlock()
	if r, ok := o.(*route); ok {
		r.lastSent.Store(time.Now().UnixNano())
		if len(b) > 0 && b[0] == recordAlert {
			r.evidence.sent(b)
		}
	}
	if len(b) >= 2 && b[0] < 4 {
		m.mu.Lock()
		r := m.pending[to]
		delete(m.pending, to)
		m.mu.Unlock()
		if r != nil && b[0] == 0x01 && b[1] == 0x01 { // binding success response
			r.accept(to)
		}
	}
	return m.conn.WriteToUDPAddrPort(b, to)
}
