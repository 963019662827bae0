package conformance

import (
	"net/http"
	"strings"
	"time"
)

// whepLifeChecks are those of how viewers' sessions begin, change and end.
func whepLifeChecks() []Check {
	return []Check{
		{
			ID: "WHEP-CTR-08", Section: "WHEP 4.3.2", Level: Must, Stage: Alone,
			What: "PATCH of an answer to the counter-offer is 204, and media starts",
			Run:  checkCounterMedia,
		},
		{
			ID: "WHEP-TRK-05", Section: "RFC 8863 4", Level: Must, Stage: Live, Patient: true,
			What: "an offer without candidates is legal, and a first check 20 s later connects",
			Run: func(t *T) {
				v := t.agent([]Media{opusSection("recvonly"), h264Section("recvonly")})
				t.openLive(v)
				t.Sleep(20 * time.Second)
				v.connect()
				if !v.plays(ptH264, connectPatience) {
					t.Errorf("expected media after a late first check, got none")
				}
			},
		},
		{
			ID: "WHEP-RST-04", Section: "WHEP 4.5.3", Level: Must, Stage: Live,
			What: "after a viewer's restart nothing of the former generation is used any more",
			Run:  func(t *T) { t.wantFormerDropped(t.view()) },
		},
		{
			ID: "WHEP-RST-05", Section: "WHEP 4.5.3", Level: MustNot, Stage: Live,
			What: "a viewer's restart that is refused does not end the session",
			Run: func(t *T) {
				v := t.view()
				t.wantRefusalHarmless(v)
				if !v.plays(ptH264, 5*time.Second) {
					t.Errorf("expected media to flow on after a refused restart, got none")
				}
			},
		},
		{
			ID: "WHEP-RST-06", Section: "RFC 7675 5.1", Level: Must, Stage: Live, Patient: true,
			What: "a viewer's session whose restart never completes ends when consent has expired",
			Run:  func(t *T) { t.wantRestartLost(t.view()) },
		},
		{
			ID: "WHEP-RST-07", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "a viewer that changes its network keeps SSRC, numbering and keys by a restart, and gets a keyframe",
			Run:  checkMovedViewer,
		},
		{
			ID: "WHEP-DEL-04", Section: "WHEP 4.3.8", Level: Must, Stage: Live, Patient: true,
			What: "a viewer that says close_notify, and one that vanishes, end their sessions",
			Run: func(t *T) {
				closed, lost := t.view(), t.view()
				closed.hangUp()
				if !t.ends(closed, 3*time.Second) {
					t.Errorf("expected the session to end within a second of close_notify, got one that goes on after three")
				}
				t.wantLost(lost)
			},
		},
		{
			ID: "WHEP-DEL-05", Section: "WHEP 4.4", Level: Must, Stage: Live,
			What: "a viewer's session that the server ends is ended with close_notify at once, and no check is answered any more",
			Run:  func(t *T) { t.wantFarewell(t.view()) },
		},
		{
			ID: "WHEP-DEL-06", Section: "Sluice", Level: Choice, Stage: Live,
			What: "viewers that close their tab and never say DELETE leave nothing behind",
			Run:  checkTabsClosed,
		},
	}
}

// whepPublisherChecks are those of what viewers notice of publishers who come and go.
func whepPublisherChecks() []Check {
	return []Check{
		{
			ID: "WHEP-IDLE-05", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "where viewers may wait, media comes when the publisher does, from a keyframe on",
			Run:  checkLobby,
		},
		{
			ID: "WHEP-IDLE-07", Section: "Sluice", Level: Choice, Stage: Alone, Patient: true,
			What: "viewers stay a while when the publisher has left: one that returns is played in the same sessions, and without one they end",
			Run:  checkLinger,
		},
		{
			ID: "WHEP-SSE-15", Section: "WHEP events", Level: Must, Stage: Alone,
			What: "active is said at the creation of a stream when somebody is on air, and at each start, with an empty object",
			Run:  checkActiveEvents,
		},
	}
}

func checkCounterMedia(t *T) {
	t.publish()
	t.awaitViewers()
	offer := t.offered()
	v := t.agent([]Media{opusSection("recvonly"), h264Section("recvonly")})
	answer := answerTo(offer.Body, "recvonly")
	answer = Edit(answer, sdpLine(answer, "a=fingerprint:"), "sha-256 "+fingerprintOf(v.cert.Certificate[0]))
	v.ice.Store(&iceSession{own: credentialsOf(answer)})
	s := t.proposed(offer)
	s.Answer = offer.Body // the server's side, whichever kind of description it is
	v.adopt(s)
	v.active = true // as the answer says
	if !t.Want(t.reply(s, answer), "204", Is(http.StatusNoContent)) {
		return
	}
	v.connect()
	if !t.Until(connectPatience, func() bool { return len(v.packets(-1)) > 0 }) {
		t.Errorf("expected media after the answer, got none")
	}
}

