package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
	"github.com/sluicemedia/sluice/session"
)

func capability(mime, fmtp string) webrtc.RTPCodecCapability {
	return webrtc.RTPCodecCapability{MimeType: mime, SDPFmtpLine: fmtp}
}

func h264Capability(profile string, mode int) webrtc.RTPCodecCapability {
	return capability(webrtc.MimeTypeH264, fmt.Sprintf("level-asymmetry-allowed=1;packetization-mode=%d;profile-level-id=%s", mode, profile))
}

var opus = capability(webrtc.MimeTypeOpus, "minptime=10")

// answerViewer answers and holds the answer to the rules of all answers.
func answerViewer(t *testing.T, offer string, prefer ...webrtc.RTPCodecCapability) (string, []session.ViewerSection, bool) {
	t.Helper()
	o := parseOffer(t, offer)
	if err := o.CheckPlay(); err != nil {
		t.Fatal(err)
	}
	c := sdpConfig
	c.Prefer = prefer
	answer, sections, active, err := o.AnswerViewer(c)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, []byte(offer), answer, "sendonly")
	return string(answer), sections, active
}

// firstFormat is the payload type that a section of an answer prefers.
func firstFormat(t *testing.T, answer, mid string) string {
	t.Helper()
	return strings.Fields(section(t, answer, mid))[3]
}

func TestAnswerBrowsers(t *testing.T) {
	cases := []struct {
		file, mid string
		live      webrtc.RTPCodecCapability
		first     string
	}{
		{"chromium-156-whep-play", "1", capability(webrtc.MimeTypeVP8, ""), "96"},
		{"chromium-156-whep-play", "1", capability(webrtc.MimeTypeVP9, "profile-id=2"), "100"},
		{"chromium-156-whep-play", "1", h264Capability("42e01f", 1), "108"},
		{"chromium-156-whep-play", "1", h264Capability("42001e", 1), "102"}, // ffmpeg
		{"chromium-156-whep-play", "1", h264Capability("42c01e", 1), "108"}, // GStreamer: constrained baseline too
		{"chromium-156-whep-play", "1", h264Capability("42001e", 0), "104"},
		{"chromium-156-whep-play", "0", opus, "111"},
		{"chromium-156-whep-play", "0", capability(webrtc.MimeTypePCMA, ""), "8"},
		{"firefox-esr-153-whep-play", "1", capability(webrtc.MimeTypeVP9, ""), "121"},
		{"firefox-esr-153-whep-play", "0", capability(webrtc.MimeTypeG722, ""), "9"},
	}
	for _, c := range cases {
		t.Run(c.file+" "+c.live.MimeType+" "+c.live.SDPFmtpLine, func(t *testing.T) {
			offer := string(testdata(t, "offers/"+c.file+".sdp"))
			answer, sections, active := answerViewer(t, offer, c.live)
			if got := firstFormat(t, answer, c.mid); got != c.first {
				t.Errorf("got payload type %s first, want %s\n%s", got, c.first, section(t, answer, c.mid))
			}
			if active || len(sections) != 2 {
				t.Errorf("active %v, %d sections", active, len(sections))
			}
			for _, s := range sections {
				if s.MID != c.mid {
					continue
				}
				f, ok := s.Format(c.live)
				if !ok || fmt.Sprint(f.PayloadType) != c.first {
					t.Errorf("format %+v %v", f, ok)
				}
			}
			// The codecs that are not on air stay, so that a publisher may return with them.
			if n, m := len(sections[1].Codecs), len(parseOffer(t, offer).Sections[1].Codecs); n != m {
				t.Errorf("%d of %d video codecs accepted", n, m)
			}
		})
	}
}

func TestAnswerNobodyOnAir(t *testing.T) {
	offer := string(testdata(t, "offers/chromium-156-whep-play.sdp"))
	answer, sections, _ := answerViewer(t, offer)
	for _, name := range []string{"VP8/90000", "VP9/90000", "H264/90000", "AV1/90000", "opus/48000/2", "G722/8000", "rtx/90000"} {
		if !strings.Contains(answer, " "+name+"\r\n") {
			t.Errorf("the answer has no %s", name)
		}
	}
	for _, name := range []string{"red", "ulpfec", "flexfec", "telephone-event", "CN/"} {
		if strings.Contains(answer, name) {
			t.Errorf("the answer has %s", name)
		}
	}
	if firstFormat(t, answer, "1") != "96" {
		t.Error("the viewer's own order was not kept")
	}
	for _, s := range sections {
		if s.SSRC == 0 || s.SSRC == s.RTXSSRC || (s.RTXSSRC != 0) != (s.Kind == "video") {
			t.Errorf("%s has ssrc %d and rtx %d", s.Kind, s.SSRC, s.RTXSSRC)
		}
	}
	if sections[0].SSRC == sections[1].SSRC {
		t.Error("both sections have one SSRC")
	}
}

