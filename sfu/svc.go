package sfu

import "github.com/sluicemedia/sluice/egress"

// place says which layers of scalable video (SVC) a packet belongs to.
type place struct {
	spatial, temporal int
	up                bool // whoever has the layers below may go on with this picture's
	end               bool // last packet of the layer's frame
}

// placeOf reads the payload descriptor of VP8 or VP9. In other codecs the
// layers are not told apart.
func placeOf(c codec, payload []byte) (p place) {
	switch c {
	case codecVP8:
		if d := vp8Descriptor(payload); d.temporal > 0 && d.length > 0 {
			p.temporal, p.up = int(payload[d.temporal]>>6), payload[d.temporal]&0x20 != 0
		}
	case codecVP9:
		d := parseVP9(payload)
		p = place{spatial: d.spatial, temporal: d.temporal, up: d.up, end: d.end}
	default:
	}
	return p
}

// limits are how many layers a viewer is given; zero: all.
type limits struct{ spatial, temporal int }

// restriction is what a target is to be given and what it gets now: fewer from
// the next picture on, more from one on that can be begun with.
type restriction struct {
	wanted, now limits
	timestamp   uint32 // of the picture that now was last thought of for
}

// fewer is the lesser of two limits.
func fewer(a, b int) bool { return a != 0 && (b == 0 || a < b) }

// drops tells whether a packet is not for the viewer, and whether it is the
// last one of its picture for him.
func (r *restriction) drops(p *egress.Packet, at place) (drop, last bool) {
	if p.Timestamp != r.timestamp || p.Key {
		r.timestamp = p.Timestamp
		if p.Key || fewer(r.wanted.spatial, r.now.spatial) {
			r.now.spatial = r.wanted.spatial
		}
		if p.Key || at.up || fewer(r.wanted.temporal, r.now.temporal) {
			r.now.temporal = r.wanted.temporal
		}
	}
	over := func(layer, limit int) bool { return limit != 0 && layer >= limit }
	drop = over(at.spatial, r.now.spatial) || over(at.temporal, r.now.temporal)
	return drop, !drop && at.end && at.spatial+1 == r.now.spatial
}

// free: all layers are given, and are to be.
func (r *restriction) free() bool { return r.wanted == (limits{}) && r.now == (limits{}) }

// restrict sets how many layers a viewer is given.
func (t *Track) restrict(at *seat, l limits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.targets[at.index].restriction
	before := r.free()
	r.wanted = l
	t.count(before, r.free())
}

// count follows how many viewers are restricted, when one may have changed.
func (t *Track) count(before, free bool) {
	switch {
	case before && !free:
		t.restricted++
	case !before && free:
		t.restricted--
	}
}

// note counts the layers that are seen; called with the lock held.
func (t *Track) note(at place) {
	if at.spatial >= int(t.spatial.Load()) {
		t.spatial.Store(int32(at.spatial) + 1)
	}
	if at.temporal >= int(t.temporal.Load()) {
		t.temporal.Store(int32(at.temporal) + 1)
	}
}

// variants are what a packet is to viewers who are given some layers only. Each
// is made once, for the first viewer who needs it.
type variants struct {
	slab    *slab
	skipped *egress.Packet // left out without a gap
	ending  *egress.Packet // the last one of its picture
}

// skip is p as viewers see it who do not get it.
func (v *variants) skip(p *egress.Packet) *egress.Packet {
	if v.skipped == nil {
		v.skipped = v.slab.packet()
		v.skipped.Seq, v.skipped.Timestamp, v.skipped.Arrived = p.Seq, p.Timestamp, p.Arrived
	}
	return v.skipped
}

// end is p with the marker, which stands on the last packet of a picture (RFC
// 9628 section 4.1).
func (v *variants) end(p *egress.Packet) *egress.Packet {
	if v.ending == nil {
		v.ending = v.slab.packet()
		p.CopyTo(v.ending)
		v.ending.Marker = true
	}
	return v.ending
}

// writeRestricted writes a packet to a viewer who is given some layers only.
// Called with the lock held.
func (t *Track) writeRestricted(v *target, p *egress.Packet, at place, as *variants) {
	drop, last := v.restriction.drops(p, at)
	t.count(false, v.restriction.free())
	switch {
	case drop && p.Seq == t.newest:
		v.out.Write(as.skip(p))
	case drop: // late: its place was kept free
	case last && !p.Marker:
		v.out.Write(as.end(p))
	default:
		v.out.Write(p)
	}
}

// limited tells how a selection is met by the track; false: it cannot be.
func (t *Track) limited(want Selection) (l limits, ok bool) {
	spatial, temporal := max(1, int(t.spatial.Load())), max(1, int(t.temporal.Load()))
	if want.Spatial.Exact && want.Spatial.Layers > spatial || want.Temporal.Exact && want.Temporal.Layers > temporal {
		return l, false
	}
	if want.Spatial.Layers < spatial {
		l.spatial = want.Spatial.Layers
	}
	if want.Temporal.Layers < temporal {
		l.temporal = want.Temporal.Layers
	}
	// Decoders of VP8 wait for every picture whose number they miss, unless the
	// one in hand is of the lowest layer: nothing between that and all.
	if t.codec == codecVP8 && l.temporal > 1 {
		l.temporal = 1
		return l, !want.Temporal.Exact
	}
	return l, true
}
