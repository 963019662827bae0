package session_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/session"
)

// shape is one form of offer; publish and play are the problems that it is
// refused with as an offer to send and to receive, "" when it is answered.
type shape struct {
	name, text    string
	publish, play string
}

const (
	malformed  = session.ProblemMalformed
	direction  = session.ProblemDirection
	noCodec    = session.ProblemNoCommonCodec
	tooComplex = session.ProblemTooComplex
)

func shapes() []shape {
	data := "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\na=mid:2\n" + transport + "a=sctp-port:5000\na=max-message-size:262144\n"
	three := strings.ReplaceAll(plainOffer(), "BUNDLE 0 1", "BUNDLE 0 1 2")
	candidates := func(lines string) string { return replaced("a=rtcp-mux\n", "a=rtcp-mux\n"+lines) }
	return []shape{
		{"Chrome on a desktop", chromeDesktop(), "", ""},
		{"Edge with H265", edgeWithH265(), "", ""},
		{"Chrome on Android", chromeAndroid(), "", ""},
		{"Android WebView", webView(), "", ""},
		{"Firefox", firefoxDesktop(), "", ""},
		{"Firefox on Android", firefoxShape(codec(120, "VP8", "max-fs=12288;max-fr=60", 124), "120 124"), "", ""},
		{"Safari", safari(), "", ""},
		{"Safari of old", safariOld(), "", ""},
		{"libwebrtc in an application", libwebrtcNative(), "", ""},
		{"libdatachannel", libdatachannel(), "", ""},
		{"aiortc", aiortc(), "", ""},
		{"webrtc-rs", webrtcRS(), "", ""},
		{"str0m", str0m(), "", ""},
		{"GStreamer", gstreamer(), "", ""},
		{"an encoder on a telephone", mobileEncoder(), "", ""},
		{"an encoder in a headset", headset(), "", ""},
		{"layers", layers(), "", ""},
		{"five layers", strings.NewReplacer("a=rid:l send\n", "a=rid:l send\na=rid:x send\na=rid:y send\n", "h;m;l", "h;m;l;x;y").Replace(layers()), session.ProblemSimulcast, ""},
		{"layers without their header extension", strings.ReplaceAll(layers(), "a=extmap:10 ", "a=extmap:30 "), session.ProblemSimulcast, ""},

		{"40 payload types", manyPayloadTypes(), "", ""},
		{"65 payload types", replaced("SAVPF 96 97", "SAVPF 96 97"+strings.Repeat(" 99", 63)), tooComplex, tooComplex},
		{"20 header extensions", manyExtensions(1), "", ""},
		{"two-byte header extensions", "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\na=extmap-allow-mixed\n" + strings.TrimPrefix(manyExtensions(15), head), "", ""},
		{"the mid under a two-byte id", replaced("extmap:4 ", "extmap:20 "), "", ""},
		{"static payload types", head + mline("audio", 9, "0", "0 8", transport, "a=rtcp-mux\n"), "", ""},
		{"no rtpmap", head + mline("video", 9, "0", "96", transport, "a=rtcp-mux\n"), noCodec, noCodec},
		{"payload types that look like RTCP", replaced("96", "72", "97", "73"), noCodec, ""},
		{"a payload type twice", replaced("SAVPF 96 97", "SAVPF 96 96"), malformed, malformed},
		{"a payload type above 127", replaced("SAVPF 96 97", "SAVPF 96 128"), malformed, malformed},
		{"one payload type for two codecs", replaced("SAVPF 111", "SAVPF 96", ":111 ", ":96 "), malformed, ""},
		{"feedback for all", replaced("a=rtcp-fb:96 nack\n", "a=rtcp-fb:* nack\n"), "", ""},
		{"H264 without fmtp", replaced("VP8/90000", "H264/90000"), "", ""},
		{"H264 of mode 0 alone", bundle + plainAudio() + mline("video", 9, "1", "96", transport, muxed, h264Line(96, "42e01f", 0, 0)), "", ""},
		{"H264 interleaved", bundle + plainAudio() + mline("video", 9, "1", "96", transport, muxed, h264Line(96, "42e01f", 2, 0)), noCodec, ""},
		{"Theora", replaced("VP8/90000", "theora/90000"), noCodec, ""},
		{"comfort noise alone", head + mline("audio", 9, "0", "13", transport, "a=rtcp-mux\na=rtpmap:13 CN/8000\n"), noCodec, noCodec},

		{"mDNS candidates", candidates("a=candidate:0 1 UDP 2122187007 916d7fa8-d00f-4880-b676-525aa4a031ee.local 45122 typ host\n"), "", ""},
		{"TCP candidates", candidates("a=candidate:1 1 tcp 1518214911 192.0.2.2 9 typ host tcptype active\na=candidate:2 1 tcp 1518214910 192.0.2.2 4433 typ host tcptype passive\n"), "", ""},
		{"IPv6 candidates", candidates("a=candidate:1 1 udp 2122265343 2001:db8::2 34007 typ host\na=candidate:2 1 udp 2122265342 fe80::1%eth0 34007 typ host\n"), "", ""},
		{"candidates of unknown transports", candidates("a=candidate:1 1 sctp 1 192.0.2.2 9 typ host\na=candidate:nonsense\n"), "", ""},
		{"200 candidates", candidates(strings.Repeat("a=candidate:1 1 udp 2122194687 192.0.2.2 36637 typ host\n", 200) + "a=end-of-candidates\n"), "", ""},

		{"all at session level", bundle + transport + "a=rtcp-mux\n" + extMID + mline("audio", 9, "0", "111", opusLines, "a=rtcp-mux\n") + mline("video", 0, "1", "96", "a=bundle-only\n", codec(96, "VP8", "", 0)), "", ""},
		{"bundle-only sections without ICE", bundle + plainAudio() + mline("video", 0, "1", "96", "a=bundle-only\n", codec(96, "VP8", "", 0)), "", ""},
		{"the second section tagged", replaced("BUNDLE 0 1", "BUNDLE 1 0"), "", ""},
		{"no credentials", replaced(shapeICE, ""), malformed, malformed},
		{"a short ufrag", replaced("ufrag:Sh4p", "ufrag:Sh4"), malformed, malformed},
		{"a short password", replaced("0123456789abcdefABCDEF+/", "0123456789abcdefABCDE"), malformed, malformed},
		{"ice-lite", replaced("t=0 0\n", "t=0 0\na=ice-lite\n"), session.ProblemICE, session.ProblemICE},
		{"several fingerprints", replaced(shapeDTLS, "a=fingerprint:sha-1 "+digest(20)+"\n"+shapeDTLS+"a=fingerprint:sha-512 "+digest(64)+"\n"), "", ""},
		{"a fingerprint in lower case", replaced(shapeDigest, strings.ToLower(shapeDigest)), "", ""},
		{"a hash in upper case", replaced("fingerprint:sha-256", "fingerprint:SHA-256"), "", ""},
		{"sha-1 alone", replaced(shapeDTLS, "a=fingerprint:sha-1 "+digest(20)+"\n"), session.ProblemFingerprint, session.ProblemFingerprint},
		{"a fingerprint of half the length", replaced(shapeDigest, digest(16)), malformed, malformed},
		{"no fingerprint", replaced(shapeDTLS, ""), malformed, malformed},
		{"setup active", replaced("actpass", "active"), "", ""},
		{"setup passive", replaced("actpass", "passive"), "", ""},
		{"no setup", replaced(shapeAct, ""), "", ""},
		{"holdconn", replaced("actpass", "holdconn"), session.ProblemDTLSSetup, session.ProblemDTLSSetup},

		{"no BUNDLE", replaced("a=group:BUNDLE 0 1\n", ""), session.ProblemNoBundle, session.ProblemNoBundle},
		{"one section without BUNDLE", head + plainAudio(), "", ""},
		{"half a BUNDLE", replaced("BUNDLE 0 1", "BUNDLE 0"), session.ProblemNoBundle, session.ProblemNoBundle},
		{"BUNDLE of an unknown mid", replaced("BUNDLE 0 1", "BUNDLE 0 7"), malformed, malformed},
		{"two sections of one mid", replaced("a=mid:1", "a=mid:0"), malformed, malformed},
		{"one section without mid", head + strings.ReplaceAll(plainVideo(), "a=mid:1\n", ""), "", ""},
		{"two sections, one without mid", replaced("a=mid:1\n", ""), malformed, malformed},
		{"long mids", replaced("a=mid:0", "a=mid:{0c8b2f1e-aaaa-4bbb-8ccc-dddddddddddd}", "BUNDLE 0 ", "BUNDLE {0c8b2f1e-aaaa-4bbb-8ccc-dddddddddddd} "), "", ""},
		{"no rtcp-mux", replaced("a=rtcp-mux\n", ""), session.ProblemNoRTCPMux, session.ProblemNoRTCPMux},
		{"rtcp-mux in the first section alone", replaced(muxed, "a=rtcp-rsize\n"), "", ""},

		{"a data channel", three + data, noCodec, ""},
		{"a section switched off", replaced("m=video 9", "m=video 0"), direction, ""},
		{"everything switched off", replaced("m=video 9", "m=video 0", "m=audio 9", "m=audio 0"), direction, direction},
		{"two video sections", three + strings.ReplaceAll(plainVideo(), "a=mid:1", "a=mid:2"), session.ProblemTooManyTracks, ""},
		{"both directions", replaced("DIR", "a=sendrecv"), "", ""},
		{"one section inactive", bundle + plainAudio() + strings.ReplaceAll(plainVideo(), "DIR", "a=inactive"), direction, direction},
		{"two streams", replaced("MSID audio", "a=msid:one a", "MSID video", "a=msid:two v"), session.ProblemMultipleStreams, ""},
		{"no stream", replaced("MSID audio", "a=msid:- a", "MSID video", "a=msid:- v"), "", ""},
		{"streams by SSRC", replaced("MSID audio", "a=ssrc:1 msid:stream a", "MSID video", "a=ssrc:2 msid:stream v"), "", ""},
		{"no msid", replaced("MSID audio\n", "", "MSID video\n", ""), "", ""},
		{"another profile of RTP", replaced("UDP/TLS/RTP/SAVPF", "RTP/SAVPF"), "", ""},

		{"unknown lines", replaced("s=-\n", "s=-\ni=about\nu=https://example.com\ne=a@example.com\nb=AS:500\nk=clear:x\n", "a=rtcp-mux\n", "b=TIAS:1\na=rtcp-mux\na=x-foo:bar\na=framerate:30.0\n"), "", ""},
		{"unknown parameters", replaced("minptime=10;", "minptime=10;x-unknown=1; cbr ;"), "", ""},
		{"a long line", replaced("a=rtcp-mux\n", "a=rtcp-mux\na=x-long:"+strings.Repeat("x", 3000)+"\n"), "", ""},
		{"a line too long", replaced("a=rtcp-mux\n", "a=rtcp-mux\na=x-long:"+strings.Repeat("x", 5000)+"\n"), tooComplex, tooComplex},
		{"too many lines", replaced("a=rtcp-mux\n", "a=rtcp-mux\n"+strings.Repeat("a=x\n", 600)), tooComplex, tooComplex},
		{"too many sections", head + strings.Repeat(plainAudio(), 33), tooComplex, tooComplex},
		{"a NUL", replaced("a=rtcp-mux\n", "a=rtcp-mux\na=x\x00y\n"), malformed, malformed},
		{"text behind the end", plainOffer() + "hello\n", malformed, malformed},
		{"no sections", head, malformed, malformed},
		{"another version", replaced("v=0\n", "v=1\n"), malformed, malformed},
	}
}

