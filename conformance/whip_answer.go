package conformance

import (
	"fmt"
	"net/http"
	"strings"
)

// whipAnswerChecks judge the SDP of the 201.
func whipAnswerChecks() []Check {
	row := rows("WHIP-ANS")
	return []Check{
		row(1, "RFC 9725 4.2", Must, "the answer has the offer's sections, in number, order, kind and mid",
			anyAnswer(sectionFaults)),
		row(2, "RFC 9725 4.2", Must, "every accepted section of the answer is recvonly", checkAnswerDirection),
		row(3, "RFC 9725 4.4.3", Should, "no section of the answer is refused by port 0",
			eachAnswer(func(_ *T, _, a *description) []string { return rejectionFaults(a) })),
		row(4, "RFC 9725 4.4.1", Must, "the answer has one BUNDLE group with all accepted sections",
			eachAnswer(func(_ *T, o, a *description) []string { return bundleFaults(o, a) })),
		row(5, "RFC 9725 4.4.1", Must, "the answer multiplexes RTP and RTCP",
			eachAnswer(func(t *T, _, a *description) []string { return muxFaults(a, t.Strict()) })),
		row(6, "RFC 9725 4.4.1", Must, "the answer says rtcp-mux-only in every bundled section", checkMuxOnly),
		row(7, "RFC 9725 4.4.4", Must, "the answer takes the DTLS role that the offer leaves", checkSetups),
		row(8, "RFC 9725 4.4.5", Must, "ice-lite stands at session level when and only when the server is lite", checkLite),
		row(9, "RFC 9725 4.3.2", Must, "the answer holds the server's candidates",
			eachAnswer(func(_ *T, _, a *description) []string { return append(candidateFaults(a), fingerprintFaults(a)...) })),
		row(10, "RFC 8840", Should, "the answer ends its list of candidates",
			eachAnswer(func(_ *T, _, a *description) []string { return endFaults(a) })),
		row(11, "RFC 8838", Should, "the answer announces trickle ICE where PATCH takes it", checkIceOptions),
		row(12, "Sluice", Choice, "UDP host candidates come first, IPv4 before IPv6",
			eachAnswer(func(_ *T, _, a *description) []string { return orderOfCandidatesFaults(a) })),
		row(13, "RFC 8445 4", Choice, "candidates are of component 1 alone",
			eachAnswer(func(_ *T, _, a *description) []string { return componentFaults(a) })),
		row(14, "Sluice", Choice, "the answer fits into 8 KiB",
			eachAnswer(func(_ *T, _, a *description) []string { return sizeFaults(a) })),
		row(15, "RFC 9429 5.3.1", Must, "the answer has payload types of the offer alone, with its numbers",
			eachAnswer(func(_ *T, o, a *description) []string { return payloadFaults(o, a) })),
		row(16, "RFC 9429 5.3.1", Must, "feedback, header extensions and parameters of the answer were offered",
			eachAnswer(func(_ *T, o, a *description) []string { return subsetFaults(o, a) })),
		row(17, "Sluice", Choice, "one video codec is kept of several offered",
			eachAnswer(func(_ *T, _, a *description) []string { return primaryFaults(a) })),
		row(18, "RFC 8830", Choice, "a section that only receives names no track",
			checkNoTrack),
		row(19, "RFC 8866", Must, "the answer is SDP to the letter, with CRLF line ends",
			anyAnswer(func(_, a *description) []string { return a.grammarFaults() })),
		row(20, "RFC 8839 5.4", Must, "each session has ICE credentials of its own, long enough", checkFreshCredentials),
	}
}

// eachAnswer makes a check that judges the answers to offers of several shapes. A
// shape that the server refuses is no matter here, except the plainest.
func eachAnswer(judge func(t *T, offer, answer *description) []string) func(*T) {
	return func(t *T) {
		t.answers(func(offer, answer *description) {
			t.wantSections(answer)
			t.wrong(judge(t, offer, answer))
		})
	}
}

// anyAnswer is eachAnswer for what can be judged without a media section, too.
func anyAnswer(judge func(offer, answer *description) []string) func(*T) {
	return func(t *T) {
		t.answers(func(offer, answer *description) { t.wrong(judge(offer, answer)) })
	}
}

// wantSections ends a check that has nothing to judge: WHIP-ANS-01 tells of it.
func (t *T) wantSections(answer *description) {
	if len(answer.sections) == 0 {
		t.Fatalf("expected an answer with media sections, got none")
	}
}

