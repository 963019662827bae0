package sfu

import "time"

// A viewer of the program goes from one publication to another on a keyframe of
// that one. Until it comes, what was on goes on, picture and sound.

const (
	// A cut waits for a keyframe as long as the publication's own rhythm
	// promises one, but neither shorter nor longer than this. Then the viewer is
	// shown what followed the last one.
	minCutWait, maxCutWait = time.Second, 5 * time.Second
)

// cut is a change of publication that a subscription waits with.
type cut struct {
	to    *publication // nil: none
	since time.Time
}

// change is how a sink goes over to another track.
type change uint8

const (
	changeAnew  change = iota // as who joins
	changeKeyed               // with a keyframe that has just come
	changeLate                // with the last one, however old
)

// cutTo tells how the viewer is to be bound to tracks of p, or that it is to
// stay where it is for now.
func (s *Subscription) cutTo(p *publication, to *Track, now time.Time) (how change, stay bool) {
	if !s.watchesAnother(p, now) || !s.awaits(p, to, now) {
		s.cut = cut{}
		return changeAnew, false
	}
	if s.cut.to != p {
		s.cut = cut{p, now}
		s.sinks[video].next = nil
	}
	if to != nil && s.sinks[video].ready(to, now) {
		s.cut = cut{}
		return changeKeyed, false
	}
	switch {
	case to == nil, !due(s.cut.since.Add(to.cutWait()), now, &s.room.deadlines.some):
		return changeAnew, true
	case !to.shows():
		// As long as what is on goes on, which nobody else looks at.
		due(now.Add(layerSilence), now, &s.room.deadlines.some)
		return changeAnew, true
	}
	s.cut = cut{}
	return changeLate, false
}

// watchesAnother tells whether the viewer sees pictures of another publication
// than p, which go on.
func (s *Subscription) watchesAnother(p *publication, now time.Time) bool {
	v := &s.sinks[video]
	if p == nil || !v.bound || v.track.claim.publication == p {
		return false
	}
	t := v.track
	return t.claim.live() && t.present() && !t.withheld.Load() && !t.muted.Load() && t.quiet(now) < layerSilence
}

// awaits tells whether a picture of p is to come that the viewer can see; nil:
// there is no track of it.
func (s *Subscription) awaits(p *publication, to *Track, now time.Time) bool {
	switch c := p.current; {
	case !p.live():
		return false
	case !c.live(): // it has taken over just now
		return true
	case s.room.muted[p.name].Video:
		return false
	case to == nil: // its sound may be sooner than its picture
		return c.cfg.Video && len(c.layers[video]) == 0 && !due(c.since.Add(minCutWait), now, &s.room.deadlines.some)
	}
	_, ok := s.sinks[video].format(to.carried())
	return ok
}

// cutWait is how long a cut waits for a keyframe.
func (t *Track) cutWait() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	interval := t.group.interval
	if interval == 0 {
		interval = unknownGroup
	}
	return min(max(interval+interval/4, minCutWait), maxCutWait)
}

// shows tells whether there is a keyframe to begin with.
func (t *Track) shows() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.cache.packets) > 0
}
