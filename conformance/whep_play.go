package conformance

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/pion/rtcp"
)

// whepPlayChecks are those of what viewers are sent.
func whepPlayChecks() []Check {
	return []Check{
		{
			ID: "WHEP-PLAY-01", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "a new viewer begins with a keyframe at once, also when the publisher sends none for a long time",
			Run:  checkFirstPicture,
		},
		{
			ID: "WHEP-PLAY-02", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "the keyframe requests of many viewers become one to the publisher in half a second",
			Run:  checkMergedRequests,
		},
		{
			ID: "WHEP-PLAY-03", Section: "RFC 3550 5.1", Level: Choice, Stage: Alone,
			What: "numbers and times go on without a jump when another publisher takes over",
			Run:  checkContinuity,
		},
		{
			ID: "WHEP-PLAY-04", Section: "RFC 4588 4", Level: Should, Stage: Alone,
			What: "a packet that a viewer asks for again within a second is sent again, on RTX where negotiated",
			Run:  checkResent,
		},
		{
			ID: "WHEP-PLAY-05", Section: "RFC 3550 6.4", Level: Must, Stage: Alone,
			What: "sender reports give audio and video one clock",
			Run:  checkLipSync,
		},
		{
			ID: "WHEP-PLAY-07", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "parameter sets come with every keyframe, also when the publisher sent them once",
			Run:  checkParameterSets,
		},
		{
			ID: "WHEP-LAY-06", Section: "WHEP layers", Level: Must, Stage: Alone,
			What: "a choice that names no spatial or temporal layer leaves the highest",
			Run:  checkHighestByDefault,
		},
		{
			ID: "WHEP-LAY-09", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "a chosen layer is switched to at a keyframe of its own, which is asked for upstream",
			Run:  checkLayerSwitch,
		},
	}
}

func checkFirstPicture(t *T) {
	a := t.idlePublisher()
	video := h264Feed()
	video.disobeys, video.keyEvery = true, 0
	a.start(opusFeed(), video)
	t.Until(3*time.Second, func() bool { return video.progress() > 30 })
	v := t.view()
	joined := time.Now()
	if !t.Until(3*time.Second, func() bool { return len(v.keyframesH264()) > 0 }) {
		t.differsf("expected a keyframe at once, got none in three seconds")
		return
	}
	if took := v.keyframesH264()[0].Sub(joined); took > time.Second {
		t.differsf("expected a keyframe within a second, got one after %d ms", took.Milliseconds())
	}
	t.wantKeyframeFirst(v.packets(ptH264))
}

func checkMergedRequests(t *T) {
	a := t.idlePublisher()
	video := h264Feed()
	video.disobeys, video.keyEvery = true, 300
	a.start(opusFeed(), video)
	var viewers []*Agent
	for range 5 {
		v := t.view()
		if !v.plays(ptH264, connectPatience) {
			t.Fatalf("expected media, got none")
		}
		viewers = append(viewers, v)
	}
	began, before := time.Now(), a.keyframes.Load()
	for time.Since(began) < 2*time.Second {
		for _, v := range viewers {
			v.pli(v.lastOf(ptH264).SSRC)
		}
		t.Sleep(50 * time.Millisecond)
	}
	n := a.keyframes.Load() - before
	if n == 0 {
		t.Errorf("expected the viewers' requests to reach the publisher, got none in two seconds")
	}
	if most := int64(time.Since(began)/(500*time.Millisecond)) + 2; n > most {
		t.differsf("expected %d requests to the publisher at most in two seconds of five viewers' requests, got %d", most, n)
	}
}

func checkContinuity(t *T) {
	first, _ := t.publish()
	v := t.view()
	if !v.plays(ptH264, connectPatience) {
		t.Fatalf("expected the publisher's media to reach a viewer, got none")
	}
	before := v.lastOf(ptH264)
	first.hangUp()
	t.Sleep(500 * time.Millisecond)
	if p := v.lastOf(ptH264); p.at.After(before.at) {
		before = p
	}
	t.publish()
	if !v.plays(ptH264, connectPatience) {
		t.differsf("expected another publisher to be played in the same session, got no media")
		return
	}
	t.wantContinued(v, before)
}

