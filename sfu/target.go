package sfu

import (
	"time"

	"github.com/sluicemedia/sluice/egress"
)

// target is a viewer of a track.
type target struct {
	out    output
	format egress.Format
	// promised: it got no backlog because a keyframe is expected at once.
	promised bool
	// restriction leaves layers of scalable video out.
	restriction restriction
	seat        *seat
}

// seat is where a viewer is among those of a track; guarded by its lock.
type seat struct{ index int }

// seat gives a viewer its place; called with the lock held.
func (t *Track) seat(v target) *seat {
	v.seat = &seat{len(t.targets)}
	t.targets = append(t.targets, v)
	t.outs = append(t.outs, v.out)
	return v.seat
}

// attach makes out a viewer of the track, from the last keyframe on. One who
// comes from another layer has seen what that shows, so he rather waits for a
// new keyframe, unless it is known that none would come, or he has waited.
func (t *Track) attach(out output, f egress.Format, from *Track, waited bool) *seat {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := target{out: out, format: f}
	var backlog []*egress.Packet
	if t.kind == video {
		obedient, known := t.recv.habits()
		age := t.cache.age(time.Now())
		v.promised = !waited && (obedient && age > oldGroup || from != nil && from.claim == t.claim && (obedient || !known))
		if !v.promised {
			backlog = t.cache.lend()
		}
		if len(backlog) == 0 || !known && age > probeGroup {
			t.RequestKeyframe()
		}
	}
	out.Bind(t, f, backlog)
	return t.seat(v)
}

// join makes out, which has been on another track until now, a viewer of the
// track from the keyframe on that has just come. That is sent at once: a paced
// start would only delay what the viewer has room for anyway.
func (t *Track) join(out output, f egress.Format) *seat {
	t.mu.Lock()
	defer t.mu.Unlock()
	out.Join(t, f, t.cache.packets)
	return t.seat(target{out: out, format: f})
}

// fresh tells whether a keyframe has just come.
func (t *Track) fresh(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.cache.packets) > 0 && t.cache.age(now) <= freshGroup
}

// breakPromise gives the backlog to those who were to get a new keyframe that
// did not come.
func (t *Track) breakPromise() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.targets {
		v := &t.targets[i]
		if !v.promised {
			continue
		}
		v.promised = false
		if backlog := t.cache.lend(); backlog != nil {
			v.out.Bind(t, v.format, backlog)
		}
	}
}

// detach takes a viewer off the track. The last takes its seat, so that it costs
// the same however many there are.
func (t *Track) detach(at *seat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, last := at.index, len(t.targets)-1
	gone := t.targets[i]
	t.targets[i], t.outs[i] = t.targets[last], t.outs[last]
	t.targets[i].seat.index = i
	t.targets[last], t.outs[last] = target{}, nil
	t.targets, t.outs = t.targets[:last], t.outs[:last]
	if !gone.restriction.free() {
		t.restricted--
	}
	gone.out.Unbind(t)
}
