package events

import "sync"

// queue calls the sink in the order in which events were put, without the locks
// of those who put them.
type queue struct {
	hook func(Event)

	mu       sync.Mutex // guards what follows
	waiting  []Event
	draining bool
}

// put queues an event; called with a log's lock held.
func (q *queue) put(e Event) {
	if q.hook == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, e)
}

// drain calls the sink; called without locks. One caller at a time does the
// work for all, so that the order holds.
func (q *queue) drain() {
	if q.hook == nil {
		return
	}
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
		for _, e := range batch {
			q.hook(e)
		}
		q.mu.Lock()
	}
	q.draining = false
}
