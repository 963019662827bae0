package sfu

import "time"

const (
	// silence is how long no media must have come from a publisher until
	// another may take over.
	silence = 2 * time.Second
	// handoverTime is how long a publication counts as live after a takeover
	// from a live publisher although no media of the new one has come yet.
	handoverTime = 5 * time.Second
	// takeoverBurst and takeoverWindow keep two encoders that both retry for
	// ever from flapping: no more takeovers from live publishers than that.
	// Whoever comes then is not refused but waits.
	takeoverBurst  = 3
	takeoverWindow = 15 * time.Second
)

// publication is what publishers claim and viewers see under one name. Its
// fields are guarded by the room's lock.
type publication struct {
	name      string
	claims    map[*Claim]struct{} // current and waiting ones
	current   *Claim              // the one that was started last, nil: none
	takeovers []time.Time         // the last ones from a live publisher
	next      *Claim              // has started, and takes over once holdOff is past; nil: none
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
	if p.current == nil || len(p.takeovers) < takeoverBurst {
		return until
	}
	until = p.takeovers[0].Add(takeoverWindow)
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
			if len(p.takeovers) >= takeoverBurst {
				p.takeovers = p.takeovers[1:]
			}
			p.takeovers = append(p.takeovers, now)
		}
	}
	p.current, p.next = c, nil
	return old
}