// TestAnswerSources: the media SSRC is the first that is named, or Chromium
// shows nothing.
func TestAnswerSources(t *testing.T) {
	answer, sections, _ := answerViewer(t, string(testdata(t, "offers/chromium-156-whep-play.sdp")))
	var d sdp.SessionDescription
	if err := d.UnmarshalString(answer); err != nil {
		t.Fatal(err)
	}
	video, s := d.MediaDescriptions[1], sections[1]
	want := []string{fmt.Sprintf("%d cname:cname1", s.SSRC), fmt.Sprintf("%d cname:cname1", s.RTXSSRC)}
	if got := values(video.Attributes, "ssrc"); !slices.Equal(got, want) {
		t.Errorf("got ssrc %q, want %q", got, want)
	}
	if got := values(video.Attributes, "ssrc-group"); !slices.Equal(got, []string{fmt.Sprintf("FID %d %d", s.SSRC, s.RTXSSRC)}) {
		t.Errorf("got group %q", got)
	}
	if got := values(d.MediaDescriptions[0].Attributes, "ssrc"); len(got) != 1 {
		t.Errorf("got audio ssrc %q", got)
	}
}

func TestAnswerCandidates(t *testing.T) {
	answer, _, _ := answerViewer(t, string(testdata(t, "fixtures/o_whep.sdp")))
	var d sdp.SessionDescription
	if err := d.UnmarshalString(answer); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1 1 udp 2130706431 192.0.2.1 8189 typ host",
		"2 1 udp 2130706175 192.0.2.2 8189 typ host",
		"3 1 udp 2130705919 2001:db8::1 8189 typ host",
	}
	if got := values(d.MediaDescriptions[0].Attributes, "candidate"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := values(d.MediaDescriptions[1].Attributes, "candidate"); got != nil {
		t.Errorf("the second section has %q", got)
	}
}

func TestAnswerSetup(t *testing.T) {
	for offered, want := range map[string]string{"actpass": "passive", "active": "passive", "passive": "active"} {
		t.Run(offered, func(t *testing.T) {
			offer := strings.ReplaceAll(string(testdata(t, "fixtures/o_whep.sdp")), "setup:actpass", "setup:"+offered)
			answer, _, active := answerViewer(t, offer)
			if !strings.Contains(answer, "a=setup:"+want+"\r\n") || active != (want == "active") {
				t.Errorf("active is %v:\n%s", active, answer)
			}
		})
	}
}

func TestAnswerSecondOfAKindAndData(t *testing.T) {
	offer := string(testdata(t, "fixtures/o_whep.sdp"))
	offer = strings.Replace(offer, "BUNDLE 0 1", "BUNDLE 3 0 1 2", 1)
	offer += strings.Replace(section(t, offer, "1"), "a=mid:1", "a=mid:2", 1)
	offer = strings.TrimSuffix(offer, "\r\n")
	offer += "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:3\r\n" +
		"a=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\na=setup:actpass\r\na=fingerprint:sha-256 " + strings.Repeat("AA:", 31) + "AA\r\n"
	answer, sections, _ := answerViewer(t, offer)
	if !strings.HasPrefix(section(t, answer, "2"), "m=video 0 ") || !strings.HasPrefix(section(t, answer, "3"), "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n") {
		t.Errorf("the surplus sections are not rejected:\n%s", answer)
	}
	if len(sections) != 2 || !strings.Contains(answer, "a=group:BUNDLE 0 1\r\n") {
		t.Errorf("%d sections:\n%s", len(sections), answer)
	}
	if !strings.Contains(section(t, answer, "0"), "a=candidate:") {
		t.Error("the section that is tagged now has no candidates")
	}
}

func TestAnswerOrderKept(t *testing.T) {
	offer := string(testdata(t, "fixtures/o_whep.sdp"))
	head, _, _ := strings.Cut(offer, "m=")
	audio, video := section(t, offer, "0"), section(t, offer, "1")
	answer, sections, _ := answerViewer(t, head+strings.TrimSuffix(video, "\r\n")+audio)
	if sections[0].Kind != "video" || strings.Index(answer, "m=video") > strings.Index(answer, "m=audio") {
		t.Errorf("the order changed:\n%s", answer)
	}
	// The tag is the group's first mid, not the first section.
	if !strings.Contains(section(t, answer, "0"), "a=candidate:") {
		t.Error("the tagged section has no candidates")
	}
}

