package session_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/session"
)

// TestOffersOfClients holds the captured offers and the fixtures to what each
// is: which can publish, which can play, and what is wrong with the rest.
func TestOffersOfClients(t *testing.T) {
	const direction = session.ProblemDirection
	want := map[string]struct{ parse, publish, play string }{
		"fixtures/o_active.sdp":       {"", "", direction},
		"fixtures/o_audioonly.sdp":    {"", "", direction},
		"fixtures/o_garbage.sdp":      {session.ProblemMalformed, "", ""},
		"fixtures/o_inactive.sdp":     {"", direction, direction},
		"fixtures/o_lf.sdp":           {"", "", direction},
		"fixtures/o_nobundle.sdp":     {session.ProblemNoBundle, "", ""},
		"fixtures/o_nofp.sdp":         {session.ProblemMalformed, "", ""},
		"fixtures/o_nomux.sdp":        {"", "", direction}, // missing in a later section only
		"fixtures/o_ok.sdp":           {"", "", direction},
		"fixtures/o_okssrc.sdp":       {"", "", direction},
		"fixtures/o_passive.sdp":      {"", "", direction},
		"fixtures/o_recv.sdp":         {"", direction, ""},
		"fixtures/o_theora.sdp":       {"", session.ProblemNoCommonCodec, direction},
		"fixtures/o_twostream.sdp":    {"", session.ProblemMultipleStreams, direction},
		"fixtures/o_twovideo.sdp":     {"", session.ProblemTooManyTracks, direction},
		"fixtures/o_whep.sdp":         {"", direction, ""},
		"fixtures/o_wheps.sdp":        {"", "", ""}, // sendrecv
		"fixtures/o_whepsendonly.sdp": {"", "", direction},

		"offers/chromium-156-publish-h264.sdp":                 {"", "", direction},
		"offers/chromium-156-whep-play.sdp":                    {"", direction, ""},
		"offers/ffmpeg-9.0.2-audio-video.sdp":                  {"", "", direction},
		"offers/ffmpeg-9.0.2-video-only-dtls-active.sdp":       {"", "", direction},
		"offers/firefox-esr-153-whep-play.sdp":                 {"", direction, ""},
		"offers/gstreamer-1.28-simple-whip-client-trickle.sdp": {"", "", direction},
		"offers/obs-32.2.2-simulcast-3.sdp":                    {"", "", direction},
		"offers/obs-32.2.2.sdp":                                {"", "", direction},
	}
	files, err := filepath.Glob("testdata/*/*.sdp")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(want) {
		t.Errorf("%d files, %d expectations", len(files), len(want))
	}
	for name, w := range want {
		t.Run(name, func(t *testing.T) {
			o, err := session.ParseOffer(testdata(t, name))
			if got := problem(t, err); got != w.parse {
				t.Fatalf("parse: got %q (%v), want %q", got, err, w.parse)
			}
			if err != nil {
				return
			}
			if got := problem(t, o.CheckPublish()); got != w.publish {
				t.Errorf("publish: got %q, want %q", got, w.publish)
			}
			if got := problem(t, o.CheckPlay()); got != w.play {
				t.Errorf("play: got %q, want %q", got, w.play)
			}
		})
	}
}

// figure2 has ICE, DTLS and mux lines in the tagged section alone, as the
// example offer of RFC 9725 has them.
const figure2 = "v=0\r\no=- 5228595038118931041 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=ice-options:trickle ice2\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n" +
	"a=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n" +
	"a=fingerprint:sha-256 DA:7B:57:DC:28:CE:04:4F:31:79:85:C4:31:67:EB:27:58:29:ED:77:2A:0D:24:AE:ED:AD:30:BC:BD:F1:9C:02\r\n" +
	"a=setup:actpass\r\na=mid:0\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\na=rtcp-mux\r\na=rtcp-mux-only\r\n" +
	"a=msid:d46fb922 EwoAJ\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
	"m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=bundle-only\r\n" +
	"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\na=rtcp-mux\r\na=rtcp-mux-only\r\n" +
	"a=msid:d46fb922 Nzl7t\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n" +
	"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"

