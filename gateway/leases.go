package gateway

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/session"
)

// leaseLook is the longest time between two looks at the clock while a lease
// has an end: a timer alone would not notice that somebody set the clock.
const leaseLook = 500 * time.Millisecond

// bearer is what of a token goes on counting after it was looked at.
type bearer struct {
	tokenID, identity string
	issued, expires   time.Time // zero: not known, never
}

// lease is something that lasts as long as the token that opened it: a session
// or an event stream.
type lease struct {
	room string
	end  func(session.Cause) // called once at most, with no lock held

	// Guarded by the lock of leases.
	id     string // a session's public id, "" of streams
	bearer bearer
	before []bearer // what it had until a refresh, as long as it may be good elsewhere
	index  int      // in due; -1: not there
}

// maxBefore bounds how many tokens a session remembers.
const maxBefore = 16

// leases are all of them. Finding those of a token, an identity or a room costs
// as much as there are of it; those that end stand in a heap, which one
// goroutine looks at. Without a lease that ends it sleeps.
type leases struct {
	revoked *revocations
	wake    chan struct{} // the first end is another one

	mu       sync.Mutex // guards what follows
	sessions map[string]*lease
	by       map[leaseKey]map[*lease]struct{}
	due      dueHeap
}

// leaseKey is what leases are found by.
type leaseKey struct {
	of    keyKind
	value string
}

type keyKind uint8

const (
	byToken keyKind = iota
	byIdentity
	byRoom
)

func newLeases(revoked *revocations) *leases {
	return &leases{
		revoked: revoked, wake: make(chan struct{}, 1),
		sessions: make(map[string]*lease), by: make(map[leaseKey]map[*lease]struct{}),
	}
}

// open begins a lease; session is the public id, "" when it is no session. A
// token that is over ends it at once: it may have come to its end since it was
// looked at.
func (l *leases) open(session, room string, b bearer, end func(session.Cause)) *lease {
	x := &lease{id: session, room: room, bearer: b, end: end, index: -1}
	l.mu.Lock()
	if session != "" {
		l.sessions[session] = x
	}
	l.enter(x)
	l.mu.Unlock()
	// After it can be found: a revocation that comes now sees the lease, and one
	// that came before is seen here.
	l.recheck(x, b)
	return x
}

// recheck ends a lease whose token was revoked meanwhile.
func (l *leases) recheck(x *lease, b bearer) {
	if !l.revoked.covers(b, x.room, time.Now()) {
		return
	}
	l.mu.Lock()
	there := l.leave(x)
	l.mu.Unlock()
	if there {
		x.end(session.CauseRevoked)
	}
}

// close forgets a lease; its end is not called any more, unless it is being
// called.
func (l *leases) close(x *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(x)
}

// closeSession is close by the public id of a session.
func (l *leases) closeSession(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.sessions[id]; x != nil {
		l.leave(x)
	}
}

// of is what a session was opened with, or last refreshed with.
func (l *leases) of(session string) (b bearer, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.sessions[session]
	if x == nil {
		return bearer{}, false
	}
	return x.bearer, true
}

// tokens are those of a session, the one that it has now and, as long as they are
// good, those that it had before.
func (l *leases) tokens(session string, now time.Time) []bearer {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.sessions[session]
	if x == nil {
		return nil
	}
	return append(x.earlier(now), x.bearer)
}

// earlier are the tokens that a lease had before and that are not over. Those
// that end last are kept, and come last.
func (x *lease) earlier(now time.Time) []bearer {
	left := slices.DeleteFunc(slices.Clone(x.before), func(b bearer) bool { return !b.expires.After(now) || b.tokenID == x.bearer.tokenID })
	return left[max(0, len(left)-maxBefore):]
}

