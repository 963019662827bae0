package conformance

import (
	"slices"
	"strings"
	"testing"
)

const answerHead = "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\na=ice-options:trickle ice2\r\n"

const answerICE = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=setup:passive\r\na=fingerprint:sha-256 " +
	"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n"

// rightAnswer answers browserOffer as it should be.
const rightAnswer = answerHead +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n" + answerICE +
	"a=recvonly\r\na=rtcp-mux\r\na=rtcp-mux-only\r\na=extmap:4 " + uriMID + "\r\n" +
	"a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 stereo=1\r\n" +
	"a=candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host\r\na=candidate:2 1 udp 2130706175 ::1 4000 typ host\r\n" +
	"a=end-of-candidates\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 104 105\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n" + answerICE +
	"a=recvonly\r\na=rtcp-mux\r\na=rtcp-mux-only\r\na=rtcp-rsize\r\na=extmap:3 " + uriWideCC + "\r\n" +
	"a=rtpmap:104 H264/90000\r\na=rtcp-fb:104 nack\r\na=rtcp-fb:104 nack pli\r\n" +
	"a=fmtp:104 packetization-mode=1;profile-level-id=42c01f\r\na=rtpmap:105 rtx/90000\r\na=fmtp:105 apt=104\r\n"

// judges are all that answer.go and its neighbours can tell, by name.
var judges = map[string]func(o, a *description) []string{
	"sections":    sectionFaults,
	"direction":   func(_, a *description) []string { return directionFaults(a, "recvonly") },
	"rejection":   func(_, a *description) []string { return rejectionFaults(a) },
	"bundle":      bundleFaults,
	"mux":         func(_, a *description) []string { return muxFaults(a, false) },
	"mux-only":    func(_, a *description) []string { return flagFaults(a, "rtcp-mux-only", true) },
	"setup":       setupFaults,
	"fingerprint": func(_, a *description) []string { return fingerprintFaults(a) },
	"credentials": func(_, a *description) []string { return credentialFaults(a) },
	"size":        func(_, a *description) []string { return sizeFaults(a) },
	"payload":     payloadFaults,
	"subset":      subsetFaults,
	"primary":     func(_, a *description) []string { return primaryFaults(a) },
	"candidates":  func(_, a *description) []string { return candidateFaults(a) },
	"order":       func(_, a *description) []string { return orderOfCandidatesFaults(a) },
	"component":   func(_, a *description) []string { return componentFaults(a) },
	"end":         func(_, a *description) []string { return endFaults(a) },
	"options":     func(_, a *description) []string { return optionFaults(a) },
	"lite":        func(_, a *description) []string { return liteFaults(a) },
	"grammar":     func(_, a *description) []string { return a.grammarFaults() },
	"track":       func(_, a *description) []string { return trackFaults(a) },
}

// TestRightAnswer finds nothing wrong with an answer that is right.
func TestRightAnswer(t *testing.T) {
	for name, judge := range judges {
		if got := judge(describe(browserOffer("sendonly")), describe(rightAnswer)); len(got) > 0 {
			t.Errorf("%s: got %q, want nothing", name, got)
		}
	}
}