func takingLayers(c *session.Config) { c.Simulcast = true }

// TestShapes holds every shape to what it is for, and every answer to the
// validator: as an offer of a publisher, and of a viewer.
func TestShapes(t *testing.T) {
	t.Parallel()
	table := newTable(t, takingLayers)
	answered, refused := 0, 0
	for _, s := range shapes() {
		for _, role := range []struct {
			name, direction, want string
			viewer                bool
		}{{"publish", "sendonly", s.publish, false}, {"play", "recvonly", s.play, true}} {
			t.Run(s.name+", "+role.name, func(t *testing.T) {
				text := written(s.text, role.direction)
				answer, got := answerOf(t, table, text, role.viewer)
				if got != role.want {
					t.Fatalf("got %q, want %q\n%s", got, role.want, text)
				}
				if got != "" {
					refused++
					return
				}
				answered++
				for _, fault := range validate(text, answer, role.viewer) {
					t.Error(fault)
				}
				if t.Failed() {
					t.Logf("offer\n%s\nanswer\n%s", text, answer)
				}
			})
		}
	}
	if answered < 80 || refused < 40 {
		t.Errorf("only %d were answered and %d refused", answered, refused)
	}
}

// TestLineEnds: the ends of lines are a matter of taste (RFC 8866 section 5).
func TestLineEnds(t *testing.T) {
	table := newTable(t, takingLayers)
	text := written(plainOffer(), "sendonly")
	for name, change := range map[string]func(string) string{
		"LF":         func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") },
		"no end":     func(s string) string { return strings.TrimSuffix(s, "\r\n") },
		"mixed":      func(s string) string { return strings.Replace(s, "\r\n", "\n", 5) },
		"empty last": func(s string) string { return s + "\r\n" },
	} {
		answer, problem := answerOf(t, table, change(text), false)
		if problem != "" {
			t.Errorf("%s: got %q", name, problem)
			continue
		}
		for _, fault := range validate(text, answer, false) {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

// TestCapturedOffers answers what real clients have sent.
func TestCapturedOffers(t *testing.T) {
	t.Parallel()
	table := newTable(t, takingLayers)
	files, err := filepath.Glob("testdata/offers/*.sdp")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d offers, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		viewer := strings.Contains(file, "play")
		answer, problem := answerOf(t, table, string(text), viewer)
		if problem != "" {
			t.Errorf("%s: got %q", file, problem)
			continue
		}
		for _, fault := range validate(string(text), answer, viewer) {
			t.Errorf("%s: %s", file, fault)
		}
		// Whoever sends may not play, and the other way round.
		if _, problem := answerOf(t, table, string(text), !viewer); problem != direction {
			t.Errorf("%s, turned round: got %q, want %q", file, problem, direction)
		}
	}
}

// answerOf is the answer of a table to an offer, or the problem.
func answerOf(t *testing.T, table *session.Table, text string, viewer bool) (answer, refused string) {
	t.Helper()
	offer, err := session.ParseOffer([]byte(text))
	if err != nil {
		return "", problem(t, err)
	}
	var s *session.Session
	if viewer {
		if err = offer.CheckPlay(); err == nil {
			s, err = table.OpenViewer(offer, session.ViewerSetup{Closed: func(session.Cause) {}})
		}
	} else if err = offer.CheckPublish(); err == nil {
		s, err = table.OpenPublisher(offer, session.PublisherSetup{Closed: func(session.Cause) {}})
	}
	if err != nil {
		return "", problem(t, err)
	}
	answer = string(s.Answer())
	s.Close(session.CauseDeleted)
	<-s.Done()
	return answer, ""
}

// TestValidator spoils answers, each in one way that must be found.
func TestValidator(t *testing.T) {
	table := newTable(t, takingLayers)
	for _, viewer := range []bool{false, true} {
		offer := written(layers(), map[bool]string{false: "sendonly", true: "recvonly"}[viewer])
		answer, refused := answerOf(t, table, offer, viewer)
		if refused != "" || len(validate(offer, answer, viewer)) != 0 {
			t.Fatalf("the answer is not right to begin with: %s, %v", refused, validate(offer, answer, viewer))
		}
		own, other := "a=recvonly", "a=sendonly"
		if viewer {
			own, other = other, own
		}
		changes := [][2]string{
			{"\r\n", "\n"},
			{own, other},
			{own, "a=sendrecv"},
			{"a=ice-lite\r\n", ""},
			{"a=ice-options:trickle ice2", "a=ice-options:trickle"},
			{"BUNDLE 0 1", "BUNDLE 1 0"},
			{"BUNDLE 0 1", "BUNDLE 0"},
			{"a=mid:0", "a=mid:7"},
			{"m=video 9", "m=audio 9"},
			{"SAVPF 96 97", "SAVPF 96 97 98"},
			{"SAVPF 96 97", "SAVPF 97"},
			{"VP8/90000", "VP9/90000"},
			{"apt=96", "apt=111"},
			{"a=rtcp-fb:96 nack pli", "a=rtcp-fb:96 ack rpsi"},
			{"useinbandfec=1", "useinbandfec=0"},
			{"a=rtcp-mux\r\n", ""},
			{"a=rtcp-mux-only\r\n", ""},
			{"a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"},
			{"a=setup:", "a=setup:x"},
			{"a=fingerprint:sha-256 ", "a=fingerprint:sha-1 "},
			{"a=ice-ufrag:", "a=ice-ufrag:!"},
			{"a=extmap:4 ", "a=extmap:9 "},
			{" 1 udp ", " 2 udp "},
			{" 1 udp ", " 1 tcp "},
			{"a=end-of-candidates\r\n", ""},
			{"c=IN IP4 0.0.0.0\r\n", ""},
			{"t=0 0\r\n", ""},
		}
		if !viewer {
			changes = append(changes, [2]string{"a=rid:m recv", "a=rid:x recv"}, [2]string{"a=simulcast:recv h;m;l\r\n", ""})
		}
		for _, change := range changes {
			spoilt := strings.Replace(answer, change[0], change[1], 1)
			if spoilt == answer {
				t.Errorf("viewer %t: %q is not in the answer\n%s", viewer, change[0], answer)
			}
			if change[0] == "\r\n" {
				spoilt = strings.ReplaceAll(answer, "\r\n", "\n")
			}
			if len(validate(offer, spoilt, viewer)) == 0 {
				t.Errorf("viewer %t: %q in place of %q is not found", viewer, change[1], change[0])
			}
		}
	}
}
