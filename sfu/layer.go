package sfu

import (
	"slices"
	"time"
)

const (
	// layerSilence is how long nothing must have come of a layer until its
	// viewers are given another. Less would take a slow frame rate for a layer
	// that was switched off.
	layerSilence = time.Second
	// surveyInterval is how often the layers of a claim are looked at.
	surveyInterval = 250 * time.Millisecond
	// freshGroup is how old a keyframe may be for a viewer to change over to
	// its layer at once.
	freshGroup = 200 * time.Millisecond
	// settling is how long a layer's bit rate is not compared: it is measured
	// over two seconds.
	settling = 2 * time.Second
)

// Layers of a claim: the tracks of one kind, each with a rid of its own. They
// are ranked by what they carry, not by the order of the offer, in which OBS
// puts the largest first and browsers what the page says.

// addLayer makes a track one of those that viewers can get; called, as all
// here, with the room's lock held.
func (c *Claim) addLayer(t *Track) {
	layers := slices.Clone(c.layers[t.kind])
	if i := slices.IndexFunc(layers, func(o *Track) bool { return o.cfg.RID == t.cfg.RID }); i >= 0 {
		layers[i] = t
	} else {
		layers = append(layers, t)
	}
	c.layers[t.kind] = layers
	c.revision++
	if t.kind == video && t.cfg.RID != "" && !c.layered.Swap(true) {
		c.poke()
	}
}

// removeLayer is the opposite; false: the track was replaced before.
func (c *Claim) removeLayer(t *Track) bool {
	i := slices.Index(c.layers[t.kind], t)
	if i < 0 {
		return false
	}
	c.layers[t.kind] = slices.Delete(slices.Clone(c.layers[t.kind]), i, i+1)
	c.revision++
	return true
}

// watch is called by the feedback goroutine, which alone uses c.surveyAt. It
// looks which layers are there, lets viewers change over who have waited for a
// keyframe, and returns when to be called again, the zero time: not by the clock.
func (c *Claim) watch(now time.Time) (next time.Time) {
	keyed, due := c.keyed.Swap(false), c.layered.Load() && !now.Before(c.surveyAt)
	if !keyed && !due {
		return c.surveyAt
	}
	r := c.room
	r.mu.Lock()
	defer r.leaveSoon()
	changed := false
	if due {
		c.surveyAt = now.Add(surveyInterval)
		changed = c.survey(now)
	}
	switch {
	case c.is(claimEnded):
	case changed:
		r.refresh(now)
	case keyed:
		r.refreshSome(now)
	}
	return c.surveyAt
}

// survey notes which layers are silent and ranks them; true: something has
// changed.
func (c *Claim) survey(now time.Time) (changed bool) {
	layers := slices.Clone(c.layers[video])
	for _, t := range layers {
		silent := c.room.rooms.at(now)-t.heard.Load() >= int64(layerSilence)
		size := t.size.Load()
		changed = changed || silent != t.silent || size != t.surveyed
		t.silent, t.surveyed = silent, size
		t.rate, _ = t.recv.pace(now)
		switch {
		case silent:
			t.toldRate = 0
		case 2*t.rate > 3*t.toldRate, 3*t.rate < 2*t.toldRate: // worth telling
			t.toldRate, changed = t.rate, true
		}
	}
	// Not sort: better is no order, because it wants to be convinced.
	for i := 1; i < len(layers); i++ {
		for j := i; j > 0 && layers[j].better(layers[j-1], now); j-- {
			layers[j], layers[j-1] = layers[j-1], layers[j]
			changed = true
		}
	}
	if changed {
		c.layers[video] = layers
		c.revision++
	}
	return changed
}

// better tells whether a layer shows more than another that is ranked above it
// now: by the size of the picture, else by the bit rate if that is clearly more.
func (t *Track) better(o *Track, now time.Time) bool {
	mine, others := t.pictureSize().area(), o.pictureSize().area()
	if mine > 0 && others > 0 && mine != others {
		return mine > others
	}
	settled := func(t *Track) bool { return !t.silent && now.Sub(t.added) >= settling }
	return settled(t) && settled(o) && 4*t.rate > 5*o.rate
}

// present tells whether viewers can get the track now.
func (t *Track) present() bool {
	return !t.silent && slices.Contains(t.claim.layers[t.kind], t)
}

// choose returns the track of a kind that a viewer should get now, nil if
// none: the best layer that the selection allows. When nothing comes of those,
// the next one below is better than no picture.
func (c *Claim) choose(k kind, want Selection, now *Track) *Track {
	if c == nil || !c.live() || len(c.layers[k]) == 0 {
		return nil
	}
	layers := c.layers[k]
	if k != video {
		return layers[0]
	}
	from := len(layers) - 1
	for i, t := range layers {
		switch {
		case !want.allows(t):
		case !t.silent:
			return t
		case want.RID != "":
			from = i
		}
	}
	for _, t := range layers[from:] {
		if !t.silent {
			return t
		}
	}
	for _, t := range slices.Backward(layers[:from]) {
		if !t.silent {
			return t
		}
	}
	if now != nil && slices.Contains(layers, now) {
		return now // nothing comes of any: stay
	}
	return layers[0]
}

func (t *Track) pictureSize() size {
	n := t.size.Load()
	return size{int(n >> 32), int(n & (1<<32 - 1))}
}

// measure reads the size of the picture from what begins it; called by the
// reading goroutine.
func (t *Track) measure(nals *nalScan, payload []byte, starts bool) {
	var s size
	switch {
	case nals.sps != nil && t.codec == codecH264:
		s = h264Size(nals.sps)
	case nals.sps != nil && t.codec == codecH265:
		s = h265Size(nals.sps)
	case starts:
		s = keyframeSize(t.codec, payload)
	}
	if s != (size{}) {
		t.size.Store(uint64(s.width)<<32 | uint64(s.height))
	}
}

// group is the rhythm of a track's keyframes, guarded by its lock.
type group struct {
	began    time.Time
	interval time.Duration // between the last two; 0: not known
}

func (g *group) begin(now time.Time) {
	if !g.began.IsZero() {
		g.interval = now.Sub(g.began)
	}
	g.began = now
}

// LayerInfo is a snapshot of one layer.
type LayerInfo struct {
	RID           string  // "" without simulcast
	Width, Height int     // of the picture; 0: not known
	FPS           float64 // frames in a second
	Bitrate       uint64  // bit/s
	Active        bool    // media comes
}

// layerInfo is called with the room's lock held.
func (t *Track) layerInfo(now time.Time) LayerInfo {
	s := t.pictureSize()
	rate, fps := t.recv.pace(now)
	active := !t.silent && t.room().at(now)-t.heard.Load() < int64(layerSilence)
	return LayerInfo{RID: t.cfg.RID, Width: s.width, Height: s.height, FPS: fps, Bitrate: rate, Active: active}
}

func (t *Track) room() *Rooms { return t.claim.room.rooms }