// TestWrongAnswers breaks a right answer in one place and wants that judge to
// tell who looks after it.
func TestWrongAnswers(t *testing.T) {
	line := func(text string) string { return text + "\r\n" }
	for _, tc := range []struct{ name, judge, old, replacement string }{
		{"section missing", "sections", "m=video", "x=video"},
		{"kinds differ", "sections", "m=audio", "m=video"},
		{"mid differs", "sections", "a=mid:1", "a=mid:2"},
		{"protocol differs", "sections", "m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio 9 RTP/AVP"},
		{"sendrecv", "direction", "a=recvonly", "a=sendrecv"},
		{"no direction", "direction", line("a=recvonly"), ""},
		{"two directions", "direction", line("a=recvonly"), line("a=recvonly") + line("a=inactive")},
		{"port 0", "rejection", "m=video 9", "m=video 0"},
		{"no group", "bundle", line("a=group:BUNDLE 0 1"), ""},
		{"part of the group", "bundle", "a=group:BUNDLE 0 1", "a=group:BUNDLE 0"},
		{"two groups", "bundle", line("a=group:BUNDLE 0 1"), line("a=group:BUNDLE 0") + line("a=group:BUNDLE 1")},
		{"no mux", "mux", line("a=rtcp-mux"), ""},
		{"no mux-only", "mux-only", line("a=rtcp-mux-only"), ""},
		{"actpass", "setup", "a=setup:passive", "a=setup:actpass"},
		{"no setup", "setup", line("a=setup:passive"), ""},
		{"sha-1", "fingerprint", "sha-256 00", "sha-1 00"},
		{"short ufrag", "credentials", "a=ice-ufrag:abcd", "a=ice-ufrag:abc"},
		{"short pwd", "credentials", "a=ice-pwd:a", "a=ice-pwd:"},
		{"odd ufrag", "credentials", "a=ice-ufrag:abcd", "a=ice-ufrag:ab-cd"},
		{"large", "size", "a=ice-lite", "a=x:" + strings.Repeat("x", 8192)},
		{"foreign payload type", "payload", "SAVPF 111", "SAVPF 112"},
		{"another codec", "payload", "a=rtpmap:104 H264", "a=rtpmap:104 VP8"},
		{"repair of nothing", "payload", "a=fmtp:105 apt=104", "a=fmtp:105 apt=102"},
		{"repair without apt", "payload", "a=fmtp:105 apt=104", "a=fmtp:105 x=y"},
		{"repair alone", "payload", "SAVPF 104 105", "SAVPF 105"},
		{"attribute of another payload type", "payload", "a=rtcp-fb:104 nack\r\n", "a=rtcp-fb:96 nack\r\n"},
		{"feedback", "subset", "a=rtcp-fb:111 transport-cc", "a=rtcp-fb:111 nack"},
		{"feedback for all", "subset", "a=rtcp-fb:104 nack\r\n", "a=rtcp-fb:* nack rpsi\r\n"},
		{"extension renumbered", "subset", "a=extmap:4 ", "a=extmap:5 "},
		{"extension not offered", "subset", "a=extmap:3 " + uriWideCC, "a=extmap:3 " + uriAudioLevel},
		{"rsize", "subset", "a=recvonly\r\na=rtcp-mux\r\n", "a=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\n"},
		{"rtcp line", "subset", "a=mid:0", "a=rtcp:9 IN IP4 0.0.0.0\r\na=mid:0"},
		{"packetization mode", "subset", "packetization-mode=1", "packetization-mode=0"},
		{"H264 profile", "subset", "42c01f", "64001f"},
		{"apt", "subset", "apt=104", "apt=102"},
		{"two codecs", "primary", "SAVPF 104 105\r\n", "SAVPF 104 96\r\na=rtpmap:96 VP8/90000\r\n"},
		{"no candidates", "candidates", "a=candidate:", "a=x-candidate:"},
		{"candidate cut", "candidates", " typ host", ""},
		{"TCP first", "order", "1 1 udp 2130706431 127.0.0.1 4000 typ host", "1 1 tcp 2130706431 127.0.0.1 4000 typ host tcptype passive"},
		{"IPv4 late", "order", "::1 4000 typ host", "::1 4000 typ host\r\na=candidate:3 1 udp 1 127.0.0.2 4000 typ host"},
		{"component 2", "component", "a=candidate:2 1", "a=candidate:2 2"},
		{"not ended", "end", line("a=end-of-candidates"), ""},
		{"no options", "options", line("a=ice-options:trickle ice2"), ""},
		{"no ice2", "options", " ice2", ""},
		{"lite in a section", "lite", "a=mid:0", "a=ice-lite\r\na=mid:0"},
		{"LF", "grammar", "\r\n", "\n"},
		{"before v=", "grammar", "v=0", " v=0"},
		{"no t=", "grammar", line("t=0 0"), ""},
		{"no c=", "grammar", line("c=IN IP4 0.0.0.0"), ""},
		{"o= cut", "grammar", "o=- 7 1 IN IP4 127.0.0.1", "o=- 7 1"},
		{"order", "grammar", "s=-\r\nt=0 0\r\n", "t=0 0\r\ns=-\r\n"},
		{"empty attribute", "grammar", "a=mid:0", "a="},
		{"msid", "track", "a=mid:0", "a=msid:x y\r\na=mid:0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Everywhere or in the first place: what is broken is broken.
			broken := strings.ReplaceAll(rightAnswer, tc.old, tc.replacement)
			if broken == rightAnswer {
				t.Fatalf("the answer has no %q", tc.old)
			}
			if got := judges[tc.judge](describe(browserOffer("sendonly")), describe(broken)); len(got) == 0 {
				t.Errorf("%s finds nothing wrong", tc.judge)
			}
		})
	}
}

