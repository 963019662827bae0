package sfu

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicemedia/sluice/egress"
)

// Trouble names what is wrong with media, in the words of the API's causes;
// "" is nothing.
type Trouble string

// What a claim or a subscription can suffer from.
const (
	NoRTP          Trouble = "no-rtp"
	Silent         Trouble = "publisher-silent"
	NoVideo        Trouble = "no-video"
	NoKeyframe     Trouble = "no-keyframe"
	BFrames        Trouble = "b-frames"
	ProfileDiffers Trouble = "profile-differs"
	NotLive        Trouble = "not-live"
	CodecRefused   Trouble = "codec-refused"
	PoorLink       Trouble = "poor-link"
)

const (
	// silentAfter is how long a publisher may send nothing, from the beginning
	// or later, until that is told.
	silentAfter = 3500 * time.Millisecond
	// blindAfter is the same for video alone. A camera that is switched over
	// takes a moment.
	blindAfter = 10 * time.Second
	// unkeyedAfter is how long video may flow without a first keyframe, and
	// keyframeGap without a further one: longer than the cache holds, so that
	// whoever joins stays in the dark.
	unkeyedAfter = 10 * time.Second
	keyframeGap  = cacheAge + 3*time.Second
	// flowing is how long after its last packet a track still counts as sending.
	flowing = 3 * time.Second
	// reorderedFor is how long pictures out of order are remembered, and
	// reorderedTimes how many it takes.
	reorderedFor   = 10 * time.Second
	reorderedTimes = 2
	// idleAfter is how long a publisher may be away until viewers are told.
	idleAfter = 2 * time.Second
)

// evidence is what was seen of a track's media. The reading goroutine writes
// it. Times are unix nanoseconds, 0: never.
type evidence struct {
	keyframe   atomic.Int64 // the last
	disordered atomic.Int64 // the last picture that was shown before an earlier one
	disorders  atomic.Int64 // how many
	exceeds    atomic.Bool  // more is needed to decode it than was announced

	sps []byte // that was looked at last; reading goroutine only
}

// moment is the time of an instant of evidence.
func moment(n *atomic.Int64) time.Time {
	if v := n.Load(); v != 0 {
		return time.Unix(0, v)
	}
	return time.Time{}
}

// parameters looks at a sequence parameter set that was not there before.
func (t *Track) parameters(sps []byte) {
	if t.codec != codecH264 || sps == nil || bytes.Equal(sps, t.evidence.sps) {
		return
	}
	t.evidence.sps = sps
	t.order.parameters(sps)
	t.carry(sps)
	t.evidence.exceeds.Store(t.order.known && t.order.sps.exceeds(announcedH264(t.cfg.Codec.SDPFmtpLine)))
}

// examine looks at a video packet; reading goroutine only.
func (t *Track) examine(p *egress.Packet, nals *nalScan, starts bool) {
	if starts {
		t.evidence.keyframe.Store(p.Arrived.UnixNano())
	}
	if t.codec != codecH264 || p.Seq <= t.newest && t.newest > 0 {
		return // late ones are no witnesses of an order
	}
	t.parameters(nals.sps)
	if t.order.see(p.Payload, p.Timestamp) {
		t.evidence.disorder(p.Arrived)
	}
}

// disorder notes a picture out of order. One now and then is that of a stream
// with losses, so those of long ago do not count.
func (e *evidence) disorder(now time.Time) {
	if now.Sub(moment(&e.disordered)) >= reorderedFor {
		e.disorders.Store(0)
	}
	e.disordered.Store(now.UnixNano())
	e.disorders.Add(1)
}

// quiet is how long nothing has come.
func (t *Track) quiet(now time.Time) time.Duration {
	return time.Duration(t.room().at(now) - t.heard.Load())
}

// reordered tells whether the track has B-frames at the moment.
func (t *Track) reordered(now time.Time) bool {
	return t.evidence.disorders.Load() >= reorderedTimes && now.Sub(moment(&t.evidence.disordered)) < reorderedFor
}

// disordered tells whether viewers must be spared a track that they still get.
func (t *Track) disordered() bool {
	return t.evidence.disorders.Load() >= reorderedTimes && !t.withheld.Load()
}

// withhold keeps a track with B-frames from viewers, who would see its pictures
// in the wrong order (WHEP knows no other), or gives it back.
func (t *Track) withhold(yes bool) {
	r := t.claim.room
	r.mu.Lock()
	defer r.leaveSoon()
	if t.withheld.Load() == yes || t.claim.is(claimEnded) {
		return
	}
	t.withheld.Store(yes)
	t.claim.log.Info("video with B-frames", "withheld", yes)
	r.refresh(time.Now())
}

