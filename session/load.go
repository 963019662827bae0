package session

import "time"

// Load is how hard the media path of a Table works. Counters are over its life.
type Load struct {
	Busy         float64       // share of the time that the busiest shard worked lately
	Delay        time.Duration // longest that a packet to viewers waited lately
	Packets      uint64        // to viewers
	SendDrops    uint64        // of them, given up because a socket was full
	ReceiveDrops uint64        // datagrams that the media socket had no room for
}

// Load tells how hard the media path works.
func (t *Table) Load() Load {
	st, l := t.plane.Stats(), t.plane.Load()
	return Load{
		Busy: l.Busy, Delay: l.Delay, Packets: st.Packets + st.Retransmitted, SendDrops: l.Dropped,
		ReceiveDrops: socketDrops(t.mux.conn),
	}
}

// Census counts the sessions of a role.
type Census struct {
	Connecting int // answered, and not connected yet
	Connected  int
	Joined     uint64 // those that connected since the Table was made
}

// Census is cheap enough for every offer.
func (t *Table) Census(r Role) Census {
	c := t.admission.census(r)
	return Census{Connecting: int(c.unconnected.Load()), Connected: int(c.live.Load()), Joined: c.joined.Load()}
}
