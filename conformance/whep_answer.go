package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// whepAnswerChecks judge the SDP that a viewer gets.
func whepAnswerChecks() []Check {
	row := func(n int, section string, level Level, what string, run func(*T)) Check {
		return Check{ID: fmt.Sprintf("WHEP-ANS-%02d", n), Section: section, Level: level, What: what, Stage: Live, Run: run}
	}
	alone := func(c Check) Check {
		c.Stage = Alone
		return c
	}
	return []Check{
		row(1, "WHEP 4.3.5", Must, "every accepted section of the answer is sendonly, to an offer of sendrecv too", checkPlayDirection),
		row(2, "WHEP 4.6", Must, "every section that is sent names its track and one media stream for all",
			eachPlayAnswer(func(t *T, _, a *description) []string {
				if len(a.sending()) == 0 {
					t.Skipf("WHEP-ANS-01 does not hold: nothing is sent")
				}
				return streamFaults(a)
			})),
		row(3, "WHEP 4.6", MustNot, "two tracks of a kind are never sent", checkOneOfAKind),
		row(4, "WHEP 4.6", Must, "the answer bundles all sections and multiplexes RTP and RTCP",
			eachPlayAnswer(bundledFaults)),
		row(5, "WHEP 4.5.2", Must, "the answer holds the server's candidates and its credentials",
			eachPlayAnswer(func(_ *T, _, a *description) []string {
				return slices.Concat(candidateFaults(a), credentialFaults(a), fingerprintFaults(a))
			})),
		row(6, "WHEP 4.6", Must, "a lite server says so, and answers where its candidates are",
			func(t *T) { t.wantLiteTold(t.watch(PlayOffer())) }),
		row(7, "RFC 8842 5.3", Must, "the answer takes the DTLS role that the offer leaves; an offer of active is taken", checkPlaySetups),
		row(8, "Sluice", Choice, "candidates are in the order that simple clients need, of component 1 and with an end, in at most 8 KiB",
			func(t *T) {
				a := describe(t.watch(browserOffer("recvonly")).Answer)
				for _, faults := range [][]string{orderOfCandidatesFaults(a), componentFaults(a), sizeFaults(a), endFaults(a), optionFaults(a)} {
					if len(faults) > 0 {
						t.differsf("%s", strings.Join(faults, "; "))
					}
				}
			}),
		alone(row(9, "Sluice", Choice, "a kind that nobody publishes yet is answered all the same, for a track that comes late", checkLateTrack)),
		row(10, "Sluice", Choice, "where somebody is on air the codec on air comes first; where nobody is, all common ones are kept", checkCodecsKept),
		alone(row(11, "RFC 6184 8.1", Choice, "of the H264 profiles that are offered one is answered that decodes what is really sent", checkTrueProfile)),
		row(12, "RFC 9429 5.3.1", Must, "payload types, repair, feedback and header extensions of the answer were offered",
			eachPlayAnswer(func(_ *T, o, a *description) []string {
				return slices.Concat(sectionFaults(o, a), payloadFaults(o, a), subsetFaults(o, a))
			})),
		row(13, "RFC 8830 2, RFC 5576 6.1", Must, "SSRC lines have a CNAME, one for all, and agree with the msid", checkSourceLines),
		row(14, "Sluice", Choice, "players are offered no simulcast: one stream in each section",
			eachPlayAnswer(func(_ *T, _, a *description) []string { return simulcastFaults(a) })),
	}
}

// eachPlayAnswer makes a check that judges the answers to viewers' offers of
// several shapes. A shape that the server refuses is no matter here, except the
// plainest.
func eachPlayAnswer(judge func(t *T, offer, answer *description) []string) func(*T) {
	return func(t *T) {
		s := t.watch(PlayOffer())
		t.wantSections(describe(s.Answer))
		t.wrong(judge(t, describe(s.Offer), describe(s.Answer)))
		for _, offer := range []string{browserOffer("recvonly"), bundleOnly(browserOffer("recvonly"))} {
			if r := t.PostOffer(t.Room.WHEP, offer); r.Status == http.StatusCreated {
				t.wrong(judge(t, describe(offer), describe(r.Body)))
			}
		}
	}
}

