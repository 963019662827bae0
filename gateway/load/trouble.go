package load

import "time"

const (
	// delayBound is how long packets and goroutines may wait. It is more than a
	// frame lasts: what waits longer has not been sent when the next one comes.
	delayBound = 50 * time.Millisecond
	// standing is how long they have to wait that long before it counts: a
	// keyframe for a thousand viewers takes its time, and is over.
	standing = 3 * time.Second
	// dropShare is the part of the packets that may be dropped.
	dropShare = 0.001
	// minDrops of a second are nothing yet.
	minDrops = 5

	// backOff is what is left of the load when it turned out to be too much.
	backOff = 0.95
	// recovery is by how much the limit rises again in a second.
	recovery = 0.005
)

// trouble is what hurts, and what was learned from it.
type trouble struct {
	now     Reason
	ceiling float64 // of the load, for viewers

	late, starved time.Time // since when packets, goroutines wait too long
	last          time.Time // when one of them did
}

// lately tells whether something was late a short time ago.
func (t *trouble) lately(s Sample) bool {
	if s.Delay > delayBound || s.Sched > delayBound {
		t.last = s.At
	}
	return !t.last.IsZero() && s.At.Sub(t.last) < mending
}

// look finds out what hurts after a sample was taken into account.
func (t *trouble) look(j *judge, dt time.Duration) {
	now := j.last.At
	late := longer(&t.late, j.last.Delay, now)
	starved := longer(&t.starved, j.sched, now)
	t.now = ReasonNone
	switch {
	case j.carriesLittle(0): // it is not the viewers
	case float64(j.sent) > minDrops && float64(j.sent) > dropShare*float64(j.out):
		t.now = ReasonSendDrops
	case float64(j.recvd) > minDrops && float64(j.recvd) > dropShare*float64(j.in):
		t.now = ReasonRecvDrops
	case late:
		t.now = ReasonDelay
	case starved:
		t.now = ReasonSched
	}
	if t.now == ReasonNone {
		t.ceiling = min(viewerLimit, t.ceiling+recovery*dt.Seconds())
		return
	}
	carried := max(float64(j.cpu.level), float64(j.shards.level))
	t.ceiling = min(t.ceiling, carried*backOff)
}

// longer tells whether d has been above the bound for long.
func longer(since *time.Time, d time.Duration, now time.Time) bool {
	switch {
	case d <= delayBound:
		*since = time.Time{}
	case since.IsZero():
		*since = now
	}
	return !since.IsZero() && now.Sub(*since) >= standing
}