// present tells whether somebody of that identity has a session in the room.
func (l *leases) present(identity, room string) bool {
	if identity == "" {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for x := range l.by[leaseKey{byIdentity, identity}] {
		if x.room == room && x.id != "" {
			return true
		}
	}
	return false
}

// renew lets a session last as long as a newer token; false when it is gone.
// Judge sees what it has, and may refuse with an error.
func (l *leases) renew(session string, to bearer, judge func(old bearer) error) (known bool, err error) {
	l.mu.Lock()
	x := l.sessions[session]
	if x == nil {
		l.mu.Unlock()
		return false, nil
	}
	if err := judge(x.bearer); err != nil {
		l.mu.Unlock()
		return true, err
	}
	l.unlink(x)
	if to.tokenID != x.bearer.tokenID {
		x.before = append(x.before, x.bearer)
	}
	x.bearer = to
	x.before = x.earlier(time.Now())
	l.enter(x)
	l.mu.Unlock()
	l.recheck(x, to) // as in open
	return true, nil
}

// enter puts a lease where it is found. l.mu is held.
func (l *leases) enter(x *lease) {
	for _, key := range x.keys() {
		if l.by[key] == nil {
			l.by[key] = make(map[*lease]struct{})
		}
		l.by[key][x] = struct{}{}
	}
	if x.bearer.expires.IsZero() {
		return
	}
	heap.Push(&l.due, x)
	if x.index == 0 {
		select {
		case l.wake <- struct{}{}:
		default: // it wakes anyway
		}
	}
}

// unlink is the opposite of enter. l.mu is held.
func (l *leases) unlink(x *lease) {
	for _, key := range x.keys() {
		delete(l.by[key], x)
		if len(l.by[key]) == 0 {
			delete(l.by, key)
		}
	}
	if x.index >= 0 {
		heap.Remove(&l.due, x.index)
	}
}

// leave takes a lease out, and tells whether it was there. l.mu is held.
func (l *leases) leave(x *lease) bool {
	if _, there := l.by[leaseKey{byRoom, x.room}][x]; !there {
		return false
	}
	l.unlink(x)
	if l.sessions[x.id] == x {
		delete(l.sessions, x.id)
	}
	return true
}

// keys are what the lease is found by.
func (x *lease) keys() []leaseKey {
	keys := []leaseKey{{byRoom, x.room}}
	if x.bearer.tokenID != "" {
		keys = append(keys, leaseKey{byToken, x.bearer.tokenID})
	}
	if x.bearer.identity != "" {
		keys = append(keys, leaseKey{byIdentity, x.bearer.identity})
	}
	return keys
}

// revoke ends the leases that a revocation is about.
func (l *leases) revoke(r cluster.Revocation) {
	key := keyOf(r)
	var over []*lease
	l.mu.Lock()
	look := func(leases map[*lease]struct{}) {
		for x := range leases {
			if fits(r, x.bearer, x.room) {
				over = append(over, x)
			}
		}
	}
	if key.value != "" {
		look(l.by[key])
	} else { // everybody, in every room
		for key, leases := range l.by {
			if key.of == byRoom {
				look(leases)
			}
		}
	}
	for _, x := range over {
		l.leave(x)
	}
	l.mu.Unlock()
	for _, x := range over {
		x.end(session.CauseRevoked)
	}
}

// run ends leases in time, until ctx ends.
func (l *leases) run(ctx context.Context) {
	timer := time.NewTimer(leaseLook)
	defer timer.Stop()
	for {
		over, next := l.expired(time.Now())
		for _, x := range over {
			x.end(session.CauseExpired)
		}
		var tick <-chan time.Time // never, when nothing has an end
		if next > 0 {
			timer.Reset(min(next, leaseLook))
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-tick:
		}
	}
}

// expired takes out the leases whose tokens are over, and tells how long the
// next one lasts; 0: there is none.
func (l *leases) expired(now time.Time) (over []*lease, next time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.due) > 0 {
		x := l.due[0]
		if left := x.bearer.expires.Sub(now); left > 0 {
			return over, left
		}
		l.leave(x)
		over = append(over, x)
	}
	return over, 0
}

// dueHeap has the lease that ends first at its top (container/heap).
type dueHeap []*lease

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].bearer.expires.Before(h[j].bearer.expires) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	l := x.(*lease) //nolint:forcetypeassert // nothing else is pushed
	l.index = len(*h)
	*h = append(*h, l)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	x.index = -1
	return x
}
