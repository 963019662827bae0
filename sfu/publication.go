package sfu

import (
	"slices"
	"time"
)

const (
	// silence is how long no media must have come from a publisher until
	// another may take over.
	silence = 2 * time.Second
	// handoverTime is how long a publication counts as live after a takeover
	// from a live publisher although no media of the new one has come yet.
	handoverTime = 5 * time.Second
	// takeoverPause keeps encoders that all retry for ever from flapping: no
	// takeover from a live publisher follows another sooner. Whoever comes then
	// is not refused but waits.
	takeoverPause = 5 * time.Second
	// maxWaiting is how many may wait.
	maxWaiting = 8
)

// publication is what publishers claim and viewers see under one name. Its
// fields are guarded by the room's lock.
type publication struct {
	name      string
	claims    map[*Claim]struct{} // current and waiting ones
	current   *Claim              // the one that took the publication last, nil: none
	takenOver time.Time           // from a live publisher; zero: never
	// waiting have started. The last of them takes over once holdOff is past, and
	// that ends the others: to end them sooner would let them retry sooner.
	waiting []*Claim
}

// live tells whether the publication is on air: media came from its publisher,
// or it has just been taken over from one who was live.
func (p *publication) live() bool {
	return p.current != nil && (p.current.live() || !p.current.handover.IsZero())
}

// busy tells whether a newcomer may not have the publication.
func (p *publication) busy(newcomer *Claim, replace bool, now time.Time) bool {
	old := p.current
	if old == nil || old == newcomer || now.Sub(old.heard()) >= silence {
		return false
	}
	same := old.cfg.Identity != "" && old.cfg.Identity == newcomer.cfg.Identity
	return !same && !replace
}

// holdOff is until when one who may take over must wait; not after now: not at
// all. It is to be asked again then.
func (p *publication) holdOff() (until time.Time) {
	if p.current == nil || p.takenOver.IsZero() {
		return until
	}
	until = p.takenOver.Add(takeoverPause)
	if silent := p.current.heard().Add(silence); silent.Before(until) {
		until = silent
	}
	return until
}

// take makes c the publisher and returns the one before, if any.
func (p *publication) take(c *Claim, now time.Time) (old *Claim) {
	old = p.current
	if old != nil && p.live() {
		c.handover = now.Add(handoverTime)
		if now.Sub(old.heard()) < silence {
			p.takenOver = now
		}
	}
	p.current = c
	p.leave(c)
	return old
}

// wait lets c wait for its turn and returns who waited too long, if any.
func (p *publication) wait(c *Claim) (dropped *Claim) {
	p.leave(c)
	p.waiting = append(p.waiting, c)
	if len(p.waiting) > maxWaiting {
		return p.waiting[0]
	}
	return nil
}

// leave takes c out of those who wait.
func (p *publication) leave(c *Claim) {
	p.waiting = slices.DeleteFunc(p.waiting, func(o *Claim) bool { return o == c })
}
