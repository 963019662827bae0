package egress

import (
	"errors"
	"log/slog"
	"sync"
)

// ErrClosed is returned by operations on a closed Plane or Viewer.
var ErrClosed = errors.New("egress: closed")

// bufferSize bounds a sealed packet, header and tag included.
const bufferSize = 2048

// maxPayload is the longest payload that is forwarded, with room for the
// original sequence number of a retransmission (RFC 4588).
const maxPayload = bufferSize - maxHeader - maxOverhead - 2

// Plane is the sending side of the media sockets, shared by all viewers. Its
// viewers are spread over shards, one for each socket, with a goroutine each;
// these sleep while there is nothing to do.
type Plane struct {
	log     *slog.Logger
	shards  []*shard
	count   counters
	batches sync.Pool // of *batch, for what is sent outside of the shards
	// lent is held for reading by who has one of them; taken before Viewer.mu.
	lent sync.RWMutex

	done chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex // guards what follows; taken after Viewer.mu
	closed  bool
	viewers map[*Viewer]struct{} // started and not stopped
}

// PlaneStats counts what a plane sent to all viewers over its life.
type PlaneStats struct {
	Packets, Bytes uint64 // first transmissions of RTP, payload bytes
	Retransmitted  uint64 // packets sent again
	Dropped        uint64 // packets given up because the socket was full
	Oversize       uint64 // packets not sent because their payload was too long
	WriteErrors    uint64 // datagrams that could not be written for any other reason
	Viewers        int    // started and not stopped
	CatchingUp     int    // streams that are paced now
}

// NewPlane starts a plane with a shard for each socket. All of them send from
// the same address. It takes one socket at least.
func NewPlane(log *slog.Logger, sockets ...PacketWriter) *Plane {
	p := newPlane(log, sockets...)
	for _, sh := range p.shards {
		p.wg.Go(sh.run)
	}
	return p
}

// newPlane makes a plane that does nothing by itself.
func newPlane(log *slog.Logger, sockets ...PacketWriter) *Plane {
	p := &Plane{
		log:     log,
		done:    make(chan struct{}),
		viewers: make(map[*Viewer]struct{}),
	}
	for _, s := range sockets {
		p.shards = append(p.shards, newShard(p, s))
	}
	return p
}

// place is the shard for one more viewer: that with the fewest.
func (p *Plane) place() *shard {
	best := p.shards[0]
	for _, sh := range p.shards[1:] {
		if sh.viewers.Load() < best.viewers.Load() {
			best = sh
		}
	}
	best.viewers.Add(1)
	return best
}

// borrow returns a batch for what is sent to a viewer outside of its shard. Nobody
// has two.
func (p *Plane) borrow(v *Viewer) *batch {
	p.lent.RLock()
	b, ok := p.batches.Get().(*batch)
	if !ok {
		return newBatch(v.shard.socket, &p.count, answerArena, answerMessages)
	}
	b.socket = v.shard.socket
	return b
}

// giveBack sends what is in a batch.
func (p *Plane) giveBack(b *batch) {
	b.flush()
	p.batches.Put(b)
	p.lent.RUnlock()
}

// Close stops all viewers and ends the plane's own goroutines; no viewer sends
// after it.
func (p *Plane) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	viewers := make([]*Viewer, 0, len(p.viewers))
	for v := range p.viewers {
		viewers = append(viewers, v)
	}
	p.mu.Unlock()
	for _, v := range viewers {
		v.Stop()
	}
	p.lent.Lock() // by now what was sealed on other goroutines is sent
	if first {
		close(p.done)
	}
	p.lent.Unlock()
	p.wg.Wait()
	if first {
		st := p.Stats()
		p.log.Debug("egress closed", "packets", st.Packets, "retransmitted", st.Retransmitted,
			"dropped", st.Dropped, "write_errors", st.WriteErrors)
	}
	return nil
}

// Stats returns a copy of the plane's counters.
func (p *Plane) Stats() PlaneStats {
	catching := 0
	for _, sh := range p.shards {
		catching += int(sh.paced.Load())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return PlaneStats{
		Packets:       p.count.packets.Load(),
		Bytes:         p.count.bytes.Load(),
		Retransmitted: p.count.retransmitted.Load(),
		Dropped:       p.count.dropped.Load(),
		Oversize:      p.count.oversize.Load(),
		WriteErrors:   p.count.failed.Load(),
		Viewers:       len(p.viewers),
		CatchingUp:    catching,
	}
}

// add registers a started viewer.
func (p *Plane) add(v *Viewer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.viewers[v] = struct{}{}
	v.shard.start(v)
	return nil
}

// remove forgets a viewer.
func (p *Plane) remove(v *Viewer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.viewers, v)
}

// wake signals on a channel of capacity one; a pending signal is enough.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