// TestSetupOfOffer wants the answer's role to fit the offer's.
func TestSetupOfOffer(t *testing.T) {
	for _, tc := range []struct {
		offer, answer string
		right         bool
	}{
		{"actpass", "active", true},
		{"actpass", "passive", true},
		{"active", "passive", true},
		{"active", "active", false},
		{"passive", "active", true},
		{"passive", "passive", false},
	} {
		o := describe(Edit(browserOffer("sendonly"), "setup:actpass", "setup:"+tc.offer))
		a := describe(Edit(rightAnswer, "setup:passive", "setup:"+tc.answer))
		if got := len(setupFaults(o, a)) == 0; got != tc.right {
			t.Errorf("%s to %s: got %v, want %v", tc.answer, tc.offer, got, tc.right)
		}
	}
}

// TestBundleOnlyShape wants the offer in the form that RFC 9725 prints.
func TestBundleOnlyShape(t *testing.T) {
	d := describe(bundleOnly(PublishOffer()))
	if faults := d.grammarFaults(); len(faults) > 0 {
		t.Errorf("grammar: %q", faults)
	}
	first, second := &d.sections[0], &d.sections[1]
	if first.port != 9 || !first.has("rtcp-mux") || !first.has("ice-pwd") {
		t.Errorf("first section: got %q", first.lines)
	}
	if second.port != 0 || !second.has("bundle-only") || second.rejected() || second.has("rtcp-mux") || second.has("ice-pwd") {
		t.Errorf("second section: got port %d and %q", second.port, second.lines)
	}
}

// TestInSection edits one section and leaves the other and the line ends alone.
func TestInSection(t *testing.T) {
	offer := PublishOffer()
	for n := range 2 {
		got := inSection(offer, n, func(s string) string { return Edit(s, "a=rtcp-mux\r\n", "") })
		d := describe(got)
		if faults := d.grammarFaults(); len(faults) > 0 {
			t.Errorf("grammar: %q", faults)
		}
		if d.sections[n].has("rtcp-mux") || !d.sections[1-n].has("rtcp-mux") {
			t.Errorf("section %d: got %q", n, got)
		}
	}
}

// TestProfileH264 reads the ways to write the profiles that browsers offer.
func TestProfileH264(t *testing.T) {
	for id, want := range map[string]string{
		"42e01f": "42 constrained baseline", "42C01F": "42 constrained baseline", "4d8028": "42 constrained baseline",
		"42001f": "42 baseline", "": "42 baseline", "4d001f": "4d main", "640028": "64 00", "640c1f": "64 0c",
	} {
		if got := profileH264(id); got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}

// TestEntropy knows identifiers of known strength.
func TestEntropy(t *testing.T) {
	var hex, counted []string
	for n := range sessionsCompared {
		hex = append(hex, "/whip/"+randomText(16)+"/x")
		counted = append(counted, "/whip/session-"+string(rune('0'+n/10))+string(rune('0'+n%10)))
	}
	if got := entropy(hex); got < 122 || got > 130 {
		t.Errorf("128 random bits: got %d", got)
	}
	if got := entropy(counted); got > 10 {
		t.Errorf("a counter: got %d", got)
	}
	if !slices.Equal(keys(map[string]bool{"b": true, "a": true}), []string{"a", "b"}) {
		t.Error("keys are not sorted")
	}
}