func (t *T) answers(judge func(offer, answer *description)) {
	for i, offer := range []string{PublishOffer(), browserOffer("sendonly"), bundleOnly(browserOffer("sendonly"))} {
		r := t.ask(t.Room.WHIP, offer)
		if r.Status != http.StatusCreated {
			if i == 0 {
				t.Fatalf("expected 201 to a plain offer, got %v", r)
			}
			continue
		}
		judge(describe(offer), describe(r.Body))
	}
}

func checkAnswerDirection(t *T) {
	for _, offered := range []string{"sendonly", "sendrecv"} {
		a := describe(t.wantTaken("an offer of "+offered, Offer(opusSection(offered), h264Section(offered))).Body)
		t.wantSections(a)
		for _, f := range directionFaults(a, "recvonly") {
			t.Errorf("offered %s: %s", offered, f)
		}
	}
}

// checkMuxOnly: three RFCs disagree about rtcp-mux-only in answers, so that a
// server without it is not said to be wrong.
func checkMuxOnly(t *T) {
	s := t.Open(t.Room.WHIP, browserOffer("sendonly"))
	a := describe(s.Answer)
	t.wantSections(a)
	faults := flagFaults(a, "rtcp-mux-only", true)
	if len(faults) > 0 && !t.Strict() {
		t.Skipf("known conflict: RFC 9725 wants rtcp-mux-only in answers, RFC 8858 forbids it; %s", strings.Join(faults, "; "))
	}
	t.wrong(faults)
}

func checkSetups(t *T) {
	for _, role := range []string{"actpass", "active", "passive"} {
		offer := Edit(PublishOffer(), "a=setup:actpass", "a=setup:"+role)
		r := t.ask(t.Room.WHIP, offer)
		if r.Status != http.StatusCreated {
			if role == "actpass" {
				t.Fatalf("expected 201 to setup:actpass, got %v", r)
			}
			continue // whether others are taken is WHIP-OFFER-13 and -14
		}
		a := describe(r.Body)
		t.wantSections(a)
		t.wrong(setupFaults(describe(offer), a))
	}
}

func checkIceOptions(t *T) {
	s := t.Open(t.Room.WHIP, PublishOffer())
	if r := t.Patch(s, TrickleOf(s.Offer), or(s.ETag, "*")); r.Status != http.StatusNoContent && r.Status != http.StatusOK {
		t.Skipf("the server takes no trickle: %v", r)
	}
	t.wrong(optionFaults(describe(s.Answer)))
}

// checkNoTrack: read to the letter, RFC 9725 section 4.4.2 asks for an msid in
// answers, too, so that a server with one is not said to be wrong.
func checkNoTrack(t *T) {
	t.answers(func(_, answer *description) {
		t.wantSections(answer)
		for _, f := range trackFaults(answer) {
			t.differsf("%s", f)
		}
	})
}

// trackFaults wants no msid where nothing is sent.
func trackFaults(answer *description) []string {
	var faults []string
	for i := range answer.sections {
		if s := &answer.sections[i]; s.has("msid") {
			faults = append(faults, fmt.Sprintf("section %d: expected no msid, since nothing is sent, got %q", i, s.value("msid")))
		}
	}
	return faults
}

// sessionsCompared is how many sessions are opened to see that no two are alike.
const sessionsCompared = 100

func checkFreshCredentials(t *T) {
	ufrags, pwds := map[string]bool{}, map[string]bool{}
	for range sessionsCompared {
		s := t.Open(t.Room.WHIP, PublishOffer())
		a := describe(s.Answer)
		t.Delete(s)
		if faults := credentialFaults(a); len(faults) > 0 {
			t.wrong(faults)
			return
		}
		ufrag, pwd := a.icePart("ice-ufrag"), a.icePart("ice-pwd")
		if ufrags[ufrag] || pwds[pwd] {
			t.Fatalf("expected fresh credentials after %d sessions, got ufrag %q again", len(ufrags), ufrag)
		}
		ufrags[ufrag], pwds[pwd] = true, true
	}
	if bits := entropy(keys(pwds)); bits < 100 {
		t.Errorf("expected passwords of 128 random bits, got about %d", bits)
	}
}

func checkLite(t *T) { t.wantLiteTold(t.Open(t.Room.WHIP, PublishOffer())) }

// wantLiteTold finds out what the server is by whether it sends checks of its own.
func (t *T) wantLiteTold(s *Session) {
	a := describe(s.Answer)
	t.wrong(liteFaults(a))
	answers, asks := t.probeICE(s)
	lite := a.has("ice-lite")
	switch {
	case lite && asks:
		t.Errorf("expected no checks from a server that says ice-lite, got some")
	case !lite && answers && !asks:
		t.Errorf("expected ice-lite from a server that answers checks and sends none, got none")
	case !answers:
		t.Skipf("the server's first candidate answers no checks, so its mode cannot be told")
	}
}
