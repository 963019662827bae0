package session

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// Bounds of what POSTs can have under way on one node (RFC 9725 section 5).
const (
	// admitWait is how long an offer waits for its turn: an answer that comes
	// later than a second after the POST is worth less than a clear no.
	admitWait = time.Second
	// maxWaiting bounds the offers that wait, each at most maxBody bytes.
	maxWaiting = 2048
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

	publishers, viewers       atomic.Int64 // unconnected now
	maxPublishers, maxViewers int64
}

func newAdmission() admission {
	return admission{
		slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), wait: admitWait,
		maxPublishers: maxNewPublishers, maxViewers: maxNewViewers,
	}
}

// unconnected counts the sessions of a role that have not connected yet.
func (a *admission) unconnected(r Role) (now *atomic.Int64, limit int64) {
	if r == RolePublisher {
		return &a.publishers, a.maxPublishers
	}
	return &a.viewers, a.maxViewers
}

// Admit lets an offer of a role be answered when its turn comes, which is at
// once unless there is a crowd. Release ends the turn. ErrTooMany when the node
// is too far behind, or has too many sessions that did not connect yet.
func (t *Table) Admit(ctx context.Context, r Role) (release func(), err error) {
	a := &t.admission
	if now, limit := a.unconnected(r); now.Load() >= limit {
		return nil, ErrTooMany
	}
	release = func() { <-a.slots }
	select {
	case a.slots <- struct{}{}:
		return release, nil
	default:
	}
	defer a.waiting.Add(-1)
	if a.waiting.Add(1) > maxWaiting {
		return nil, ErrTooMany
	}
	late := time.NewTimer(a.wait)
	defer late.Stop()
	select {
	case a.slots <- struct{}{}:
		return release, nil
	case <-late.C:
	case <-t.quit:
	case <-ctx.Done():
	}
	return nil, ErrTooMany
}