func checkPlayDirection(t *T) {
	for _, offered := range []string{"recvonly", "sendrecv"} {
		s := t.watch(Offer(opusSection(offered), h264Section(offered)))
		t.wantSections(describe(s.Answer))
		for _, f := range directionFaults(describe(s.Answer), "sendonly") {
			t.Errorf("offered %s: %s", offered, f)
		}
	}
}

// sending are the sections of sound or picture that the answer sends.
func (d *description) sending() []*section {
	var list []*section
	for i := range d.sections {
		s := &d.sections[i]
		if s.rejected() || s.kind != "audio" && s.kind != "video" {
			continue
		}
		if direction := d.directions(s); slices.Contains(direction, "sendonly") || slices.Contains(direction, "sendrecv") {
			list = append(list, s)
		}
	}
	return list
}

// streamFaults wants an msid in each section that is sent, of one media stream.
func streamFaults(answer *description) []string {
	var faults []string
	stream := ""
	for _, s := range answer.sending() {
		list := s.values("msid")
		if len(list) != 1 {
			faults = append(faults, fmt.Sprintf("section with mid %q: expected one msid, got %d", s.mid(), len(list)))
			continue
		}
		id, _, _ := strings.Cut(list[0], " ")
		switch {
		case id == "" || id == "-":
			faults = append(faults, fmt.Sprintf("section with mid %q: expected a media stream, got msid %q", s.mid(), list[0]))
		case stream != "" && id != stream:
			faults = append(faults, fmt.Sprintf("expected one media stream, got %q and %q", stream, id))
		}
		stream = id
	}
	return faults
}

// bundledFaults are those of BUNDLE and of multiplexing. Three RFCs disagree about
// rtcp-mux-only in answers: without it nobody is said to be wrong.
func bundledFaults(t *T, offer, answer *description) []string {
	faults := slices.Concat(bundleFaults(offer, answer), muxFaults(answer, t.Strict()))
	if t.Strict() {
		faults = append(faults, flagFaults(answer, "rtcp-mux-only", true)...)
	}
	return faults
}

func checkOneOfAKind(t *T) {
	for _, kind := range []func(string) Media{h264Section, opusSection} {
		first, second := kind("recvonly"), kind("recvonly")
		first.MID, second.MID = "0", "1"
		r := t.PostOffer(t.Room.WHEP, Offer(first, second))
		if r.Status != http.StatusCreated {
			t.Want(r, "201 or 4xx", ClientError)
			continue
		}
		if n := len(describe(r.Body).sending()); n > 1 {
			t.Errorf("two sections of %s: expected one to be sent, got %d", first.Kind, n)
		}
	}
}

func checkPlaySetups(t *T) {
	for _, role := range []string{"actpass", "active", "passive"} {
		offer := Edit(PlayOffer(), "a=setup:actpass", "a=setup:"+role)
		r := t.PostOffer(t.Room.WHEP, offer)
		if r.Status != http.StatusCreated {
			if role != "passive" || t.Strict() {
				t.Errorf("setup:%s: expected 201, got %v", role, r)
			}
			continue
		}
		t.wrong(setupFaults(describe(offer), describe(r.Body)))
	}
}

func checkLateTrack(t *T) {
	if t.Room.WHIP == "" {
		t.Skipf("nobody can be put on air: no WHIP endpoint was named")
	}
	a := t.agent([]Media{opusSection("sendonly")})
	a.post(t.Room.WHIP).connect()
	a.keepAlive(2 * time.Second)
	a.start(opusFeed())
	t.awaitViewers()
	if n := len(describe(t.watch(PlayOffer()).Answer).sending()); n != 2 {
		t.differsf("expected audio and video to be sent where audio is on air, got %d sections", n)
	}
}

