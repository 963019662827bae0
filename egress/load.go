package egress

import (
	"sync"
	"time"
)

// Load is how hard a plane works.
type Load struct {
	// Busy is the share of the time that the busiest shard worked, 0 to 1. It
	// counts what the machine gave to others meanwhile.
	Busy float64
	// Delay is the longest that a packet took from Write until the last viewer of
	// a shard was sent it.
	Delay time.Duration
	// Dropped counts datagrams given up because a socket was full, over the life
	// of the plane.
	Dropped uint64
}

// loadWindow is the time that Load speaks of.
const loadWindow = time.Second

// loadMeter measures one shard over windows of loadWindow.
type loadMeter struct {
	mu    sync.Mutex // guards what follows
	began time.Time  // of the window that is being filled
	busy  time.Duration
	delay time.Duration
	last  Load // of the window before
}

// worked adds a stretch of work.
func (m *loadMeter) worked(from, to time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(from)
	m.busy += to.Sub(from)
}

// waited notes how long a flush kept its first packet.
func (m *loadMeter) waited(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delay = max(m.delay, d)
}

// roll ends the window when it is full.
func (m *loadMeter) roll(now time.Time) {
	span := now.Sub(m.began)
	if span < loadWindow {
		return
	}
	if span < 2*loadWindow {
		m.last = Load{Busy: min(1, m.busy.Seconds()/span.Seconds()), Delay: m.delay}
	} else {
		m.last = Load{} // nothing was done for a while
	}
	m.began, m.busy, m.delay = now, 0, 0
}

func (m *loadMeter) load(now time.Time) Load {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	return Load{Busy: m.last.Busy, Delay: max(m.last.Delay, m.delay)}
}

// Load tells how hard the plane worked over about the last second.
func (p *Plane) Load() Load {
	now := time.Now()
	total := Load{Dropped: p.count.dropped.Load()}
	for _, sh := range p.shards {
		l := sh.load.load(now)
		sh.mu.Lock()
		for _, w := range sh.waiting {
			if !w.since.IsZero() { // a shard that stands still tells nothing itself
				l.Delay = max(l.Delay, now.Sub(w.since))
			}
		}
		sh.mu.Unlock()
		total.Busy, total.Delay = max(total.Busy, l.Busy), max(total.Delay, l.Delay)
	}
	return total
}