// checkResent asks for what it has received, as if it were lost: young packets
// and some of nearly a second ago.
func checkResent(t *T) {
	t.publish()
	v := t.view()
	if !v.negotiated("nack") {
		t.Skipf("the server does not negotiate NACK")
	}
	if !t.Until(connectPatience, func() bool { return v.count(ptH264, time.Time{}) > 40 }) {
		t.Fatalf("expected media, got too little")
	}
	t.Sleep(200 * time.Millisecond)
	list := v.packets(ptH264)
	newest := list[len(list)-1]
	var lost []uint16
	for _, p := range list {
		if age := newest.at.Sub(p.at); age < 900*time.Millisecond && len(lost) < 8 && p.SequenceNumber%5 == 0 {
			lost = append(lost, p.SequenceNumber)
		}
	}
	if len(lost) == 0 {
		t.Fatalf("expected media of the last 0.9 s, got none")
	}
	rtx := hasLine(v.Session.Answer, fmt.Sprintf("a=fmtp:%d apt=%d", ptRTX, ptH264))
	asked := time.Now()
	v.nack(newest.SSRC, lost...)
	again := func() map[uint16]bool {
		got := map[uint16]bool{}
		for _, p := range v.packets(-1) {
			switch {
			case p.at.Before(asked):
			case int(p.PayloadType) == ptRTX && len(p.Payload) > 2:
				got[uint16(p.Payload[0])<<8|uint16(p.Payload[1])] = true
			case int(p.PayloadType) == ptH264 && !rtx:
				got[p.SequenceNumber] = true
			}
		}
		return got
	}
	if !t.Until(2*time.Second, func() bool {
		got := again()
		for _, seq := range lost {
			if !got[seq] {
				return false
			}
		}
		return true
	}) {
		t.Errorf("expected the %d packets asked for, of the last 0.9 s, to be sent again (RTX negotiated: %v), got %d", len(lost), rtx, len(again()))
	}
}

// checkLipSync compares, for audio and video, when packets came with when the
// sender reports say that they were made.
func checkLipSync(t *T) {
	t.publish()
	v := t.view()
	byType := map[int]float64{}
	for name, pt := range map[string]int{"audio": ptOpus, "video": ptH264} {
		if !t.Until(8*time.Second, func() bool { return v.reportFor(pt) != nil }) {
			t.Errorf("expected sender reports for %s, got none in eight seconds", name)
		}
	}
	t.Sleep(time.Second)
	for pt, clock := range map[int]float64{ptOpus: 48000, ptH264: 90000} {
		sr := v.reportFor(pt)
		if sr == nil {
			return
		}
		least := math.Inf(1)
		for _, p := range v.packets(pt) {
			made := ntpSeconds(sr.NTPTime) + float64(int32(p.Timestamp-sr.RTPTime))/clock
			least = min(least, ntpSeconds(ntpTime(p.at))-made)
		}
		byType[pt] = least
	}
	if apart := math.Abs(byType[ptOpus] - byType[ptH264]); apart > 0.045 {
		t.Errorf("expected audio and video within 45 ms of each other, got %.0f ms by their sender reports", apart*1000)
	}
}

func ntpSeconds(ntp uint64) float64 { return float64(ntp>>32) + float64(ntp&0xffffffff)/(1<<32) }

// reportFor is the latest sender report for the stream of a payload type, nil
// when there is none.
func (h *heard) reportFor(payloadType int) *rtcp.SenderReport {
	ssrc := h.lastOf(payloadType).SSRC
	var last *rtcp.SenderReport
	for _, r := range h.reports() {
		for _, p := range r.packets {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == ssrc && ssrc != 0 {
				last = sr
			}
		}
	}
	return last
}

func checkParameterSets(t *T) {
	a := t.idlePublisher()
	video := h264Feed()
	video.disobeys, video.keyEvery = true, 20
	whole := video.frame
	video.frame = func(n int, key bool) []byte {
		if key && n > 0 {
			return annexB(append([]byte{0x65, 0x88, 0x84}, noise(n, 3000)...))
		}
		return whole(n, key)
	}
	a.start(opusFeed(), video)
	t.Until(3*time.Second, func() bool { return video.progress() > 5 })
	v := t.view()
	if !t.Until(5*time.Second, func() bool { return len(v.pictures()) >= 3 }) {
		t.Fatalf("expected keyframes each 0.7 s, got %d in five seconds", len(v.pictures()))
	}
	for _, p := range v.pictures()[:3] {
		if !p[7] || !p[8] {
			t.differsf("expected SPS and PPS with every IDR, got one with SPS: %v, PPS: %v", p[7], p[8])
			return
		}
	}
}

