package events

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Listener is somebody's place in a room's log. It is for one goroutine, but
// for Close.
type Listener struct {
	log   *roomLog
	fresh bool   // needs a snapshot before anything else
	seq   uint64 // of the last event that was taken
	once  sync.Once
}

// Batch is what a listener has to send.
type Batch struct {
	frames []*frame
	// Ended says that nothing follows.
	Ended bool
	// More is closed when it is time to look again; nil when there may be more now.
	More <-chan struct{}
}

// maxBatch is how many events are taken in one go.
const maxBatch = 256

// Listen makes a listener, who must be closed. LastID is the id of the last
// event he has, as it was sent, or its number; he goes on after it. Without it,
// or if that is no longer possible, he begins with a snapshot.
// ErrTooManyListeners, ErrTooManyRooms, ErrClosed.
func (h *Hub) Listen(room, lastID string) (*Listener, error) {
	l, err := h.enter(room, true, h.cfg.MaxRooms)
	if err != nil {
		h.refused.Add(1)
		return nil, err
	}
	defer l.leave()
	if l.listeners >= h.cfg.MaxListeners {
		h.refused.Add(1)
		return nil, ErrTooManyListeners
	}
	if !h.open() {
		return nil, ErrClosed
	}
	l.listeners++
	h.listeners.Add(1)
	seq, ok := l.after(lastID)
	return &Listener{log: l, fresh: !ok, seq: seq}, nil
}

// open counts a listener for Close; false after it.
func (h *Hub) open() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.reading.Add(1)
	return true
}

// Close gives the place up.
func (l *Listener) Close() {
	l.once.Do(func() {
		l.log.mu.Lock()
		l.log.listeners--
		l.log.active = time.Now()
		l.log.mu.Unlock()
		l.onCut(nil)
		l.log.hub.listeners.Add(-1)
		l.log.hub.reading.Done()
	})
}

// onCut says how to end a reader who does not read; nil: in no way.
func (l *Listener) onCut(f func()) {
	h := l.log.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if f == nil {
		delete(h.cuts, l)
	} else {
		h.cuts[l] = f
	}
}

// Closing is closed when the hub is closed.
func (l *Listener) Closing() <-chan struct{} { return l.log.hub.closing }

// Take returns what came since the last call.
func (l *Listener) Take() (Batch, error) {
	log := l.log
	log.mu.Lock()
	if !l.fresh {
		frames, all := log.ring.from(l.seq, log.seq, maxBatch)
		if all {
			defer log.mu.Unlock()
			return l.taken(frames), nil
		}
	}
	seq, missed := log.seq, uint64(0)
	if log.gone && seq > 0 {
		seq-- // RoomEnded follows, whatever was missed
	}
	if !l.fresh {
		missed = seq - l.seq
	}
	if f := log.snapshot; f != nil && missed == 0 && log.recent(f) {
		defer log.mu.Unlock()
		log.hub.snapshots.Add(1)
		return l.taken([]*frame{f}), nil
	}
	// To write a large state takes time that a room must not wait for.
	state := log.state.state()
	log.mu.Unlock()
	f, err := newSnapshot(log, seq, state, missed)
	if err != nil {
		return Batch{}, err
	}
	log.hub.snapshots.Add(1)
	log.hub.missed.Add(missed)
	log.mu.Lock()
	defer log.mu.Unlock()
	if missed == 0 && (log.snapshot == nil || log.snapshot.seq < seq) {
		log.snapshot = f
	}
	return l.taken([]*frame{f}), nil
}

// taken moves the listener on; the log's lock is held.
func (l *Listener) taken(frames []*frame) Batch {
	b := Batch{frames: frames}
	if n := len(frames); n > 0 {
		l.seq, l.fresh = frames[n-1].seq, false
	}
	switch {
	case l.seq < l.log.seq:
	case l.log.gone:
		b.Ended = true
	default:
		b.More = l.log.wait()
	}
	return b
}

func newSnapshot(log *roomLog, seq uint64, state State, missed uint64) (*frame, error) {
	data, err := json.Marshal(Beginning{State: state, Life: log.life, Missed: missed})
	if err != nil {
		return nil, fmt.Errorf("events: write a snapshot: %w", err)
	}
	return newFrame(log.life, Event{Seq: seq, Time: Time(time.Now()), Room: log.room, Type: Snapshot, Data: data})
}
