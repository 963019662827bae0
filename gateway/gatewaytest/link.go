package gatewaytest

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// Impairment is what one direction of an emulated link does to packets. The
// zero value passes everything at once.
type Impairment struct {
	Delay  time.Duration
	Jitter time.Duration // uniform, up to this much either way: reorders

	Loss      float64 // probability that a packet is lost, 0 to 1
	Duplicate float64 // probability that a packet comes twice, 0 to 1

	// Gilbert-Elliott bursts: the probabilities to enter and to leave, at each
	// packet, the state in which everything is lost. Enter 0: no bursts.
	BurstEnter, BurstLeave float64

	Rate  int           // bit/s; 0: no limit
	Queue time.Duration // longest wait for the rate, more is dropped; 0: 200 ms

	Down bool // nothing passes
}

// Counts says what one direction of a link did.
type Counts struct {
	In         uint64 // packets that entered
	Lost       uint64 // of those, lost by Loss, a burst or Down
	Overflowed uint64 // of those, dropped because the queue of the rate was full
	Out        uint64 // delivered, duplicates included
}

// Fate is what happened to a packet that entered a link.
type Fate uint8

// The fates.
const (
	Passed Fate = iota
	Lost
	Overflowed
)

const defaultQueue = 200 * time.Millisecond

// Direction is one direction of an emulated link. Its settings may change while
// it runs. It starts one goroutine, which Close ends.
type Direction struct {
	observe func(packet []byte, f Fate) // set before the first packet

	mu     sync.Mutex // guards all below
	imp    Impairment
	rng    *rand.Rand
	bad    bool      // in a burst
	free   time.Time // when the rate has sent all it was given
	queue  packetQueue
	seq    uint64
	counts Counts

	kick   chan struct{} // capacity 1: the queue has a new head
	done   chan struct{}
	closed sync.WaitGroup
}

// NewDirection starts a direction; the same seed loses the same packets.
// Observe, when not nil, sees each packet as it enters with its fate; it must
// not keep it.
func NewDirection(seed uint64, observe func(packet []byte, f Fate)) *Direction {
	d := &Direction{
		observe: observe,
		rng:     rand.New(rand.NewPCG(seed, 0x5107ce)),
		kick:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	d.closed.Go(d.deliver)
	return d
}

// Set changes what the direction does to packets that enter from now on.
func (d *Direction) Set(i Impairment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.imp = i
}

// Counts returns what the direction did so far.
func (d *Direction) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// Close drops what is on its way and ends the direction.
func (d *Direction) Close() {
	close(d.done)
	d.closed.Wait()
}

// Send lets a packet enter; deliver is called, on another goroutine, when it
// comes out, once or twice or never. Send keeps the packet.
func (d *Direction) Send(packet []byte, deliver func([]byte)) {
	d.mu.Lock()
	fate, at := d.judge(len(packet), time.Now())
	if fate == Passed {
		copies := 1
		if d.imp.Duplicate > 0 && d.rng.Float64() < d.imp.Duplicate {
			copies = 2
		}
		for range copies {
			d.seq++
			heap.Push(&d.queue, travelling{at: at, seq: d.seq, packet: packet, deliver: deliver})
		}
	}
	d.mu.Unlock()
	if d.observe != nil {
		d.observe(packet, fate)
	}
	select {
	case d.kick <- struct{}{}:
	default: // already told
	}
}

// judge decides about one packet of n bytes; d.mu is held.
func (d *Direction) judge(n int, now time.Time) (Fate, time.Time) {
	i := d.imp
	d.counts.In++
	switch {
	case i.BurstEnter <= 0:
		d.bad = false
	case d.bad:
		d.bad = d.rng.Float64() >= i.BurstLeave
	default:
		d.bad = d.rng.Float64() < i.BurstEnter
	}
	if i.Down || d.bad || i.Loss > 0 && d.rng.Float64() < i.Loss {
		d.counts.Lost++
		return Lost, now
	}
	at := now
	if i.Rate > 0 {
		longest := i.Queue
		if longest == 0 {
			longest = defaultQueue
		}
		if d.free.Before(now) {
			d.free = now
		}
		if d.free.Sub(now) > longest {
			d.counts.Overflowed++
			return Overflowed, now
		}
		d.free = d.free.Add(time.Duration(float64(n*8) / float64(i.Rate) * float64(time.Second)))
		at = d.free
	}
	at = at.Add(i.Delay)
	if i.Jitter > 0 {
		at = at.Add(time.Duration((d.rng.Float64()*2 - 1) * float64(i.Jitter)))
	}
	return Passed, at
}

// deliver hands packets out when their time has come, until Close.
func (d *Direction) deliver() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next, wait := d.due()
		if next != nil {
			next.deliver(next.packet)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-d.kick:
		case <-d.done:
			return
		}
	}
}

// due takes the next packet whose time has come, or tells how long to wait.
func (d *Direction) due() (*travelling, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(d.queue[0].at); wait > 0 {
		return nil, wait
	}
	p := heap.Pop(&d.queue).(travelling)
	d.counts.Out++
	return &p, 0
}

// travelling is a packet on its way.
type travelling struct {
	at      time.Time
	seq     uint64 // keeps the order of packets that arrive together
	packet  []byte
	deliver func([]byte)
}

// packetQueue is a heap by arrival.
type packetQueue []travelling

func (q packetQueue) Len() int { return len(q) }
func (q packetQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q packetQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *packetQueue) Push(x any)   { *q = append(*q, x.(travelling)) }
func (q *packetQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = travelling{} // let the packet go
	*q = old[:len(old)-1]
	return last
}
