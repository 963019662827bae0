package sfu

import (
	"sync/atomic"

	"github.com/sluicemedia/sluice/egress"
)

// ring keeps the packets of the recent past for retransmission. One goroutine
// stores; any may look up, without a lock: a retransmission never waits for a
// fan-out.
type ring []atomic.Pointer[egress.Packet]

// newRing makes a ring of n packets, a power of two.
func newRing(n int) ring { return make(ring, n) }

func (r ring) slot(seq uint64) *atomic.Pointer[egress.Packet] { return &r[seq&uint64(len(r)-1)] }

// packet returns the packet with that number, nil when it is not there.
func (r ring) packet(seq uint64) *egress.Packet {
	if p := r.slot(seq).Load(); p != nil && p.Seq == seq {
		return p
	}
	return nil
}

// fresh tells whether seq is neither there already nor too old to be stored.
func (r ring) fresh(seq uint64) bool {
	p := r.slot(seq).Load()
	return p == nil || p.Seq < seq
}

func (r ring) store(p *egress.Packet) { r.slot(p.Seq).Store(p) }
