package egress

import (
	"sync"
	"time"
)

// maxQueue bounds the packets that wait for the shard: some seconds of video,
// which only a process that stands still lets come together.
const maxQueue = 2048

// queue is what was written to a stream and not sent yet.
type queue struct {
	mu      sync.Mutex // guards what follows; nothing but moments is done with it
	packets []*Packet
	state   queueState
}

// queueState is what the shard knows of a queue.
type queueState uint8

const (
	queueEmpty queueState = iota
	queueHeld             // a frame has begun
	queueDue              // there is something to be sent now, or the rest of something
)

// Write forwards one packet of the bound source; called in arrival order by
// the one goroutine that reads the track. The packet waits, at most about a
// millisecond, until its frame is complete and the shard sends it. After Bind of
// a video source without backlog, packets before the first keyframe are not
// sent. p.Payload empty (padding only): the sequence number is skipped without a
// gap.
func (s *Stream) Write(p *Packet) {
	due := p.Marker || s.kind == "audio"
	q := &s.queue
	q.mu.Lock()
	if len(q.packets) >= maxQueue {
		q.mu.Unlock()
		s.viewer.plane.count.dropped.Add(1)
		return
	}
	q.packets = append(q.packets, p)
	was := q.state
	switch {
	case due:
		q.state = queueDue
	case was == queueEmpty:
		q.state = queueHeld
	}
	news := q.state != was
	q.mu.Unlock()
	if news {
		s.viewer.shard.list(s, due)
	}
}

// takeQueue empties the queue, or takes the first part of a long one.
func (s *Stream) takeQueue(into []*Packet, whole bool) (packets []*Packet, more bool) {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.packets)
	if n > burstLimit && !whole && s.kind == "video" {
		n = max(burstLimit/2, (n+spreadTicks-1)/spreadTicks)
		packets = append(into[:0], q.packets[:n]...)
		rest := copy(q.packets, q.packets[n:])
		clear(q.packets[rest:])
		q.packets = q.packets[:rest]
		q.state = queueDue // the shard comes back to it unasked
		return packets, true
	}
	packets = append(into[:0], q.packets...)
	clear(q.packets)
	q.packets = q.packets[:0]
	q.state = queueEmpty
	return packets, false
}

// serve sends what waits; more: there is too much of it for one burst. Called by
// the shard.
func (s *Stream) serve(out *batch, now time.Time) (more bool) {
	s.queue.mu.Lock()
	served := s.queue.state == queueEmpty // by an entry of another list
	s.queue.mu.Unlock()
	if served {
		return false
	}
	v := s.viewer
	v.mu.Lock()
	if b := s.current; b != nil && !b.open && !b.times.clock.ok && s.catchup == nil && v.live() {
		// The first packet is preceded by a sender report, and the source could
		// not tell the time at Bind. Not with the lock held, see doc.go.
		v.mu.Unlock()
		var c times
		c.read(b.source, now)
		v.mu.Lock()
		if !b.open {
			b.times = c
		}
	}
	out.packetsOf, more = s.takeQueue(out.packetsOf, false)
	ask := s.deliver(out, out.packetsOf, now)
	v.mu.Unlock()
	clear(out.packetsOf)
	if ask != nil {
		ask.RequestKeyframe()
	}
	return more
}

// settle sends all that waits, before the source changes. Called with Viewer.mu
// held.
func (s *Stream) settle(out *batch, now time.Time) {
	out.packetsOf, _ = s.takeQueue(out.packetsOf, true)
	s.deliver(out, out.packetsOf, now) // who asked for a keyframe is about to get another source
	clear(out.packetsOf)
}

// deliver gives packets of the current binding to the viewer, or to what it
// catches up with. Ask is who is to be asked for a keyframe. Called with
// Viewer.mu held.
func (s *Stream) deliver(out *batch, packets []*Packet, now time.Time) (ask Source) {
	b := s.current
	if b == nil {
		return nil
	}
	for _, p := range packets {
		switch {
		case s.catchup != nil:
			if !s.catchup.push(p) {
				s.abandon()
				ask = b.source
			}
		case s.viewer.live():
			s.forward(out, p, now)
		}
	}
	return ask
}
