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
}

// attach makes out a viewer of the track, from the last keyframe on. One who
// comes from another layer has seen what that shows, so he rather waits for a
// new keyframe, unless it is known that none would come.
func (t *Track) attach(out output, f egress.Format, from *Track) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := target{out: out, format: f}
	var backlog []*egress.Packet
	if t.kind == video {
		obedient, known := t.recv.habits()
		age := t.cache.age(time.Now())
		v.promised = obedient && age > oldGroup || from != nil && from.claim == t.claim && (obedient || !known)
		if !v.promised {
			backlog = t.cache.lend()
		}
		if len(backlog) == 0 || !known && age > probeGroup {
			t.RequestKeyframe()
		}
	}
	out.Bind(t, f, backlog)
	t.targets = append(t.targets, v)
}

// join makes out, which has been on another layer until now, a viewer of the
// track from the keyframe on that has just come. That is sent at once: a paced
// start would only delay what the viewer has room for anyway.
func (t *Track) join(out output, f egress.Format) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out.Bind(t, f, nil)
	for _, p := range t.cache.packets {
		out.Write(p)
	}
	t.targets = append(t.targets, target{out: out, format: f})
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

// detach takes a viewer off the track.
func (t *Track) detach(out output) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.targets {
		if t.targets[i].out == out {
			last := len(t.targets) - 1
			t.targets[i] = t.targets[last]
			t.targets[last] = target{}
			t.targets = t.targets[:last]
			break
		}
	}
	out.Unbind(t)
}