func TestAnswerNoCommonCodec(t *testing.T) {
	vp8Only := strings.NewReplacer("H264/90000", "VP8/90000").Replace(string(testdata(t, "fixtures/o_whep.sdp")))
	live := h264Capability("42e01f", 1)
	cases := []struct {
		name, offer string
		prefer      []webrtc.RTPCodecCapability
		want        string
	}{
		{"video on air alone", vp8Only, []webrtc.RTPCodecCapability{live}, session.ProblemNoCommonCodec},
		{"sound under a black picture", vp8Only, []webrtc.RTPCodecCapability{live, opus}, session.ProblemNoCommonCodec},
		{"sound first, under a black picture", vp8Only, []webrtc.RTPCodecCapability{opus, live}, session.ProblemNoCommonCodec},
		{"no codec for video at all", strings.ReplaceAll(vp8Only, "VP8/90000", "theora/90000"), []webrtc.RTPCodecCapability{live, opus}, session.ProblemNoCommonCodec},
		{"a picture without sound", string(testdata(t, "fixtures/o_whep.sdp")), []webrtc.RTPCodecCapability{live, {MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}}, ""},
		{"video comes later", vp8Only, []webrtc.RTPCodecCapability{opus}, ""},
		{"video is not asked for", string(testdata(t, "fixtures/o_audioonly.sdp")), []webrtc.RTPCodecCapability{live, opus}, ""},
		{"nobody on air", vp8Only, nil, ""},
		{"other kind on air", string(testdata(t, "fixtures/o_audioonly.sdp")), []webrtc.RTPCodecCapability{live}, ""},
		{"single units cannot take fragments", strings.Replace(string(testdata(t, "fixtures/o_whep.sdp")), "packetization-mode=1", "packetization-mode=0", 1), []webrtc.RTPCodecCapability{live}, session.ProblemNoCommonCodec},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := sdpConfig
			cfg.Prefer = c.prefer
			_, _, _, err := parseOffer(t, c.offer).AnswerViewer(cfg)
			if got := problem(t, err); got != c.want {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), "H264") {
				t.Errorf("the detail does not name the room's codec: %v", err)
			}
			if hint := "packetization-mode and profile-level-id"; err != nil && strings.Contains(err.Error(), hint) != (c.offer != vp8Only && strings.Contains(c.offer, "H264")) {
				t.Errorf("the detail speaks of parameters where the name differs, or does not where it is the same: %v", err)
			}
		})
	}
}

func TestAnswerExtensions(t *testing.T) {
	answer, sections, _ := answerViewer(t, string(testdata(t, "offers/firefox-esr-153-whep-play.sdp")))
	// Firefox only receives playout-delay: the answer turns the direction round.
	if !strings.Contains(answer, "a=extmap:6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n") {
		t.Errorf("no playout-delay:\n%s", section(t, answer, "1"))
	}
	want := map[egress.ExtensionKind]uint8{egress.ExtensionMID: 3, egress.ExtensionTransportCC: 7, egress.ExtensionPlayoutDelay: 6}
	for kind, id := range want {
		if sections[1].Extensions[kind] != id {
			t.Errorf("extension %d has the id %d, want %d", kind, sections[1].Extensions[kind], id)
		}
	}
	if strings.Contains(answer, "csrc-audio-level") || strings.Contains(answer, "toffset") {
		t.Error("an unknown extension is answered")
	}

	offer := strings.Replace(string(testdata(t, "fixtures/o_whep.sdp")), "a=mid:1\r\n", "a=mid:1\r\n"+
		"a=extmap:20 urn:3gpp:video-orientation\r\na=extmap:1/sendonly urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"+
		"a=extmap:2/inactive http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n"+
		"a=extmap:3/sendrecv urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:3 "+
		"http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time\r\na=extmap:x y\r\na=extmap:5\r\n", 1)
	answer, sections, _ = answerViewer(t, offer)
	if len(sections[1].Extensions) != 1 || !strings.Contains(answer, "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n") {
		t.Errorf("got %v:\n%s", sections[1].Extensions, answer)
	}
}

// TestAnswerLongMID: an identifier that does not fit into a header element is
// not promised to whoever writes them.
func TestAnswerLongMID(t *testing.T) {
	long := strings.Repeat("m", 17)
	offer := strings.NewReplacer("a=mid:1\r\n", "a=mid:"+long+"\r\na=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n", "BUNDLE 0 1", "BUNDLE 0 "+long).
		Replace(string(testdata(t, "fixtures/o_whep.sdp")))
	_, sections, _ := answerViewer(t, offer)
	if id, ok := sections[1].Extensions[egress.ExtensionMID]; ok {
		t.Errorf("mid has the id %d", id)
	}
}

