package sfu

import (
	"runtime"
	"sync"
	"time"
)

// EventType names what happened, in the words of the control API.
type EventType string

// What a room tells of.
const (
	PublicationStarted EventType = "publication.started" // first media of a claim
	PublicationStopped EventType = "publication.stopped" // its claim ended or was replaced
	PublicationMuted   EventType = "publication.muted"   // Muted is what it is now
	ProgramChanged     EventType = "program.changed"     // Publication is the new one, "" none
	LayerChanged       EventType = "layer.changed"       // a viewer gets another layer of a simulcast; once in a second at most
	RoomEnded          EventType = "room.ended"          // the room was deleted
	// RoomLeft: an implicit room is no more, because nobody was left in it. Who
	// comes next finds a new one.
	RoomLeft EventType = "room.left"
)

// Event is something that happened in a room.
type Event struct {
	Type        EventType
	Time        time.Time
	Room        string
	Publication string
	Session     string // the publisher's, where there is one; of LayerChanged, the viewer's
	Identity    string // the publisher's, as its ClaimConfig
	Name        string // the same
	Muted       Muted  // of the publication
	RID         string // of LayerChanged
}

// eventQueue makes calls in the order in which they were put, without the locks
// of those who put them and, but for those who cannot wait, without a goroutine.
type eventQueue struct {
	hook func(Event)

	mu       sync.Mutex // guards the fields below
	waiting  []func()
	draining bool
}

// put queues an event for the hook; called with locks held.
func (q *eventQueue) put(e Event) {
	if q.hook != nil {
		q.call(func() { q.hook(e) })
	}
}

// call queues a call that must not block; called with locks held.
func (q *eventQueue) call(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, f)
}

// idle tells whether nothing waits, or another drains.
func (q *eventQueue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.draining || len(q.waiting) == 0
}

// drainBatch is how many calls are made in one go. Then whoever has a packet to
// send comes first: a core may have to do both.
const drainBatch = 32

// drain makes the calls; called without locks. One caller at a time does the
// work for all, so that the order holds.
func (q *eventQueue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.draining {
		return
	}
	q.draining = true
	for len(q.waiting) > 0 {
		batch := q.waiting
		q.waiting = nil
		q.mu.Unlock()
		for i, f := range batch {
			f()
			if i%drainBatch == drainBatch-1 {
				runtime.Gosched()
			}
		}
		q.mu.Lock()
	}
	q.draining = false
}