// TestOfferShapes changes one thing in a good offer.
func TestOfferShapes(t *testing.T) {
	ok := strings.ReplaceAll(string(testdata(t, "fixtures/o_ok.sdp")), "\r\n", "\n")
	fingerprint := "a=fingerprint:sha-256 DA:7B:57:DC:28:CE:04:4F:31:79:85:C4:31:67:EB:27:58:29:ED:77:2A:0D:24:AE:ED:AD:30:BC:BD:F1:9C:02\n"
	change := func(old, replacement string) string {
		if !strings.Contains(ok, old) {
			t.Fatalf("the offer has no %q", old)
		}
		return strings.ReplaceAll(ok, old, replacement)
	}
	once := func(old, replacement string) string { return strings.Replace(change(old, old), old, replacement, 1) }
	last := strings.LastIndex(ok, "a=ice-ufrag:EsAw\n")
	data := "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\na=mid:2\na=sctp-port:5000\n"
	cases := []struct {
		name, offer, parse, publish string
	}{
		{"as it is", ok, "", ""},
		{"figure 2", figure2, "", ""},
		{"CRLF", strings.ReplaceAll(ok, "\n", "\r\n"), "", ""},
		{"no last line end", strings.TrimSuffix(ok, "\n"), "", ""},
		{"blank lines at the end", ok + "\r\n\r\n", "", ""},
		{"unknown attributes", once("a=mid:0\n", "a=mid:0\na=x-foo\na=y-foo:1 2 3\n"), "", ""},
		{"unknown bandwidth", once("c=IN IP4 0.0.0.0\n", "c=IN IP4 0.0.0.0\nb=TIAS:1\nb=FOO:x\nb=nonsense\n"), "", ""},
		{"unknown candidates", once("a=mid:0\n", "a=mid:0\na=candidate:1 1 sctp 1 x.invalid 9 typ host\na=candidate:1 1 udp 1 abc.local 9 typ host\na=candidate:nonsense\n"), "", ""},
		{"thousands of candidates", once("a=mid:0\n", "a=mid:0\n"+strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\n", 1000)), "", ""},
		{"sendrecv", change("a=sendonly\n", "a=sendrecv\n"), "", ""},
		{"no direction", change("a=sendonly\n", ""), "", ""},
		{"direction for the session", strings.Replace(change("a=sendonly\n", ""), "t=0 0\n", "t=0 0\na=recvonly\n", 1), "", session.ProblemDirection},
		{"no msid", change("a=msid:s ", "a=x-msid:s "), "", ""},
		{"msid without a stream", strings.Replace(once("a=msid:s audio0", "a=msid:- audio0"), "a=msid:s ", "a=msid:other ", 1), "", ""},
		{"two streams by ssrc", once("a=mid:0\n", "a=mid:0\na=ssrc:7 msid:other t\n"), "", session.ProblemMultipleStreams},
		{"setup missing", change("a=setup:actpass\n", ""), "", ""},
		{"setup holdconn", change("a=setup:actpass\n", "a=setup:holdconn\n"), session.ProblemDTLSSetup, ""},
		{"setup in capitals", change("a=setup:actpass\n", "a=setup:PASSIVE\n"), "", ""},
		{"fingerprint for the session", strings.Replace(change(fingerprint, ""), "t=0 0\n", "t=0 0\n"+fingerprint, 1), "", ""},
		{"sha-1 only", change("a=fingerprint:sha-256", "a=fingerprint:sha-1"), session.ProblemFingerprint, ""},
		{"sha-1 and sha-256", once(fingerprint, "a=fingerprint:sha-1 AA\n"+fingerprint), "", ""},
		{"fingerprint too short", change(":9C:02\n", ":9C\n"), session.ProblemMalformed, ""},
		{"fingerprint not hexadecimal", change(":9C:02\n", ":9C:XX\n"), session.ProblemMalformed, ""},
		{"ufrag of 3", change("a=ice-ufrag:EsAw\n", "a=ice-ufrag:EsA\n"), session.ProblemMalformed, ""},
		{"ufrag of 257", change("a=ice-ufrag:EsAw\n", "a=ice-ufrag:"+strings.Repeat("x", 257)+"\n"), session.ProblemMalformed, ""},
		{"ufrag with a colon", change("a=ice-ufrag:EsAw\n", "a=ice-ufrag:Es:Aw\n"), session.ProblemMalformed, ""},
		{"pwd of 21", change("XJMM09aR8AiX1jdukzR6Y\n", "XJMM09aR8AiX1jdukz\n"), session.ProblemMalformed, ""},
		{"no ufrag", change("a=ice-ufrag:EsAw\n", ""), session.ProblemMalformed, ""},
		{"no ufrag in a later section", ok[:last] + strings.Replace(ok[last:], "a=ice-ufrag:EsAw\n", "", 1), "", ""},
		{"ice-lite", once("t=0 0\n", "t=0 0\na=ice-lite\n"), session.ProblemICE, ""},
		{"no mux at all", change("a=rtcp-mux\n", ""), session.ProblemNoRTCPMux, ""},
		{"no mux in the tagged section", once("a=rtcp-mux\n", ""), session.ProblemNoRTCPMux, ""},
		{"the same mid twice", once("a=mid:1\n", "a=mid:0\n"), session.ProblemMalformed, ""},
		{"no mid", once("a=mid:1\n", ""), session.ProblemMalformed, ""},
		{"a mid with a blank", once("a=mid:1\n", "a=mid:1 2\n"), session.ProblemMalformed, ""},
		{"BUNDLE of an unknown mid", once("BUNDLE 0 1", "BUNDLE 0 1 2"), session.ProblemMalformed, ""},
		{"BUNDLE names one twice", once("BUNDLE 0 1", "BUNDLE 0 1 1"), session.ProblemMalformed, ""},
		{"BUNDLE of one of two", once("BUNDLE 0 1", "BUNDLE 0"), session.ProblemNoBundle, ""},
		{"two BUNDLE groups", once("a=group:BUNDLE 0 1\n", "a=group:BUNDLE 0\na=group:BUNDLE 1\n"), session.ProblemNoBundle, ""},
		{"other groups", once("a=group:BUNDLE 0 1\n", "a=group:LS 0 1\na=group:BUNDLE 0 1\n"), "", ""},
		{"switched off", once("m=video 9 ", "m=video 0 "), "", session.ProblemDirection},
		{"all switched off", strings.NewReplacer("m=video 9 ", "m=video 0 ", "m=audio 9 ", "m=audio 0 ").Replace(ok), session.ProblemDirection, ""},
		{"bundle-only", strings.Replace(once("m=video 9 ", "m=video 0 "), "a=mid:1\n", "a=mid:1\na=bundle-only\n", 1), "", ""},
		{"data channel", strings.Replace(ok+data, "BUNDLE 0 1", "BUNDLE 0 1 2", 1), "", session.ProblemNoCommonCodec},
		{"payload type of 128", strings.ReplaceAll(ok, "SAVPF 96", "SAVPF 96 128"), session.ProblemMalformed, ""},
		{"payload type listed twice", strings.ReplaceAll(ok, "SAVPF 96", "SAVPF 96 96"), session.ProblemMalformed, ""},
		{"payload type that looks like RTCP", strings.NewReplacer("SAVPF 96", "SAVPF 72", ":96 ", ":72 ").Replace(ok), "", session.ProblemNoCommonCodec},
		{"H264 interleaved", change("packetization-mode=1", "packetization-mode=2"), "", session.ProblemNoCommonCodec},
		{"not RTP", change("m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 UDP/DTLS/SCTP"), session.ProblemMalformed, ""},
		{"multichannel opus", change("opus/48000/2", "opus/48000/6"), "", session.ProblemNoCommonCodec},
		{"cut off in a key", ok[:strings.LastIndex(ok, "a=rtcp-fb")+1], session.ProblemMalformed, ""},
		{"empty", "", session.ProblemMalformed, ""},
		{"version alone", "v=0\n", session.ProblemMalformed, ""},
		{"no section", "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n", session.ProblemMalformed, ""},
		{"something before it", "\n" + ok, session.ProblemMalformed, ""},
		{"NUL", once("a=mid:0\n", "a=mid:\x000\n"), session.ProblemMalformed, ""},
		{"CR within a line", once("a=mid:0\n", "a=mid:0\ra=recvonly\n"), session.ProblemMalformed, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o, err := session.ParseOffer([]byte(c.offer))
			if got := problem(t, err); got != c.parse {
				t.Fatalf("parse: got %q (%v), want %q", got, err, c.parse)
			}
			if err == nil {
				if err := o.CheckPublish(); problem(t, err) != c.publish {
					t.Errorf("publish: got %v, want %q", err, c.publish)
				}
			}
		})
	}
}

// TestOneSection needs neither a BUNDLE group nor a mid, and may belong to a
// group whose other members were left out.
func TestOneSection(t *testing.T) {
	ok := string(testdata(t, "fixtures/o_audioonly.sdp"))
	for name, text := range map[string]string{
		"no group":               strings.Replace(ok, "a=group:BUNDLE 0", "a=x", 1),
		"no group and no mid":    strings.NewReplacer("a=group:BUNDLE 0", "a=x", "a=mid:0", "a=x").Replace(ok),
		"group with one missing": strings.Replace(ok, "BUNDLE 0", "BUNDLE 1 0", 1),
		"group of another":       strings.Replace(ok, "BUNDLE 0", "BUNDLE 7", 1),
	} {
		t.Run(name, func(t *testing.T) {
			o := parseOffer(t, text)
			if err := o.CheckPublish(); err != nil {
				t.Error(err)
			}
			if o.UFrag != "EsAw" || len(o.Fingerprints) != 1 {
				t.Errorf("got ufrag %q and %d fingerprints", o.UFrag, len(o.Fingerprints))
			}
		})
	}
}

func TestOfferBounds(t *testing.T) {
	ok := strings.ReplaceAll(string(testdata(t, "fixtures/o_audioonly.sdp")), "\r\n", "\n")
	video := "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\n"
	pts := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(" ")
			b.WriteString([]string{"10", "11", "12"}[i/100])
			b.WriteString([]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}[i%10])
		}
		return b.String()
	}
	cases := []struct{ name, offer, want string }{
		{"33 sections", ok + strings.Repeat(video, 32), session.ProblemTooComplex},
		{"513 lines in a section", ok + strings.Repeat("a=x\n", 512), session.ProblemTooComplex},
		{"513 lines before the sections", strings.Replace(ok, "t=0 0\n", "t=0 0\n"+strings.Repeat("a=x\n", 512), 1), session.ProblemTooComplex},
		{"400 lines", ok + strings.Repeat("a=x\n", 400), ""},
		{"a line of 4 KiB", ok + "a=x:" + strings.Repeat("x", 4096-4) + "\n", ""},
		{"a line of 4 KiB and one", ok + "a=x:" + strings.Repeat("x", 4096-3) + "\n", session.ProblemTooComplex},
		{"65 formats", ok + "m=video 9 UDP/TLS/RTP/SAVPF" + pts(65) + "\na=mid:1\n", session.ProblemTooComplex},
		{"8 layers", ok + strings.Repeat("a=rid:1 send\n", 8), ""},
		{"9 layers", ok + strings.Repeat("a=rid:1 send\n", 9), session.ProblemTooComplex},
		{"more than 64 KiB", ok + strings.Repeat("a=x\n", 1<<14), session.ProblemTooComplex},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := session.ParseOffer([]byte(c.offer))
			if got := problem(t, err); got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

func TestOfferContents(t *testing.T) {
	o := parseOffer(t, string(testdata(t, "offers/chromium-156-whep-play.sdp")))
	if o.UFrag != "dXtd" || o.Pwd != "W3uNAoxREIajecAo2rbeOXmz" || o.Setup != "actpass" {
		t.Errorf("got %q %q %q", o.UFrag, o.Pwd, o.Setup)
	}
	if got := o.Fingerprints[0].String(); !strings.HasPrefix(got, "sha-256 19:14:BE:D4:") || len(got) != 8+95 {
		t.Errorf("got fingerprint %q", got)
	}
	var audio, video []string
	for _, c := range o.Sections[0].Codecs {
		audio = append(audio, c.MimeType)
	}
	if got := strings.Join(audio, " "); got != "audio/opus audio/G722 audio/PCMU audio/PCMA" {
		t.Errorf("got audio %s", got)
	}
	rtx := 0
	for _, c := range o.Sections[1].Codecs {
		if len(video) == 0 || video[len(video)-1] != c.MimeType {
			video = append(video, c.MimeType)
		}
		if c.RTXPayloadType != 0 {
			rtx++
		}
		if len(c.RTCPFeedback) != 5 {
			t.Errorf("%s (%d) has the feedback %v", c.MimeType, c.PayloadType, c.RTCPFeedback)
		}
	}
	if got := strings.Join(video, " "); got != "video/VP8 video/VP9 video/H264 video/AV1" {
		t.Errorf("got video %s", got)
	}
	if first := o.Sections[1].Codecs[0]; first.PayloadType != 96 || first.RTXPayloadType != 97 || rtx < 10 {
		t.Errorf("got %d with rtx %d first, %d with rtx", first.PayloadType, first.RTXPayloadType, rtx)
	}
}

// TestStaticPayloadTypes need no rtpmap, names no case, feedback may be "*".
func TestStaticPayloadTypes(t *testing.T) {
	text := strings.NewReplacer(
		"SAVPF 111", "SAVPF 0 8 9 13 111", "opus/48000/2", "OPUS/48000/2", "a=rtcp-mux", "a=rtcp-mux\r\na=rtcp-fb:* nack\r\na=rtcp-fb:111 nack",
	).Replace(string(testdata(t, "fixtures/o_audioonly.sdp")))
	o := parseOffer(t, text)
	var got []string
	for _, c := range o.Sections[0].Codecs {
		got = append(got, c.MimeType)
		if len(c.RTCPFeedback) != 1 || c.RTCPFeedback[0].Type != "nack" {
			t.Errorf("%s has the feedback %v", c.MimeType, c.RTCPFeedback)
		}
	}
	if text := strings.Join(got, " "); text != "audio/PCMU audio/PCMA audio/G722 audio/opus" {
		t.Errorf("got %s", text)
	}
}

// TestRetransmissionTypes: the first one that fits its codec counts.
func TestRetransmissionTypes(t *testing.T) {
	text := strings.NewReplacer("SAVPF 96", "SAVPF 95 97 98 99 100 96", "a=mid:1\r\n", "a=mid:1\r\n"+
		"a=rtpmap:95 rtx/90000\r\na=fmtp:95 apt=96\r\n"+ // looks like RTCP
		"a=rtpmap:97 rtx/8000\r\na=fmtp:97 apt=96\r\n"+ // another clock
		"a=rtpmap:98 rtx/90000\r\na=fmtp:98 apt=42\r\n"+ // of nothing
		"a=rtpmap:99 RTX/90000\r\na=fmtp:99 rtx-time=200;apt=96\r\n"+
		"a=rtpmap:100 rtx/90000\r\na=fmtp:100 apt=96\r\n").Replace(string(testdata(t, "fixtures/o_ok.sdp")))
	codecs := parseOffer(t, text).Sections[1].Codecs
	if len(codecs) != 1 || codecs[0].RTXPayloadType != 99 {
		t.Errorf("got %+v", codecs)
	}
}

// TestPlayShapes changes one thing in a viewer's good offer.
func TestPlayShapes(t *testing.T) {
	ok := string(testdata(t, "fixtures/o_whep.sdp"))
	one, _, _ := strings.Cut(strings.Replace(ok, "BUNDLE 0 1", "BUNDLE 0", 1), "m=video")
	data := strings.NewReplacer("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=rtcp-mux\r\n", "").Replace(one)
	cases := []struct{ name, offer, want string }{
		{"as it is", ok, ""},
		{"sendrecv", strings.ReplaceAll(ok, "a=recvonly", "a=sendrecv"), ""},
		{"audio alone", one, ""},
		{"inactive", strings.Replace(ok, "a=recvonly", "a=inactive", 1), session.ProblemDirection},
		{"one sends", strings.Replace(ok, "a=recvonly", "a=sendonly", 1), session.ProblemDirection},
		{"video switched off", strings.Replace(ok, "m=video 9", "m=video 0", 1), ""},
		{"data alone", data, session.ProblemNoCommonCodec},
		{"no codec", strings.Replace(one, "opus/48000/2", "speex/8000", 1), session.ProblemNoCommonCodec},
		{"one section without a codec", strings.Replace(ok, "H264/90000", "theora/90000", 1), ""},
		{"unreadable packetization mode", strings.Replace(ok, "packetization-mode=1", "packetization-mode=x", 1), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := parseOffer(t, c.offer)
			if err := o.CheckPlay(); problem(t, err) != c.want {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if _, _, _, err := o.AnswerViewer(sdpConfig); c.want == session.ProblemNoCommonCodec && problem(t, err) != c.want {
				t.Errorf("unchecked: got %v", err)
			}
			if c.want == "" {
				answerViewer(t, c.offer)
			}
		})
	}
}
