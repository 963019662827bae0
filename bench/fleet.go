package bench

import (
	"sync"
	"time"
)

// fleet is the viewers that are connected, and what is counted of them.
type fleet struct {
	mu      sync.Mutex // guards what follows and what viewer says it does
	viewers []*viewer
	latency *histogram // of settled viewers
	gone    totals     // of viewers that have left
	joining int        // how many are under way
}

// totals is sums over viewers.
type totals struct {
	packets, bytes        uint64
	missing, late, twice  uint64 // by sequence number
	stamps, stampsMissing uint64
	stampsLate            uint64
	undecryptable, drops  uint64
}

func (t *totals) add(o totals) {
	t.packets += o.packets
	t.bytes += o.bytes
	t.missing += o.missing
	t.late += o.late
	t.twice += o.twice
	t.stamps += o.stamps
	t.stampsMissing += o.stampsMissing
	t.stampsLate += o.stampsLate
	t.undecryptable += o.undecryptable
	t.drops += o.drops
}

// since is what was added after o. What was missing then may have come since, so
// that a difference can be less than nothing: it counts as nothing.
func (t totals) since(o totals) totals {
	less := func(a, b uint64) uint64 { return a - min(a, b) }
	return totals{
		packets: t.packets - o.packets, bytes: t.bytes - o.bytes,
		missing: less(t.missing, o.missing), late: t.late - o.late, twice: t.twice - o.twice,
		stamps: t.stamps - o.stamps, stampsMissing: less(t.stampsMissing, o.stampsMissing), stampsLate: t.stampsLate - o.stampsLate,
		undecryptable: t.undecryptable - o.undecryptable, drops: less(t.drops, o.drops),
	}
}

// census is the state of the fleet at one moment.
type census struct {
	at     time.Time
	all    totals             // with those that have left
	own    map[*viewer]uint64 // packets of each that is there
	closed int                // ended by the server, or silent to consent checks
}

// count takes a census and begins a new histogram of latency, to which all who
// are connected now will add; it returns the one before.
func (f *fleet) count() (census, *histogram) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := census{at: time.Now(), all: f.gone, own: make(map[*viewer]uint64, len(f.viewers))}
	for _, v := range f.viewers {
		t := v.totals()
		c.all.add(t)
		c.own[v] = t.packets
		if v.ended {
			c.closed++
		}
		v.settled = true
	}
	before := f.latency
	f.latency = new(histogram)
	return c, before
}

// of sums what the viewers of an earlier census have now.
func (f *fleet) of(viewers map[*viewer]uint64) (t totals) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for v := range viewers {
		t.add(v.totals())
	}
	return t
}

// add takes a viewer in.
func (f *fleet) add(v *viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.viewers = append(f.viewers, v)
}

// take takes the n viewers out that have been there longest. Their counts stay.
func (f *fleet) take(n int) []*viewer {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = min(n, len(f.viewers))
	out := f.viewers[:n:n]
	f.viewers = append([]*viewer(nil), f.viewers[n:]...)
	for _, v := range out {
		f.gone.add(v.totals())
	}
	return out
}

// takeEnded takes out those whose sessions the server has ended.
func (f *fleet) takeEnded() (ended []*viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var rest []*viewer
	for _, v := range f.viewers {
		if !v.ended {
			rest = append(rest, v)
			continue
		}
		ended = append(ended, v)
		f.gone.add(v.totals())
	}
	f.viewers = rest
	return ended
}

// list is a copy.
func (f *fleet) list() []*viewer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*viewer(nil), f.viewers...)
}

func (f *fleet) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joining++
}

func (f *fleet) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joining--
}
