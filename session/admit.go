package session

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// Bounds of what POSTs can have under way on one node (RFC 9725 section 5). Who
// is let in at all, by what the node carries, is decided in package load before
// an offer is read.
const (
	// admitWait is how long an offer waits for its turn: an answer that comes
	// later than a second after the POST is worth less than a clear no.
	admitWait = time.Second
	// maxWaiting bounds the offers that wait, each at most maxBody bytes.
	maxWaiting = 2048
	// turnMemory is how many turns the usual length of one is taken from.
	turnMemory = 16
	// Sessions that have not connected yet. A publisher's PeerConnection costs
	// about ten times what a viewer does.
	maxNewPublishers = 512
	maxNewViewers    = 8192
)

// admission slows a crowd down to what the machine can answer.
type admission struct {
	slots   chan struct{}
	waiting atomic.Int64
	wait    time.Duration
	turn    atomic.Int64 // how long one usually takes, in nanoseconds

	publishers, viewers census
}

// census counts the sessions of a role.
type census struct {
	unconnected atomic.Int64 // answered, and not connected yet
	live        atomic.Int64 // connected
	joined      atomic.Uint64
	limit       int64 // of unconnected
}

func (a *admission) init() {
	a.slots, a.wait = make(chan struct{}, 2*runtime.GOMAXPROCS(0)), admitWait
	a.publishers.limit, a.viewers.limit = maxNewPublishers, maxNewViewers
}

func (a *admission) census(r Role) *census {
	if r == RolePublisher {
		return &a.publishers
	}
	return &a.viewers
}

// Admit lets an offer of a role be answered when its turn comes, which is at
// once unless there is a crowd. Release ends the turn. ErrTooMany when the node
// is too far behind, or has too many sessions that did not connect yet; at once
// when the turn would not come in time.
func (t *Table) Admit(ctx context.Context, r Role) (release func(), err error) {
	a := &t.admission
	if c := a.census(r); c.unconnected.Load() >= c.limit {
		return nil, ErrTooMany
	}
	select {
	case a.slots <- struct{}{}:
		return a.begin(), nil
	default:
	}
	defer a.waiting.Add(-1)
	if ahead := a.waiting.Add(1); ahead > maxWaiting || a.ahead(ahead) > a.wait {
		return nil, ErrTooMany
	}
	late := time.NewTimer(a.wait)
	defer late.Stop()
	select {
	case a.slots <- struct{}{}:
		return a.begin(), nil
	case <-late.C:
	case <-t.quit:
	case <-ctx.Done():
	}
	return nil, ErrTooMany
}

// begin begins a turn; what it returns ends it.
func (a *admission) begin() (release func()) {
	began := time.Now()
	return func() {
		usual := a.turn.Load()
		// Another turn may end meanwhile and be forgotten. It is about the usual.
		a.turn.Store(usual + (int64(time.Since(began))-usual)/turnMemory)
		<-a.slots
	}
}

// ahead is how long so many turns will take.
func (a *admission) ahead(turns int64) time.Duration {
	return time.Duration(turns * a.turn.Load() / int64(cap(a.slots)))
}