func checkMovedViewer(t *T) {
	a, video := t.publish()
	video.slow(0) // keyframes when asked for alone
	v := t.view()
	if !v.plays(ptH264, connectPatience) {
		t.Fatalf("expected the publisher's media to reach a viewer, got none")
	}
	t.revive(v)
	requests := a.keyframes.Load()
	v.rebind()
	moved := time.Now()
	v.nominate()
	at := v.addr()
	if !t.Until(3*time.Second, func() bool {
		p := v.lastOf(ptH264)
		return p.to == at
	}) {
		t.Fatalf("expected media at the new address, got none")
	}
	if !t.Until(3*time.Second, func() bool {
		keys := v.keyframesH264()
		return len(keys) > 0 && keys[len(keys)-1].After(moved)
	}) {
		t.Errorf("expected a keyframe at the new address, got none (%d were asked of the publisher)", a.keyframes.Load()-requests)
	}
	if ssrcs := v.ssrcs(ptH264); len(ssrcs) != 1 {
		t.differsf("expected one SSRC before and after, got %v", ssrcs)
	}
	// Some that were under way to the former address may be lost, not more.
	if missing, all := v.missing(ptH264, 200*time.Millisecond); missing > 50 {
		t.differsf("expected the numbering to go on, got %d of %d numbers missing", missing, all)
	}
}

func checkTabsClosed(t *T) {
	var tabs []*Agent
	for range 8 {
		tabs = append(tabs, t.view())
	}
	for _, v := range tabs {
		v.hangUp()
	}
	for _, v := range tabs {
		if !t.ends(v, 5*time.Second) {
			t.Errorf("expected the sessions of closed tabs to end, got one that goes on after five seconds")
			return
		}
	}
}

func checkLobby(t *T) {
	v := t.agent([]Media{opusSection("recvonly"), h264Section("recvonly")})
	resp := t.PostOffer(t.Room.WHEP, v.Offer)
	if resp.Status != http.StatusCreated {
		t.Skipf("viewers may not wait in this room: %v", resp)
	}
	v.adopt(t.opened(resp, v.Offer))
	v.connect()
	t.publish()
	if !v.plays(ptH264, connectPatience) {
		t.Fatalf("expected media when the publisher came, got none")
	}
	t.wantKeyframeFirst(v.packets(ptH264))
}

// wantKeyframeFirst wants the first packets to begin a picture that needs no other.
func (t *T) wantKeyframeFirst(list []heardRTP) {
	if len(list) == 0 {
		t.Errorf("expected a keyframe first, got no packet")
		return
	}
	for _, p := range list {
		if p.Timestamp != list[0].Timestamp {
			break
		}
		for _, n := range nalTypes(p.Payload) {
			if n == 5 || n == 7 {
				return
			}
		}
	}
	t.Errorf("expected a keyframe first, got NAL units of type %v", nalTypes(list[0].Payload))
}

func checkLinger(t *T) {
	first, _ := t.publish()
	v := t.view()
	if !v.plays(ptH264, connectPatience) {
		t.Fatalf("expected the publisher's media to reach a viewer, got none")
	}
	t.Delete(first.Session)
	t.Sleep(time.Second)
	if t.gone(v) {
		t.differsf("expected viewers to stay a while when the publisher has left, got the end of their session")
		return
	}
	before := v.lastOf(ptH264)
	second, _ := t.publish()
	if !v.plays(ptH264, connectPatience) {
		t.differsf("expected the publisher's return to be played in the same session, got no media")
		return
	}
	t.wantContinued(v, before)
	t.Delete(second.Session)
	if t.Strict() && t.suite.siblings { // with one room there is no time for it
		// For good: the session ends after a minute, not at once.
		if v.hangsUp(50 * time.Second) {
			t.Errorf("expected viewers to stay for a minute, got the end within 50 s")
		} else if !v.hangsUp(25 * time.Second) {
			t.Errorf("expected close_notify when nobody came back for a minute, got none in 75 s")
		}
	}
}

// wantContinued wants what came after a packet to go on from it: the same SSRC,
// the next numbers, a keyframe first, and time that does not jump.
func (t *T) wantContinued(v *Agent, before heardRTP) {
	var after []heardRTP
	for _, p := range v.packets(ptH264) {
		if p.at.After(before.at) {
			after = append(after, p)
		}
	}
	if len(after) == 0 {
		t.Errorf("expected media to go on, got none")
		return
	}
	next := after[0]
	if next.SSRC != before.SSRC {
		t.Errorf("expected the SSRC to stay %d, got %d", before.SSRC, next.SSRC)
	}
	if step := next.SequenceNumber - before.SequenceNumber; step == 0 || step > 100 {
		t.Errorf("expected the sequence numbers to go on from %d, got %d", before.SequenceNumber, next.SequenceNumber)
	}
	passed := next.at.Sub(before.at).Seconds()
	said := float64(int32(next.Timestamp-before.Timestamp)) / 90000
	if said < 0 || said > passed+2 {
		t.Errorf("expected the timestamps to go on by about %.1f s, got %.1f s", passed, said)
	}
	t.wantKeyframeFirst(after)
}

func checkActiveEvents(t *T) {
	first, _ := t.publish()
	v := t.view()
	at := t.subscribe(t.eventsOf(v.Session), `["active","inactive"]`)
	s, _ := t.reads(at)
	e, ok := s.next(eventPatience, "active")
	if !ok {
		t.Fatalf("expected active, since somebody is on air, got none within %v", eventPatience)
	}
	if strings.TrimSpace(e.Data) != "{}" {
		t.Errorf("expected {} as the data of active, got %q", e.Data)
	}
	t.Delete(first.Session)
	if _, ok := s.next(eventPatience, "inactive"); !ok {
		t.Fatalf("expected inactive when the publisher has left, got none within %v", eventPatience)
	}
	t.publish()
	if _, ok := s.next(eventPatience, "active"); !ok {
		t.Errorf("expected active at the publisher's return, got none within %v", eventPatience)
	}
}
