package sfu

import (
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// leak is how fast, in seconds per second, a minimum that was measured
	// once is let go again: more than clocks drift apart.
	leak = 500e-6
	// slewRate bounds how fast, in seconds per second, what viewers are told
	// moves from one mapping to a better one. A player's own lip sync follows
	// a slow slide unnoticed.
	slewRate = 20e-3
	// slewMost is the largest correction that is slid over; more is no
	// correction but another clock.
	slewMost = time.Second
	// stepMost is how far an arrival may lie off the expected one before it
	// begins a new mapping.
	stepMost = 5 * time.Second
	// reportMost is how far a sender report may lie off the packets that come;
	// one beyond it is wrong, or of timestamps that are no longer used.
	reportMost = 10 * time.Second
	// ntpStep is how much later than expected a sender report may be before
	// the publisher's clock, rather than the network, is thought the cause.
	ntpStep = 2 * time.Second
)

// timing maps the RTP timestamps of one claim's tracks to the gateway's clock,
// so that they belong together: by sender reports when every track that sends
// has them, else by the arrival of packets. Moments are durations since epoch.
type timing struct {
	epoch time.Time

	mu     sync.Mutex // guards the fields below and those of the tracks
	tracks []*trackTiming
	// Publisher's NTP clock: gateway time = (ntp - base) + offset.
	base    uint64
	offset  time.Duration
	sampled time.Duration // when offset was measured
	known   bool
	late    bool // the last report was later than ntpStep
}

// line says which RTP timestamp belongs to a moment.
type line struct {
	rtp uint32
	at  time.Duration
}

// on extends the line to another moment.
func (l line) on(at time.Duration, rate float64) uint32 {
	return l.rtp + uint32(int64(math.Round((at-l.at).Seconds()*rate)))
}

// trackTiming is the timing of one track. Its fields but the first two are
// guarded by the lock of all.
type trackTiming struct {
	all  *timing
	rate float64 // RTP clock, Hz

	received bool
	arrival  line          // of the packet that came with the least delay
	moved    time.Duration // when arrival was last let go a little
	reported bool
	report   line // of the last sender report

	valid      bool
	target     line          // what the viewers are to be told ...
	correction time.Duration // ... and how far, for now, they are told otherwise
	corrected  time.Duration // when correction was computed
}

func newTiming(now time.Time) *timing { return &timing{epoch: now} }

func (g *timing) newTrack(rate uint32) *trackTiming {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := &trackTiming{all: g, rate: float64(max(rate, 1))}
	g.tracks = append(g.tracks, t)
	return t
}

// drop forgets a track that has ended.
func (g *timing) drop(t *trackTiming) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tracks = slices.DeleteFunc(g.tracks, func(o *trackTiming) bool { return o == t })
}

// arrived takes a packet into account.
func (t *trackTiming) arrived(timestamp uint32, now time.Time) {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	at := now.Sub(t.all.epoch)
	if !t.received {
		t.received = true
		t.arrival, t.moved = line{timestamp, at}, at
		t.all.retarget(at)
		return
	}
	// Positive: earlier than the line says, so less delayed than all before.
	ahead := t.ticks(int32(timestamp - t.arrival.on(at, t.rate)))
	switch {
	case ahead > 0 || ahead < -stepMost:
		t.arrival = line{timestamp, at}
	case at-t.moved < 100*time.Millisecond:
		return
	default:
		t.arrival.at += time.Duration(float64(at-t.moved) * leak)
	}
	t.moved = at
	if t.reported && abs(ahead) > reportMost { // the timestamps began anew
		t.reported = false
		t.all.retarget(at)
	}
	if !t.all.synced() {
		t.aim(t.arrival, at)
	}
}

// senderReport takes a sender report into account (RFC 3550 section 6.4.1).
func (t *trackTiming) senderReport(ntp uint64, timestamp uint32, arrived time.Time) {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	at := arrived.Sub(t.all.epoch)
	if ntp == 0 {
		return // RFC 3550: the sender has no notion of time
	}
	if t.received && abs(t.ticks(int32(timestamp-t.arrival.on(at, t.rate)))) > reportMost {
		return
	}
	sent, ok := t.all.sample(ntp, at)
	if !ok {
		return
	}
	t.report, t.reported = line{timestamp, sent + t.all.offset}, true
	t.all.retarget(at)
}

// sample measures the offset between the clocks and returns what the
// publisher's shows. The least delayed report counts: delay is never negative.
func (g *timing) sample(ntp uint64, at time.Duration) (sent time.Duration, ok bool) {
	if !g.known {
		g.base, g.known = ntp, true
		g.offset, g.sampled = at, at
		return 0, true
	}
	sent = ntpDuration(ntp - g.base)
	offset := at - sent
	expected := g.offset + time.Duration(float64(at-g.sampled)*leak)
	switch {
	case offset-expected <= ntpStep:
		g.offset = min(offset, expected)
	case !g.late:
		g.late = true
		return 0, false
	default: // twice: the publisher's clock was set back
		g.offset = offset
	}
	g.late, g.sampled = false, at
	return sent, true
}

// synced tells whether sender reports can be used: for all or for none, or
// lips and sound part by the difference of the two ways.
func (g *timing) synced() bool {
	for _, t := range g.tracks {
		if t.received && !t.reported {
			return false
		}
	}
	return true
}

func (g *timing) retarget(at time.Duration) {
	synced := g.synced()
	for _, t := range g.tracks {
		switch {
		case !t.received:
		case synced:
			t.aim(t.report, at)
		default:
			t.aim(t.arrival, at)
		}
	}
}

// aim changes the target without a jump in what viewers are told.
func (t *trackTiming) aim(l line, at time.Duration) {
	if !t.valid {
		t.valid, t.target, t.correction, t.corrected = true, l, 0, at
		return
	}
	t.settle(at)
	told := t.target.on(at+t.correction, t.rate)
	t.target = l
	t.correction = t.ticks(int32(told - l.on(at, t.rate)))
	if abs(t.correction) > slewMost {
		t.correction = 0
	}
}

// settle lets the correction shrink for the time gone by.
func (t *trackTiming) settle(at time.Duration) {
	gone := max(0, at-t.corrected)
	t.corrected += gone
	step := time.Duration(float64(gone) * slewRate)
	if abs(t.correction) <= step {
		t.correction = 0
	} else if t.correction > 0 {
		t.correction -= step
	} else {
		t.correction += step
	}
}

// clock is what viewers are told.
func (t *trackTiming) clock(now time.Time) (uint32, bool) {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	if !t.valid {
		return 0, false
	}
	at := now.Sub(t.all.epoch)
	t.settle(at)
	return t.target.on(at+t.correction, t.rate), true
}

// expected is what a packet would be stamped with that came now with the least
// delay.
func (t *trackTiming) expected(now time.Time) (uint32, bool) {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	return t.arrival.on(now.Sub(t.all.epoch), t.rate), t.received
}

// ticks converts a difference of RTP timestamps to time.
func (t *trackTiming) ticks(n int32) time.Duration {
	return time.Duration(float64(n) / t.rate * float64(time.Second))
}

// ntpDuration converts a difference of NTP timestamps, 32.32 fixed point.
func ntpDuration(d uint64) time.Duration {
	seconds := int64(d) >> 32
	fraction := int64(d & 0xffffffff)
	// A difference of a century is a lie; keep it from overflowing.
	seconds = min(max(seconds, -1<<31), 1<<31)
	return time.Duration(seconds)*time.Second + time.Duration(fraction*int64(time.Second)>>32)
}

func abs(d time.Duration) time.Duration { return max(d, -d) }