// codecs are the codecs of a section that carry media, each once, in its order.
func (s *section) codecs() []string {
	var list []string
	for _, pt := range s.formats {
		if name := s.codec(pt); isMedia(name) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// videoCodecs are those of the video section of an answer.
func videoCodecs(answer string) []string {
	d := describe(answer)
	for i := range d.sections {
		if d.sections[i].kind == "video" {
			return d.sections[i].codecs()
		}
	}
	return nil
}

func checkCodecsKept(t *T) {
	if t.Room.WHIP == "" {
		t.Skipf("what is on air is not known: no WHIP endpoint was named")
	}
	live := videoCodecs(t.watch(browserOffer("recvonly")).Answer)
	if len(live) == 0 || live[0] != "H264" {
		t.differsf("expected H264 first, which is on air, got %v", live)
	}
	if !t.suite.siblings {
		return
	}
	idle := t.PostOffer(t.suite.target.room("i"+randomText(5)).WHEP, browserOffer("recvonly"))
	if idle.Status != http.StatusCreated {
		return // nobody waits here
	}
	for _, want := range []string{"H264", "VP8"} {
		if got := videoCodecs(idle.Body); !slices.Contains(got, want) {
			t.differsf("expected all common codecs where nobody is on air yet, got %v", got)
		}
	}
}

// checkTrueProfile publishes High where the SDP says constrained baseline, as one
// widely used encoder does.
func checkTrueProfile(t *T) {
	if t.Room.WHIP == "" {
		t.Skipf("nobody can be put on air: no WHIP endpoint was named")
	}
	a := t.agent([]Media{opusSection("sendonly"), h264Section("sendonly")})
	a.post(t.Room.WHIP).connect()
	a.keepAlive(2 * time.Second)
	video := h264Feed()
	video.frame = frameHigh
	a.start(opusFeed(), video)
	t.awaitViewers()
	offered := Media{Kind: "video", MID: "1", Direction: "recvonly", Formats: "102 103"}
	offered.Codecs = sdpLines("rtpmap:102 H264/90000", "rtcp-fb:102 nack pli", "fmtp:102 packetization-mode=1;profile-level-id=42e01f",
		"rtpmap:103 H264/90000", "rtcp-fb:103 nack pli", "fmtp:103 packetization-mode=1;profile-level-id=640c1f")
	var first *section
	high := t.Until(3*time.Second, func() bool { // the server has to have seen a keyframe
		s := t.watch(Offer(offered))
		d := describe(s.Answer)
		t.Delete(s)
		if len(d.sections) != 1 || len(d.sections[0].formats) == 0 {
			t.Fatalf("expected one section with a codec, got %d", len(d.sections))
		}
		first = &d.sections[0]
		return first.formats[0] == "103"
	})
	if !high {
		t.differsf("expected payload type 103, which is High, for a stream of High, got %s", first.formats[0])
		return
	}
	if got := first.parameters("103")["profile-level-id"]; profileH264(got) != profileH264("640c1f") {
		t.Errorf("expected the profile-level-id of payload type 103 to stay of its profile, got %q", got)
	}
}

func checkSourceLines(t *T) {
	a := describe(t.watch(browserOffer("recvonly")).Answer)
	var faults, cnames []string
	lines := 0
	for _, s := range a.sending() {
		named := map[string]bool{} // SSRCs, and whether they have a CNAME
		for _, v := range s.values("ssrc") {
			lines++
			id, attribute, _ := strings.Cut(v, " ")
			named[id] = named[id] || strings.HasPrefix(attribute, "cname:")
			if name, ok := strings.CutPrefix(attribute, "cname:"); ok {
				cnames = append(cnames, name)
			}
			if msid, ok := strings.CutPrefix(attribute, "msid:"); ok && s.has("msid") && msid != s.value("msid") {
				faults = append(faults, fmt.Sprintf("expected the msid %q of the section for SSRC %s, got %q", s.value("msid"), id, msid))
			}
		}
		for id, has := range named {
			if !has {
				faults = append(faults, fmt.Sprintf("expected a cname for SSRC %s, got none", id))
			}
		}
	}
	if lines == 0 {
		t.Skipf("the answer has no SSRC lines")
	}
	if slices.Sort(cnames); len(slices.Compact(cnames)) > 1 {
		faults = append(faults, fmt.Sprintf("expected one cname for all that is played together, got %v", cnames))
	}
	t.wrong(faults)
}

// simulcastFaults wants no layers in the sections.
func simulcastFaults(answer *description) []string {
	var faults []string
	for i := range answer.sections {
		for _, name := range []string{"simulcast", "rid"} {
			if s := &answer.sections[i]; s.has(name) {
				faults = append(faults, fmt.Sprintf("section %d: expected no a=%s, got %q", i, name, s.value(name)))
			}
		}
	}
	return faults
}
