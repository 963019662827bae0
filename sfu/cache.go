package sfu

import (
	"slices"
	"sort"
	"time"

	"github.com/sluicemedia/sluice/egress"
)

// Bounds of the keyframe cache. A group of pictures beyond them is forgotten:
// one that was cut off is worse than none, and a viewer who joins waits for a
// keyframe that is asked for.
const (
	cacheAge     = 12 * time.Second
	cacheBytes   = 16 << 20
	cachePackets = 16 << 10
)

// cache keeps the packets from the last keyframe on, in the order of their
// numbers. It is guarded by its track's lock.
type cache struct {
	packets []*egress.Packet
	bytes   int
	lent    bool // packets was given away: change nothing in what it covers
}

// begin starts anew with the keyframe that p is the first packet of.
func (c *cache) begin(p *egress.Packet) {
	c.forget()
	c.append(p)
}

// add puts p in its place; packets from before the keyframe are not wanted.
func (c *cache) add(p *egress.Packet) {
	n := len(c.packets)
	switch {
	case n == 0 || p.Seq <= c.packets[0].Seq:
		return
	case p.Seq > c.packets[n-1].Seq:
		c.append(p)
	default: // late
		at := sort.Search(n, func(i int) bool { return c.packets[i].Seq >= p.Seq })
		if c.lent {
			c.packets, c.lent = slices.Clone(c.packets), false
		}
		c.packets = slices.Insert(c.packets, at, p)
		c.bytes += len(p.Payload)
	}
	if len(c.packets) > cachePackets || c.bytes > cacheBytes || p.Arrived.Sub(c.packets[0].Arrived) > cacheAge {
		c.forget()
	}
}

// append is safe also when packets was lent: nobody sees what lies beyond.
func (c *cache) append(p *egress.Packet) {
	c.packets = append(c.packets, p)
	c.bytes += len(p.Payload)
}

func (c *cache) forget() {
	if c.lent {
		c.packets, c.lent = nil, false
	}
	clear(c.packets)
	c.packets, c.bytes = c.packets[:0], 0
}

// lend returns what is cached, without a copy for each viewer who joins. The
// result is never written to; it ends at its length for whoever appends.
func (c *cache) lend() []*egress.Packet {
	if len(c.packets) == 0 {
		return nil
	}
	c.lent = true
	return slices.Clip(c.packets)
}

// age is how long ago the keyframe came.
func (c *cache) age(now time.Time) time.Duration {
	if len(c.packets) == 0 {
		return 0
	}
	return now.Sub(c.packets[0].Arrived)
}
