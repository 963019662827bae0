package bench

import (
	"context"
	"time"
)

const (
	// reportInterval is that of receiver reports; consent is asked for half as
	// often (RFC 7675 section 5.1 wants 4 to 6 seconds at most between checks, and
	// browsers are quicker).
	reportInterval = time.Second
	// consentTimeout is when a viewer would have to stop (RFC 7675 section 5.1).
	consentTimeout = 30 * time.Second
	// turns is in how many parts a second's reports are sent.
	turns = 100
)

// keepAlive sends what connected viewers have to send, spread over the time, until
// ctx ends.
func (f *fleet) keepAlive(ctx context.Context) {
	tick := time.NewTicker(reportInterval / turns)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			f.turn(turn, now)
		}
	}
}

// turn serves one part of the viewers.
func (f *fleet) turn(turn int, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.viewers {
		if v.number%turns == turn%turns {
			v.keepAlive((turn/turns+v.number/turns)%2 == 0, now)
		}
	}
}

// keepAlive needs fleet.mu. What cannot be sent now will be sent next time; a
// server that is gone shows by the silence.
func (v *viewer) keepAlive(consent bool, now time.Time) {
	if v.ended {
		return
	}
	if now.Sub(v.consented) > consentTimeout {
		v.ended = true
		return
	}
	if consent {
		if request, err := v.check.request(); err == nil {
			_ = v.sock.send(request)
		}
	}
	if report, err := v.report(); err == nil && report != nil {
		_ = v.sock.send(report)
	}
}
