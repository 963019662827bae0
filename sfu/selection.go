package sfu

import (
	"errors"
	"time"
)

// ErrNoLayer says that the publication has no layer that fits a selection.
var ErrNoLayer = errors.New("sfu: no such layer")

const (
	// A change to a selected layer is given up after this many groups of
	// pictures without a keyframe, but neither sooner nor later than this.
	waitGroups         = 2
	minWait, maxWait   = 2 * time.Second, 30 * time.Second
	unknownGroup       = 2 * time.Second
	layersToldInterval = time.Second
)

// Selection is which layers of the video a viewer may be given; the zero value
// leaves it to the gateway, which gives the best.
type Selection struct {
	RID                 string // "": any
	MaxWidth, MaxHeight int    // of the picture; 0: any. Of a layer whose size is not known it is not asked.
	// Layers within one stream, of video that is coded so (SVC).
	Spatial, Temporal LayerLimit
}

// LayerLimit says how many of the layers within a stream, from the lowest one
// up, a viewer may be given; zero: all. Exact: so many must be there.
type LayerLimit struct {
	Layers int
	Exact  bool
}

// allows tells whether a layer is among the selected.
func (w Selection) allows(t *Track) bool {
	s := t.pictureSize()
	return (w.RID == "" || w.RID == t.cfg.RID) &&
		(w.MaxWidth == 0 || s.width <= w.MaxWidth) &&
		(w.MaxHeight == 0 || s.height <= w.MaxHeight)
}

// Select says which layers of the video the viewer wants. The change happens
// with the next keyframe of the layer, which the publisher is asked for; until
// then the viewer gets what it got before. When none comes in the time of two
// groups of pictures the selection is void. ErrNotLive when there is no video
// on air, ErrNoLayer when none of its layers fits, or nothing comes of those.
func (s *Subscription) Select(want Selection) error {
	r := s.room
	r.mu.Lock()
	defer r.leave()
	if s.ended {
		return ErrClosed
	}
	if want != (Selection{}) {
		p := r.publications[s.target()]
		if p == nil || !p.current.hasLayers() {
			return ErrNotLive
		}
		t := p.current.choose(video, want, nil)
		if _, ok := t.limited(want); !ok || t.silent || !want.allows(t) {
			return ErrNoLayer
		}
	}
	s.selection = want
	s.sinks[video].next = nil // the time to wait begins now
	now := time.Now()
	s.refresh(now)
	r.arm(now)
	return nil
}

func (c *Claim) hasLayers() bool { return c != nil && c.live() && len(c.layers[video]) > 0 }

// Layers is a snapshot of the layers that a viewer can choose from, the best
// first, and the rid of the one that it gets. Both are empty when the
// publication is no simulcast.
func (s *Subscription) Layers() (layers []LayerInfo, selected string) {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.publications[s.target()]
	if p == nil || !p.current.hasLayers() {
		return nil, ""
	}
	now := time.Now()
	for _, t := range p.current.layers[video] {
		if t.cfg.RID != "" {
			layers = append(layers, t.layerInfo(now))
		}
	}
	if t := s.layerOf(p.current); t != nil {
		selected = t.cfg.RID
	}
	return layers, selected
}

// patience is when the subscription stops waiting for the layer that it
// selected; the zero time: it does not wait for one.
func (s *Subscription) patience() (until time.Time) {
	v := &s.sinks[video]
	if s.selection == (Selection{}) || v.next == nil || s.cut.to != nil {
		return until
	}
	v.next.mu.Lock()
	interval := v.next.group.interval
	v.next.mu.Unlock()
	if interval == 0 {
		interval = unknownGroup
	}
	return v.since.Add(min(max(waitGroups*interval, minWait), maxWait))
}

// layerState is what a viewer is told of layers, as far as telling it again
// depends on it.
type layerState struct {
	claim    *Claim
	revision uint64
	track    *Track
}

// layerState is the one of now; zero where there are no layers.
func (s *Subscription) layerState(p *publication) layerState {
	if p == nil || !p.current.hasLayers() || !p.current.layered.Load() {
		return layerState{}
	}
	return layerState{p.current, p.current.revision, s.layerOf(p.current)}
}

// layerOf is which layer of a claim the viewer gets, nil: none yet, or another's.
func (s *Subscription) layerOf(c *Claim) *Track {
	if t := s.sinks[video].track; t != nil && t.claim == c {
		return t
	}
	return nil
}

// tellLayers tells the viewer of its layers, when there is news. If it is too
// soon for that, again is when to call once more.
func (s *Subscription) tellLayers(p *publication, now time.Time) (again time.Time) {
	state := s.layerState(p)
	switch {
	case s.cfg.LayersChanged == nil || !s.started || state == s.told:
		return again
	case now.Sub(s.toldAt) < layersToldInterval:
		return s.toldAt.Add(layersToldInterval)
	}
	if state.track != nil && state.track != s.told.track && state.track.cfg.RID != "" {
		s.room.event(Event{
			Type: LayerChanged, Publication: state.claim.publication.name, Session: s.cfg.Session, RID: state.track.cfg.RID,
		})
	}
	s.told, s.toldAt = state, now
	s.room.rooms.events.call(s.cfg.LayersChanged)
	return again
}
