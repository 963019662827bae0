package sfu

import (
	"sort"
	"time"
)

// Bounds of the losses that are kept, and of the asking. pion's generator asks
// for the same packet every 100 ms until it comes, without knowing that it did
// come on the retransmission's SSRC; this one is told of every arrival, learns
// the round trip, and gives up.
const (
	reorderTime    = 10 * time.Millisecond // before the first NACK ...
	reorderPackets = 3                     // ... or that many later packets
	retryMin       = 40 * time.Millisecond
	retryUnknown   = 100 * time.Millisecond // round trip before the first measurement
	nackTries      = 5
	nackAge        = time.Second
	nackMissing    = 512 // more at once is an outage: only a keyframe helps
)

// missing is a packet that has not come.
type missing struct {
	seq   uint64
	since time.Time
	due   time.Time // to be asked for, or given up
	asked time.Time // for the first time
	tries int
}

// losses follows what is missing on a track and decides what to ask for when.
// It has no clock of its own.
type losses struct {
	asks    bool // the publisher answers generic NACKs
	started bool
	highest uint64
	list    []missing // by seq
	trip    time.Duration

	lost, asked, recovered uint64
}

// arrived notes a packet. Urgent: a deadline has come closer.
func (l *losses) arrived(seq uint64, now time.Time) (urgent, outage bool) {
	if !l.started {
		l.started, l.highest = true, seq
		return false, false
	}
	if seq <= l.highest {
		l.found(seq, now)
		return false, false
	}
	gap := int(min(seq-l.highest-1, maxDropout))
	if gap+len(l.list) > nackMissing {
		l.lost += uint64(gap + len(l.list))
		l.list = l.list[:0]
		outage = true
	} else {
		for s := l.highest + 1; s < seq; s++ {
			l.list = append(l.list, missing{seq: s, since: now, due: now.Add(reorderTime)})
			urgent = true
		}
	}
	before := l.highest
	l.highest = seq
	for i := len(l.list) - 1; i >= 0; i-- {
		m := &l.list[i]
		if before >= m.seq+reorderPackets {
			break // this and those below were seen to last time
		}
		if m.tries == 0 && seq-m.seq >= reorderPackets {
			m.due = now
			urgent = true
		}
	}
	if !l.asks {
		l.sweep(now)
		urgent = false
	}
	return urgent, outage
}

// found takes a late packet off the list.
func (l *losses) found(seq uint64, now time.Time) {
	i := sort.Search(len(l.list), func(i int) bool { return l.list[i].seq >= seq })
	if i == len(l.list) || l.list[i].seq != seq {
		if l.lost > 0 {
			l.lost-- // it had been given up
		}
		return
	}
	if m := l.list[i]; m.tries > 0 {
		l.recovered++
		l.measure(now.Sub(m.asked), m.tries > 1)
	}
	l.list = append(l.list[:i], l.list[i+1:]...)
}

// measure takes the time from the first request to the packet. It follows the
// round trip up at once and down slowly: an estimate that is too low asks twice
// for everything. When there were several requests it is unknown which one was
// answered; still it must count, or an estimate that is too low stays so.
func (l *losses) measure(d time.Duration, ambiguous bool) {
	switch {
	case l.trip == 0, !ambiguous && d > l.trip:
		l.trip = d
	case !ambiguous || d > l.trip:
		l.trip += (d - l.trip) / 8
	}
}

// sweep gives up what is too old and returns what is to be asked for.
func (l *losses) sweep(now time.Time) (ask []uint16) {
	kept := l.list[:0]
	for _, m := range l.list {
		if now.Sub(m.since) >= nackAge || m.tries >= nackTries && !m.due.After(now) {
			l.lost++
			continue
		}
		if l.asks && !m.due.After(now) {
			if m.tries == 0 {
				m.asked = now
			}
			m.due = now.Add(l.patience(m.tries))
			m.tries++
			l.asked++
			ask = append(ask, uint16(m.seq))
		}
		kept = append(kept, m)
	}
	l.list = kept
	return ask
}

// patience is how long to wait after asking for the (tries+1)th time.
func (l *losses) patience(tries int) time.Duration {
	trip := l.trip
	if trip == 0 {
		trip = retryUnknown
	}
	d := max(trip*6/5, retryMin)
	for range tries {
		d += d / 2
	}
	return d
}

// next is the earliest deadline; the zero time when there is nothing to ask for.
func (l *losses) next() (next time.Time) {
	if !l.asks {
		return next
	}
	for _, m := range l.list {
		if next.IsZero() || m.due.Before(next) {
			next = m.due
		}
	}
	return next
}

// restart forgets what is missing: the publisher numbers anew.
func (l *losses) restart() {
	l.lost += uint64(len(l.list))
	l.list, l.started = l.list[:0], false
}
