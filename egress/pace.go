package egress

import "time"

// The numbers of a paced start. They are set against design limits that the
// tests hold: a 3 Mbit/s link with 300 ms of queue loses nothing, a good link
// has nine seconds of backlog within 1.5 s.
const (
	startRate     = 4e6  // bit/s, at least
	startFactor   = 2.5  // of the media rate, at least
	floorFactor   = 1.1  // of the media rate: slower, and it never ends
	growFast      = 1.5  // per report, in slow start
	growSlow      = 1.08 // per report, or four blindIntervals, after a cut
	growBlind     = 1.15 // per blindInterval, without reports
	cutFactor     = 0.8  // of the acknowledged rate
	blindInterval = 100 * time.Millisecond
	blindAfter    = 500 * time.Millisecond // without a first report
	maxRate       = 200e6

	queueLow  = 15 * time.Millisecond // less is no queue
	queueHigh = 40 * time.Millisecond // more is too much
)

// rateControl decides how fast one catch-up sends. It is a pure state machine:
// it is told what happened and when, and reads no clock.
//
// With transport-wide feedback it is a slow start: the rate grows by half with each
// report that tells of packets sent since the last change, as long as no queue
// builds up; a queue or loss cuts it below what came through. Without feedback
// it grows with time and halves on NACKs.
type rateControl struct {
	rate    float64 // bit/s
	media   float64 // bit/s of the source, the unit of the floor
	blind   bool    // no report will ever come
	began   time.Time
	changed time.Time // packets sent before tell nothing about the rate
	reports bool      // a report came: no blind growth
	cut     bool      // slow start is over
}

// linkReport is what one transport-wide feedback packet says of the link.
type linkReport struct {
	queued         time.Duration // queueing delay of the newest packets
	acknowledged   float64       // bit/s that came through, 0: cannot tell
	received, lost int           // packets
	newest         time.Time     // when the newest packet of the report was sent
}

func newRateControl(media float64, blind bool, now time.Time) rateControl {
	return rateControl{
		rate:  min(max(startRate, startFactor*media), maxRate),
		media: media, blind: blind, began: now, changed: now,
	}
}

// observe takes a report into account.
func (c *rateControl) observe(r linkReport, now time.Time) {
	c.reports = true
	lossy := r.lost*50 > r.received+r.lost // over 2 %: may be the radio, is no reason to grow
	flood := r.lost*10 > r.received+r.lost // over 10 %: a short queue that overflows
	switch {
	case r.queued > queueHigh || flood || lossy && r.queued > queueLow:
		rate := c.rate / 2
		if r.acknowledged > 0 {
			rate = min(c.rate, cutFactor*r.acknowledged)
		}
		c.set(rate, now)
		c.cut = true
	case lossy || r.queued > queueLow || !r.newest.After(c.changed):
		// Keep it.
	case c.cut:
		c.set(c.rate*growSlow, now)
	default:
		c.set(c.rate*growFast, now)
	}
}

// tick lets the rate grow where no report comes.
func (c *rateControl) tick(now time.Time) {
	switch {
	case c.reports:
	case !c.blind && now.Sub(c.began) < blindAfter:
	case c.cut && now.Sub(c.changed) >= 4*blindInterval:
		c.set(c.rate*growSlow, now)
	case !c.cut && now.Sub(c.changed) >= blindInterval:
		c.set(c.rate*growBlind, now)
	}
}

// missing is called when the viewer asked for packets again. Reports say more
// where there are any.
func (c *rateControl) missing(now time.Time) {
	if c.reports || now.Sub(c.changed) < blindInterval && c.cut {
		return
	}
	c.set(c.rate/2, now)
	c.cut = true
}

func (c *rateControl) set(rate float64, now time.Time) {
	c.rate = min(max(rate, floorFactor*c.media), maxRate)
	c.changed = now
}
