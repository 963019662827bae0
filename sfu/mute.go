package sfu

import (
	"errors"
	"time"
)

// ErrPublicationNotFound says that the room has no such publication.
var ErrPublicationNotFound = errors.New("sfu: no such publication")

// maxMuted bounds the publications of a room of which something is muted: most
// may be names that nobody publishes under any more.
const maxMuted = 256

// Muted is what is kept from the viewers of a publication.
type Muted struct{ Audio, Video bool }

func (m Muted) kind(k kind) bool {
	if k == video {
		return m.Video
	}
	return m.Audio
}

// Mute sets what the viewers of a publication are not to get, from now on. It
// lasts over changes of the publisher, as long as the room does. ErrRoomNotFound,
// ErrPublicationNotFound, ErrTooMany.
func (rs *Rooms) Mute(roomName, publicationName string, m Muted) (PublicationInfo, error) {
	r, err := rs.enter(roomName)
	if err != nil {
		return PublicationInfo{}, err
	}
	defer r.leave()
	p, before := r.publications[publicationName], r.muted[publicationName]
	switch {
	case p == nil && before == Muted{}:
		return PublicationInfo{}, ErrPublicationNotFound
	case p == nil:
		p = &publication{name: publicationName} // to come
	case before == Muted{} && m != Muted{} && len(r.muted) >= maxMuted:
		return PublicationInfo{}, ErrTooMany
	}
	now := time.Now()
	if m != before {
		r.mute(p, m)
		r.refresh(now)
	}
	return r.publicationInfo(p, now), nil
}

// mute is called with the room's lock held; the caller refreshes the room.
func (r *room) mute(p *publication, m Muted) {
	r.muted[p.name] = m
	if m == (Muted{}) {
		delete(r.muted, p.name)
	}
	for c := range p.claims {
		for _, t := range *c.running.Load() {
			t.mute(m.kind(t.kind))
		}
	}
	e := Event{Type: PublicationMuted, Publication: p.name, Muted: m}
	if p.current != nil {
		e = p.current.event(PublicationMuted)
	}
	r.event(e)
}

// mute keeps the track from its viewers, or gives it back. They stay where they
// are: a stream that is muted goes on in its sender reports, so that it does
// not look as if it had ended. What comes meanwhile is not cached, or else who
// joins later would be shown it. Called with the room's lock held.
func (t *Track) mute(yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.muted.Swap(yes) == yes {
		return
	}
	t.cache.forget()
	for i := range t.targets {
		v := &t.targets[i]
		v.promised = false
		if yes {
			v.out.Hold()
		} else { // as if from a new source: without a gap, and video from a keyframe on
			v.out.Bind(t, v.format, nil)
		}
	}
	if !yes {
		t.RequestKeyframe() // whoever joins next is not to wait for it either
	}
}