// TestAnswerFits: the least wanted codecs give way when the answer would be
// larger than clients read, and it is refused when that does not help.
func TestAnswerFits(t *testing.T) {
	var formats, lines strings.Builder
	for pt := 96; pt < 126; pt++ {
		fmt.Fprintf(&formats, " %d", pt)
		fmt.Fprintf(&lines, "a=rtpmap:%d VP8/90000\r\na=fmtp:%d x=%s\r\n", pt, pt, strings.Repeat("y", 900))
	}
	base := strings.ReplaceAll(string(testdata(t, "fixtures/o_audioonly.sdp")), "a=sendonly", "a=recvonly")
	base = strings.Replace(base, "BUNDLE 0", "BUNDLE 0 1", 1) + "m=video 9 UDP/TLS/RTP/SAVPF"
	offer := base + formats.String() + "\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\n" + lines.String()
	_, sections, _ := answerViewer(t, offer)
	if n := len(sections[1].Codecs); n < 5 || n > 8 || sections[1].Codecs[0].PayloadType != 96 {
		t.Errorf("%d codecs are left, %d first", n, sections[1].Codecs[0].PayloadType)
	}

	huge := base + " 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=fmtp:96 x=" + strings.Repeat("y", 4000) + "\r\n"
	huge = strings.Replace(huge, "a=fmtp:111 minptime=10;useinbandfec=1", "a=fmtp:111 x="+strings.Repeat("y", 4000), 1)
	_, _, _, err := parseOffer(t, huge).AnswerViewer(sdpConfig)
	if got := problem(t, err); got != session.ProblemTooComplex {
		t.Errorf("got %v", err)
	}
}

func TestViewerSectionFormat(t *testing.T) {
	offered := func(pt uint8, c webrtc.RTPCodecCapability, rtx uint8) session.Codec {
		c.ClockRate = 90000
		return session.Codec{PayloadType: pt, RTXPayloadType: rtx, RTPCodecCapability: c}
	}
	nack := h264Capability("64001f", 1)
	nack.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "nack"}}
	s := session.ViewerSection{Kind: "video", Codecs: []session.Codec{
		offered(100, h264Capability("42e01f", 0), 0),
		offered(101, h264Capability("42001f", 1), 0),
		offered(102, h264Capability("42e01f", 1), 0),
		offered(103, h264Capability("4d001f", 1), 0),
		offered(104, nack, 105),
		offered(110, capability(webrtc.MimeTypeVP9, "profile-id=2"), 0),
		offered(111, capability(webrtc.MimeTypeVP9, ""), 0),
		offered(112, capability(webrtc.MimeTypeAV1, "profile=1"), 0),
		offered(113, capability(webrtc.MimeTypeH265, "profile-id=2;tier-flag=0;level-id=93"), 0),
		offered(114, capability(webrtc.MimeTypeH265, "profile-id=1;tier-flag=0;level-id=93"), 0),
	}}
	cases := []struct {
		source webrtc.RTPCodecCapability
		want   uint8 // 0: none
	}{
		{h264Capability("42e01f", 1), 102},
		{h264Capability("42c01e", 1), 102},
		{h264Capability("4d801e", 1), 102}, // main that is constrained to baseline
		{h264Capability("42001e", 1), 101},
		{h264Capability("4D401F", 1), 103},
		{h264Capability("640028", 1), 104},
		{h264Capability("640c28", 1), 104},
		{h264Capability("f4001f", 1), 104},
		{h264Capability("42e01f", 0), 100},
		{h264Capability("42e01f", 2), 0},
		{capability(webrtc.MimeTypeH264, ""), 101}, // 42000a, mode 0: a decoder of fragments takes whole units
		{capability(webrtc.MimeTypeH264, "packetization-mode=1;profile-level-id=nonsense"), 101},
		{capability(webrtc.MimeTypeVP9, "profile-id=0"), 111},
		{capability(webrtc.MimeTypeVP9, "profile-id=2"), 110},
		{capability(webrtc.MimeTypeVP9, "profile-id=3"), 0},
		{capability(webrtc.MimeTypeAV1, ""), 0},
		{capability(webrtc.MimeTypeAV1, "profile=1"), 112},
		{capability(webrtc.MimeTypeH265, ""), 114},
		{capability(webrtc.MimeTypeH265, "profile-id=2"), 113},
		{capability("video/h265", "profile-id=4"), 113},
		{capability(webrtc.MimeTypeVP8, ""), 0},
	}
	for _, c := range cases {
		t.Run(c.source.MimeType+" "+c.source.SDPFmtpLine, func(t *testing.T) {
			f, ok := s.Format(c.source)
			if f.PayloadType != c.want || ok != (c.want != 0) {
				t.Errorf("got %d %v, want %d", f.PayloadType, ok, c.want)
			}
			if ok && f.ClockRate != 90000 {
				t.Errorf("clock rate %d", f.ClockRate)
			}
			if f.NACK != (c.want == 104) || (f.RTXPayloadType == 105) != (c.want == 104) {
				t.Errorf("nack %v, rtx %d", f.NACK, f.RTXPayloadType)
			}
		})
	}
}