// forgive gives a track back that was withheld and has no B-frames any more.
func (t *Track) forgive(now time.Time) {
	if t.withheld.Load() && !t.reordered(now) {
		t.evidence.disorders.Store(0)
		t.withhold(false)
	}
}

// trouble is what is wrong with a video track that is being sent.
func (t *Track) trouble(now time.Time) Trouble {
	switch {
	case t.unkeyed(now):
		return NoKeyframe
	case t.reordered(now):
		return BFrames
	case t.evidence.exceeds.Load():
		return ProfileDiffers
	}
	return ""
}

// unkeyed tells whether nobody who joins can begin to decode the track. A
// publisher that sends keyframes on request only is well; one that was never
// asked is, in time to know.
func (t *Track) unkeyed(now time.Time) bool {
	if t.codec == codecOther || t.quiet(now) > flowing {
		return false
	}
	last, patience := moment(&t.evidence.keyframe), keyframeGap
	if last.IsZero() {
		last, patience = t.added, unkeyedAfter
	}
	if now.Sub(last) < patience-slowAnswer {
		return false
	}
	asked, obeys, understands := t.recv.asked()
	if understands && asked.IsZero() {
		if !obeys {
			t.RequestKeyframe()
		}
		return false
	}
	return now.Sub(last) >= patience && (!understands || now.Sub(asked) >= slowAnswer)
}

// Diagnose tells what is wrong with what the publisher sends.
func (c *Claim) Diagnose(now time.Time) Trouble {
	connected := moment(&c.connected)
	if connected.IsZero() || c.is(claimEnded) {
		return ""
	}
	heard := c.heard()
	switch {
	case heard.IsZero() && now.Sub(connected) < silentAfter:
		return ""
	case heard.IsZero():
		return NoRTP
	case now.Sub(heard) >= silentAfter:
		return Silent
	}
	c.room.mu.Lock()
	layers := c.layers[video] // replaced, never changed
	c.room.mu.Unlock()
	sends := false
	for _, t := range layers {
		sends = sends || t.quiet(now) < blindAfter
	}
	if !sends && c.cfg.Video && now.Sub(connected) >= blindAfter {
		return NoVideo
	}
	for _, t := range layers {
		t.forgive(now)
		if trouble := t.trouble(now); trouble != "" {
			return trouble
		}
	}
	if c.loss.poor(now, layers) {
		return PoorLink
	}
	return ""
}

// lossWatch watches how many packets of a publisher are lost before they get here,
// whether they came in a second try or not.
type lossWatch struct {
	mu             sync.Mutex // guards what follows: viewers ask, too
	meter          egress.LossMeter
	expected, lost uint64 // at the last look
}

func (w *lossWatch) poor(now time.Time, layers []*Track) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.meter.Due(now) {
		return w.meter.Poor()
	}
	var expected, lost uint64
	for _, t := range layers {
		s := t.recv.stats(now)
		expected, lost = expected+s.Packets+s.Lost, lost+s.Lost+s.Recovered
	}
	share := 0.0
	if expected > w.expected && lost > w.lost { // a layer that has gone takes its counts along
		share = float64(lost-w.lost) / float64(expected-w.expected)
	}
	w.expected, w.lost = expected, lost
	return w.meter.Observe(now, share)
}

// Diagnose tells what keeps the viewer from what it asked for.
func (s *Subscription) Diagnose(now time.Time) Trouble {
	c, watched, trouble := s.look(now)
	if c == nil || trouble != "" {
		return trouble
	}
	switch trouble = c.Diagnose(now); trouble {
	case PoorLink: // the publisher's affair: what could be mended has been
		return ""
	case NoRTP: // of a publisher who has just taken over
		return Silent
	case NoVideo:
		if watched.out == nil {
			return ""
		}
	case NoKeyframe, BFrames, ProfileDiffers: // of whatever layer
		switch {
		case watched.out == nil:
			return ""
		case watched.track != nil: // nil: it is withheld
			return watched.track.trouble(now)
		}
	default: // the viewer suffers from it as it is
	}
	return trouble
}

// look finds what is wrong on the viewer's side, or else who feeds it and
// which video it gets.
func (s *Subscription) look(now time.Time) (c *Claim, watched sink, trouble Trouble) {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	if !s.started || s.ended {
		return nil, sink{}, ""
	}
	p := s.room.publications[s.target()]
	if p == nil || !p.live() {
		if now.Sub(s.idleSince) >= idleAfter {
			trouble = NotLive
		}
		return nil, sink{}, trouble
	}
	for _, k := range []kind{video, audio} {
		if to := &s.sinks[k]; to.out != nil && to.track != nil && !to.bound {
			return nil, sink{}, CodecRefused
		}
	}
	return p.current, s.sinks[video], ""
}
