package webhook

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// endpoint is one receiver and what waits for it.
//
// There are two kinds of failure. When the receiver is away - it cannot be
// reached, does not answer in time, or says that it is busy - nothing is sent
// for a while, and then one request tries. When it refuses an event, the room
// of that event waits and all others go on.
type endpoint struct {
	id  string // in the file: of the URL
	url string
	cfg *Config
	do  func(context.Context, *endpoint, job) outcome
	// wake has room for one: a worker's result or a new event.
	wake chan struct{}

	mu       sync.Mutex // guards what follows
	rooms    map[string]*queue
	idle     waiting   // rooms with events of which none is in flight
	flying   int       // requests
	failures int       // in a row, of a receiver that is away
	awayAt   time.Time // when the last of them was counted
	paused   time.Time // until when nothing is sent
	last     time.Time // of the last success
	lastErr  string
	failedAt time.Time
	sent     uint64
	failed   map[string]uint64 // by class
}

// queue is what waits of one room.
type queue struct {
	room   string
	seqs   []uint64 // ascending; the first is next
	due    time.Time
	index  int    // in endpoint.idle; -1: in flight
	flying uint64 // of the event in flight
	failed uint64 // of the event that tries is about
	tries  int
}

// job is one event to send.
type job struct {
	key     key
	started time.Time
}

// verdict is what became of a try.
type verdict int

const (
	delivered verdict = iota
	gone              // not in the outbox any more
	refused           // the receiver does not want this one
	away              // the receiver wants nothing now
)

// outcome is a verdict with its circumstances.
type outcome struct {
	verdict verdict
	class   string        // of the failure
	failure string        // in words
	wait    time.Duration // asked for by the receiver; 0: ours
}

func newEndpoint(url string, cfg *Config) *endpoint {
	return &endpoint{
		id: endpointID(url), url: url, cfg: cfg, wake: make(chan struct{}, 1),
		rooms: map[string]*queue{}, failed: map[string]uint64{},
	}
}

// run sends until ctx ends. Done is told of each event that is over, with the
// number of tries of a dead letter.
func (e *endpoint) run(ctx context.Context, done func(*endpoint, key, outcome, int)) {
	var workers sync.WaitGroup
	jobs := make(chan job)
	for range e.cfg.Workers {
		workers.Go(func() {
			for j := range jobs {
				if o := e.do(ctx, e, j); ctx.Err() == nil || o.verdict == delivered {
					if over, tries := e.finish(j, o, time.Now()); over {
						done(e, j.key, o, tries)
					}
				}
				e.stir()
			}
		})
	}
	defer workers.Wait()
	defer close(jobs)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		j, wait, ok := e.next(time.Now())
		if ok {
			jobs <- j // next counts: a worker is free
			continue
		}
		timer.Reset(wait)
		select {
		case <-e.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

func (e *endpoint) stir() {
	select {
	case e.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// next takes the event that is to be sent now, or says when to look again.
func (e *endpoint) next(now time.Time) (j job, wait time.Duration, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	const long = time.Hour // something stirs before
	switch {
	case len(e.idle) == 0, e.flying >= e.cfg.Workers:
		return j, long, false
	case e.failures > 0 && e.flying > 0: // one tries for all
		return j, long, false
	case now.Before(e.paused):
		return j, e.paused.Sub(now), false
	case now.Before(e.idle[0].due):
		return j, e.idle[0].due.Sub(now), false
	}
	q, _ := heap.Pop(&e.idle).(*queue)
	q.flying = q.seqs[0]
	e.flying++
	return job{key{q.flying, q.room}, now}, 0, true
}

// finish judges a try. Over means that the event waits no more.
func (e *endpoint) finish(j job, o outcome, now time.Time) (over bool, tries int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flying--
	q := e.rooms[j.key.room]
	if q.failed != j.key.seq {
		q.failed, q.tries = j.key.seq, 0
	}
	if o.verdict == refused || o.verdict == away {
		e.failed[o.class]++
		e.lastErr, e.failedAt = o.failure, now
	}
	// Who took another event meanwhile is not away: this event is special.
	if o.verdict == away && e.last.After(j.started) {
		o.verdict = refused
	}
	q.due = now
	switch o.verdict {
	case delivered:
		e.sent++
		e.last, e.failures, e.paused = now, 0, time.Time{}
		over = true
	case gone:
		over = true
	case refused:
		q.tries++
		tries = q.tries
		if over = tries >= e.cfg.Tries; !over {
			q.due = now.Add(max(backoff(e.cfg, q.tries), o.wait))
		}
	case away:
		if !j.started.Before(e.awayAt) { // others of the same moment count once
			e.failures++
			e.awayAt = now
		}
		if until := now.Add(max(backoff(e.cfg, e.failures), o.wait)); until.After(e.paused) {
			e.paused = until
		}
	}
	if over {
		q.remove(j.key.seq)
	}
	q.flying = 0
	if len(q.seqs) == 0 {
		delete(e.rooms, q.room)
	} else {
		heap.Push(&e.idle, q)
	}
	return over, tries
}

// add takes events that are on disk now. Most are the last of their room; one
// that was replayed may come before others.
func (e *endpoint) add(keys []key, now time.Time) {
	e.mu.Lock()
	for _, k := range keys {
		q := e.rooms[k.room]
		if q == nil {
			q = &queue{room: k.room, due: now}
			e.rooms[k.room] = q
			heap.Push(&e.idle, q)
		}
		if at, found := slices.BinarySearch(q.seqs, k.seq); !found {
			q.seqs = slices.Insert(q.seqs, at, k.seq)
		}
	}
	e.mu.Unlock()
	e.stir()
}

// drop forgets events that are on disk no more. One in flight is over when its
// request is.
func (e *endpoint) drop(keys []key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range keys {
		q := e.rooms[k.room]
		if q == nil || q.flying == k.seq {
			continue
		}
		q.remove(k.seq)
		if len(q.seqs) == 0 && q.flying == 0 {
			heap.Remove(&e.idle, q.index)
			delete(e.rooms, k.room)
		}
	}
}

// resume ends all waiting: somebody knows that the receiver is back.
func (e *endpoint) resume(now time.Time) {
	e.mu.Lock()
	e.failures, e.paused = 0, time.Time{}
	for _, q := range e.idle {
		q.due = now
	}
	heap.Init(&e.idle)
	e.mu.Unlock()
	e.stir()
}

func (q *queue) remove(seq uint64) {
	switch at, found := slices.BinarySearch(q.seqs, seq); {
	case !found:
	case at == 0:
		q.seqs = q.seqs[1:]
	default:
		q.seqs = slices.Delete(q.seqs, at, at+1)
	}
}

// backoff is how long to wait after so many failures in a row. It is drawn
// from half of it to all, so that rooms and nodes come back apart.
func backoff(cfg *Config, failures int) time.Duration {
	wait := cfg.MaxWait
	if shift := failures - 1; shift < 40 && cfg.MinWait < cfg.MaxWait>>shift {
		wait = cfg.MinWait << shift
	}
	return wait - rand.N(wait/2+1) //nolint:gosec // not a secret
}

// waiting is a heap of rooms, the one that is due first on top.
type waiting []*queue

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

// Push implements heap.Interface.
func (w *waiting) Push(x any) {
	if q, ok := x.(*queue); ok {
		q.index = len(*w)
		*w = append(*w, q)
	}
}

// Pop implements heap.Interface.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	q := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	q.index = -1
	return q
}
