package whep

import (
	"slices"
	"strconv"
)

// stream is a stream of a session's events for one reader at a time. Its
// fields are guarded by the viewer's lock.
type stream struct {
	v     *viewer
	types []EventType

	// queue holds the newest events, also some that were sent: a reader who lost
	// his connection says which he has.
	queue []event
	sent  uint64 // id of the last event sent
	count int    // last EventViewerCount, -1: none
	turn  *turn  // of the reader, nil: none
	ended bool
}

// turn is the time of one reader.
type turn struct {
	over chan struct{} // closed when another reader came
	wake chan struct{} // capacity 1; full: the reader will look anyway
}

// put queues an event that the stream wants; the viewer's lock is held.
func (s *stream) put(e event) {
	if s.ended || !slices.Contains(s.types, e.kind) {
		return
	}
	if e.kind.isState() {
		s.queue = slices.DeleteFunc(s.queue, func(o event) bool { return o.kind == e.kind && o.id > s.sent })
	}
	if len(s.queue) == maxQueue {
		s.queue = slices.Delete(s.queue, 0, 1)
	}
	s.queue = append(s.queue, e)
	s.poke()
}

// end lets the reader send what waits, and no more; the viewer's lock is held.
func (s *stream) end() {
	s.ended = true
	s.poke()
}

// poke lets the reader look. Who was the reader before is not woken in his place.
func (s *stream) poke() {
	if s.turn == nil {
		return
	}
	select {
	case s.turn.wake <- struct{}{}:
	default:
	}
}

// take makes the caller the reader in place of whoever is; he has to look at
// once. LastID is his Last-Event-ID, "" if he sent none: he goes on after that one.
func (s *stream) take(lastID string) *turn {
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	if s.turn != nil {
		close(s.turn.over)
	}
	s.turn = &turn{over: make(chan struct{}), wake: make(chan struct{}, 1)}
	if id, err := strconv.ParseUint(lastID, 10, 64); err == nil && id <= s.v.last {
		s.sent = id
	}
	return s.turn
}

// release ends a reader's turn, if it is still his.
func (s *stream) release(t *turn) {
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	if s.turn == t {
		s.turn = nil
	}
}

// next returns what the reader has to send, up to which event, and whether that
// is the last.
func (s *stream) next(t *turn) (text []byte, upTo uint64, last bool) {
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	if s.turn != t {
		return nil, 0, true
	}
	for _, e := range s.queue {
		if e.id > s.sent {
			text = append(text, e.text...)
			upTo = e.id
		}
	}
	return text, upTo, s.ended
}

// wrote notes what the reader has sent.
func (s *stream) wrote(t *turn, upTo uint64) {
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	if s.turn == t {
		s.sent = upTo
	}
}

// wants tells whether the stream has a type.
func (s *stream) wants(t EventType) bool { return slices.Contains(s.types, t) }

// tellCount queues the number of viewers when it is news to this stream.
func (s *stream) tellCount() error {
	n := s.v.sub.Viewers()
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	if s.ended || s.count == n {
		return nil
	}
	e, err := newEvent(s.v.last+1, EventViewerCount, viewerCount{n})
	if err != nil {
		return err
	}
	s.v.last++
	s.count = n
	s.put(e)
	return nil
}