// pictures are, for each H264 picture with an IDR, the types of NAL units in it.
func (h *heard) pictures() []map[byte]bool {
	var list []map[byte]bool
	byTime := map[uint32]map[byte]bool{}
	for _, p := range h.packets(ptH264) {
		types := byTime[p.Timestamp]
		if types == nil {
			types = map[byte]bool{}
			byTime[p.Timestamp] = types
		}
		for _, n := range nalTypes(p.Payload) {
			if n == 5 && !types[5] {
				list = append(list, types)
			}
			types[n] = true
		}
	}
	return list
}

func checkHighestByDefault(t *T) {
	a := t.agent([]Media{opusSection("sendonly"), vp9Section("sendonly")})
	resp := t.PostOffer(t.Room.WHIP, a.Offer)
	if resp.Status == http.StatusBadRequest || resp.Status == http.StatusUnprocessableEntity {
		t.Skipf("the server takes no VP9: %v", resp)
	}
	a.adopt(t.opened(resp, a.Offer))
	a.connect()
	a.start(opusFeed(), svcFeed())
	v := t.viewVP9(func(a *Agent) { a.optional = true })
	links := v.Session.Created.linksOf(relLayer)
	if len(links) == 0 {
		t.Skipf("the server offers no choice of a layer")
	}
	t.wantChosen(&links[0], `{"mediaId":"1"}`)
	for _, choice := range []string{`{"mediaId":"1"}`, `{"mediaId":"1","temporalLayerId":0}`, `{"mediaId":"1","maxHeight":2160}`} {
		if r := t.choose(&links[0], choice); r.Status != http.StatusOK {
			continue // an error says that it cannot be done
		}
		from := time.Now()
		if !t.Until(5*time.Second, func() bool {
			for _, p := range v.packets(ptVP9) {
				if p.at.After(from) && spatialOf(p.Payload) == 1 {
					return true
				}
			}
			return false
		}) {
			t.Errorf("expected the upper spatial layer after %s, got none", choice)
		}
	}
}

// atOnce is far less than the keyframe interval of checkLayerSwitch, and more
// than a switch takes that waits for nothing.
const atOnce = time.Second

func checkLayerSwitch(t *T) {
	widths := map[string]int{"q": 320, "h": 640, "f": 1280}
	a, feeds := t.simulcast([]string{"q", "h", "f"}, widths)
	for _, f := range feeds {
		f.slow(90)
	}
	v := t.viewVP8(func(a *Agent) { a.optional = true })
	links := v.Session.Created.linksOf(relLayer)
	if len(links) == 0 {
		t.Skipf("the server offers no choice of a layer")
	}
	if !t.Until(connectPatience, func() bool { return v.width(time.Time{}) > 0 }) {
		t.Fatalf("expected a layer to be played, got none")
	}
	for _, rid := range []string{"q", "f", "h", "q"} {
		if v.width(time.Time{}) == widths[rid] {
			continue // it is there already, and nothing has to be seen
		}
		asked := a.keyframes.Load()
		from := time.Now()
		t.wantChosen(&links[0], fmt.Sprintf(`{"mediaId":"1","rid":%q}`, rid))
		if !t.Until(7*time.Second, func() bool { return v.width(from) == widths[rid] }) {
			t.Errorf("expected the layer of %d pixels within two intervals of 3 s, got width %d", widths[rid], v.width(from))
			continue
		}
		// One that has just come needs no request, and shows by how soon it is seen.
		if took := time.Since(from); a.keyframes.Load() == asked && took > atOnce {
			t.differsf("expected a keyframe of the layer to be asked for, got no request and a switch after %d ms", took.Milliseconds())
		}
	}
	if missing, all := v.missing(ptVP8, 200*time.Millisecond); missing > 0 {
		t.differsf("expected numbers without gaps over the switches, got %d of %d missing", missing, all)
	}
}
