package session

import (
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
)

// route is one publisher as the mux sees it. Its checks and, once the ice
// package has answered one with success, everything from that check's sender
// go to the publishers' side of the socket.
type route struct {
	mux       *mux
	lastCheck atomic.Int64 // unix nanoseconds
	lastHeard atomic.Int64
	mu        sync.Mutex // guards what follows; taken before mux.mu
	ufrags    []string
	addrs     []netip.AddrPort // oldest first
	closed    bool
}

// openRoute lets checks that name ufrag, and what follows from their sender,
// pass to the publishers' side.
func (m *mux) openRoute(ufrag string) *route {
	r := &route{mux: m}
	r.add(ufrag)
	return r
}

// add adds the ufrag of an ICE restart.
func (r *route) add(ufrag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.ufrags = append(r.ufrags, ufrag)
	r.mux.addUfrag(ufrag, r)
}

// drop takes a ufrag away; the addresses stay.
func (r *route) drop(ufrag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.ufrags, ufrag); i >= 0 {
		r.ufrags = slices.Delete(r.ufrags, i, i+1)
		r.mux.dropUfrag(ufrag)
	}
}

// close forgets the publisher, its ufrags and its addresses.
func (r *route) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	for _, u := range r.ufrags {
		r.mux.dropUfrag(u)
	}
	r.mux.unbind(r, r.addrs...)
	r.ufrags, r.addrs = nil, nil
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

// check passes a check on. The ice package verifies it; its answer is what
// makes the sender's address the publisher's: see writeSide.
func (r *route) check(_ *responder, b []byte, from netip.AddrPort) {
	m := r.mux
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
	if !r.mux.side.push(b, from) {
		r.mux.drop(dropQueue)
	}
}

// accept makes from an address of the publisher.
func (r *route) accept(from netip.AddrPort) {
	now := time.Now().UnixNano()
	r.lastCheck.Store(now)
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

// writeSide sends for the ice package and watches for its answers to checks.
func (m *mux) writeSide(b []byte, to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
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
