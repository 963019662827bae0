package sfu

import (
	"time"

	"github.com/pion/rtcp"
)

// feedback sends what the claim's tracks have to tell the publisher, when it
// is due. One goroutine per claim: a publisher whose socket blocks holds up
// nobody but itself.
func (c *Claim) feedback() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-c.wake:
		case <-timer.C:
		}
		next := c.watch(time.Now())
		for _, t := range *c.running.Load() {
			if d := t.tell(time.Now()); next.IsZero() || !d.IsZero() && d.Before(next) {
				next = d
			}
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// tell sends the track's feedback and returns when there may be more.
func (t *Track) tell(now time.Time) (next time.Time) {
	pkts, disobeyed, next := t.recv.due(now)
	for _, p := range pkts {
		// A publisher who cannot be reached is going away: its source ends.
		_ = t.src.WriteRTCP([]rtcp.Packet{p})
	}
	if disobeyed {
		t.breakPromise()
	}
	return next
}
