package session_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/session"
)

// pionAnswers lets pion answer a plan's offer, knowing the plan's codecs and
// nothing else. It is not told to gather: no socket is opened.
func pionAnswers(t testing.TB, p *session.IngestPlan) (string, error) {
	t.Helper()
	var media webrtc.MediaEngine
	for _, c := range p.Codecs {
		kind := webrtc.RTPCodecTypeVideo
		if strings.HasPrefix(c.MimeType, "audio/") {
			kind = webrtc.RTPCodecTypeAudio
		}
		codecs := []webrtc.RTPCodecParameters{{RTPCodecCapability: c.RTPCodecCapability, PayloadType: webrtc.PayloadType(c.PayloadType)}}
		if c.RTXPayloadType != 0 {
			codecs = append(codecs, webrtc.RTPCodecParameters{
				RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: c.ClockRate, SDPFmtpLine: fmt.Sprintf("apt=%d", c.PayloadType)},
				PayloadType:        webrtc.PayloadType(c.RTXPayloadType),
			})
		}
		for _, c := range codecs {
			if err := media.RegisterCodec(c, kind); err != nil {
				return "", err
			}
		}
	}
	for _, e := range p.Extensions {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if err := media.RegisterHeaderExtension(e, kind); err != nil {
				return "", err
			}
		}
	}
	set := webrtc.SettingEngine{LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}}
	set.SetLite(true)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(set), webrtc.WithInterceptorRegistry(&interceptor.Registry{})).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	defer func() { _ = pc.GracefulClose() }()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: p.Offer}); err != nil {
		return "", err
	}
	answer, err := pc.CreateAnswer(nil)
	return answer.SDP, err
}

// ingest takes an offer of a publisher all the way to the answer that is sent.
func ingest(t testing.TB, offer string) (*session.IngestPlan, string) {
	t.Helper()
	o := parseOffer(t, offer)
	if err := o.CheckPublish(); err != nil {
		t.Fatal(err)
	}
	plan, err := o.PlanIngest()
	if err != nil {
		t.Fatal(err)
	}
	own, err := pionAnswers(t, plan)
	if err != nil {
		t.Fatalf("pion: %v\n%s", err, plan.Offer)
	}
	answer, err := o.FinishIngest(own, sdpConfig)
	if err != nil {
		t.Fatalf("finish: %v\n%s", err, own)
	}
	checkAnswer(t, []byte(offer), answer, "recvonly")
	if t.Failed() {
		t.Logf("pion said:\n%s", own)
	}
	return plan, string(answer)
}

func TestIngestClients(t *testing.T) {
	cases := []struct {
		file   string
		codecs string // "name payload type/rtx" by section
		setup  string
		twcc   bool
		parts  []string // that must be in the answer
	}{
		{"offers/ffmpeg-9.0.2-audio-video", "opus 111/0 H264 106/105", "active", false, []string{"a=rtpmap:105 rtx/90000", "a=fmtp:105 apt=106", "a=rtcp-fb:106 nack\r", "profile-level-id=42001e"}},
		{"offers/ffmpeg-9.0.2-video-only-dtls-active", "H264 106/105", "passive", false, []string{"a=group:BUNDLE 1\r", "a=mid:1\r"}},
		{"offers/obs-32.2.2", "opus 111/0 H264 96/0", "", false, []string{"a=rtcp-fb:96 nack pli", "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid", "stereo=1"}},
		{"offers/obs-32.2.2-simulcast-3", "opus 111/0 H264 96/0", "", false, []string{"a=rid:0 recv\r\na=rid:1 recv\r\na=rid:2 recv\r\na=simulcast:recv 0;1;2\r\n"}},
		{"offers/gstreamer-1.28-simple-whip-client-trickle", "H264 96/0 opus 100/0", "", false, []string{"a=mid:video0", "a=mid:audio1", "profile-level-id=42c01e"}},
		{"offers/chromium-156-publish-h264", "opus 111/0 H264 102/103", "", true, []string{"a=rtcp-fb:102 transport-cc", "a=extmap:3 http://www.ietf.org"}},
		{"fixtures/o_ok", "opus 111/0 H264 96/0", "", false, nil},
		{"fixtures/o_active", "opus 111/0 H264 96/0", "passive", false, nil},
		{"fixtures/o_passive", "opus 111/0 H264 96/0", "active", false, nil},
		{"fixtures/o_nomux", "opus 111/0 H264 96/0", "", false, nil},
		{"fixtures/o_okssrc", "opus 111/0 H264 96/0", "", false, nil},
		{"fixtures/o_audioonly", "opus 111/0", "", false, nil},
	}
	for _, c := range cases {
		t.Run(c.file, func(t *testing.T) {
			plan, answer := ingest(t, string(testdata(t, c.file+".sdp")))
			var got []string
			for _, codec := range plan.Codecs {
				_, name, _ := strings.Cut(codec.MimeType, "/")
				got = append(got, fmt.Sprintf("%s %d/%d", name, codec.PayloadType, codec.RTXPayloadType))
			}
			if text := strings.Join(got, " "); text != c.codecs {
				t.Errorf("chosen %s, want %s", text, c.codecs)
			}
			if plan.TWCC != c.twcc {
				t.Errorf("transport-cc is %v", plan.TWCC)
			}
			if c.setup != "" && !strings.Contains(answer, "a=setup:"+c.setup+"\r\n") {
				t.Errorf("the answer does not say setup:%s", c.setup)
			}
			for _, part := range append(c.parts, "a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host\r\n") {
				if !strings.Contains(answer, part) {
					t.Errorf("the answer has no %q", part)
				}
			}
			if strings.Contains(answer, "sprop-") || strings.Contains(answer, " 0.0.0.0 9 typ") {
				t.Error("the answer repeats what only a sender says, or a candidate of pion's")
			}
			if t.Failed() {
				t.Logf("plan:\n%s\nanswer:\n%s", plan.Offer, answer)
			}
		})
	}
}

func TestIngestFigure2(t *testing.T) {
	plan, answer := ingest(t, figure2)
	if plan.Codecs[1].MimeType != webrtc.MimeTypeVP8 || plan.Codecs[1].RTXPayloadType != 97 {
		t.Errorf("chosen %+v", plan.Codecs[1])
	}
	if !strings.HasPrefix(section(t, answer, "1"), "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n") {
		t.Errorf("the bundle-only section is not answered:\n%s", answer)
	}
}

// TestIngestFingerprint: pion knows one only, and is given the most usual.
func TestIngestFingerprint(t *testing.T) {
	ok := string(testdata(t, "fixtures/o_audioonly.sdp"))
	long := "a=fingerprint:sha-512 " + strings.Repeat("AB:", 63) + "AB\r\n"
	both := strings.Replace(ok, "a=fingerprint:sha-256", long+"a=fingerprint:SHA-256", 1)
	if plan, _ := ingest(t, both); !strings.Contains(plan.Offer, "a=fingerprint:sha-256 DA:7B") || strings.Contains(plan.Offer, "sha-512") {
		t.Errorf("got\n%s", plan.Offer)
	}
	before, rest, _ := strings.Cut(ok, "a=fingerprint:")
	_, rest, _ = strings.Cut(rest, "\r\n")
	if plan, _ := ingest(t, before+long+rest); !strings.Contains(plan.Offer, long) {
		t.Errorf("got\n%s", plan.Offer)
	}
}

// TestIngestRoles: an answer in which both sides would wait is not sent.
func TestIngestRoles(t *testing.T) {
	for _, offered := range []string{"active", "passive"} {
		o := parseOffer(t, strings.ReplaceAll(string(testdata(t, "fixtures/o_ok.sdp")), "setup:actpass", "setup:"+offered))
		plan, err := o.PlanIngest()
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := o.FinishIngest(plan.Offer, sdpConfig); err == nil {
			t.Errorf("setup:%s was answered with the same:\n%s", offered, answer)
		}
	}
}

// TestIngestPlanOffer: what pion is given comes from what was understood alone.
func TestIngestPlanOffer(t *testing.T) {
	plan, _ := ingest(t, string(testdata(t, "offers/chromium-156-publish-h264.sdp")))
	for _, part := range []string{"candidate", "red/", "rtcp-xr", "video-timing", "rtp-stream-id", "telephone-event", "msid-semantic", "a=rtcp:"} {
		if strings.Contains(plan.Offer, part) {
			t.Errorf("the offer for pion has %q", part)
		}
	}
	for _, part := range []string{"a=ssrc-group:FID ", "a=ssrc:", "a=sendonly\r\n", "a=rtcp-rsize\r\n", "a=extmap:13 urn:3gpp:video-orientation\r\n"} {
		if !strings.Contains(plan.Offer, part) {
			t.Errorf("the offer for pion lacks %q", part)
		}
	}
	simulcast, _ := ingest(t, string(testdata(t, "offers/obs-32.2.2-simulcast-3.sdp")))
	if strings.Contains(simulcast.Offer, "simulcast") || strings.Contains(simulcast.Offer, "rid") {
		t.Errorf("layers are left in:\n%s", simulcast.Offer)
	}
	// Feedback without the header extension it reports on is not negotiated.
	gst, _ := ingest(t, string(testdata(t, "offers/gstreamer-1.28-simple-whip-client-trickle.sdp")))
	if strings.Contains(gst.Offer, "transport-cc") {
		t.Error("transport-cc is left in without its extension")
	}
}

func TestIngestChoice(t *testing.T) {
	video := func(lines ...string) string {
		head := strings.Replace(string(testdata(t, "fixtures/o_audioonly.sdp")), "m=audio", "m=video", 1)
		head, _, _ = strings.Cut(head, "a=rtpmap")
		return strings.Replace(head, "SAVPF 111", "SAVPF 96 97 98 99", 1) + strings.Join(lines, "\r\n") + "\r\n"
	}
	cases := []struct {
		name, offer string
		want        uint8
	}{
		{"the first one", video("a=rtpmap:96 VP8/90000", "a=rtpmap:97 H264/90000", "a=rtpmap:98 AV1/90000"), 96},
		{"the first one that is carried", video("a=rtpmap:96 theora/90000", "a=rtpmap:97 ulpfec/90000", "a=rtpmap:98 AV1/90000"), 98},
		{"fragments before single units", video("a=rtpmap:96 H264/90000", "a=rtpmap:97 h264/90000", "a=fmtp:97 packetization-mode=1;profile-level-id=42e01f"), 97},
		{"the same profile", video(
			"a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=0;profile-level-id=64001f", "a=rtpmap:97 H264/90000", "a=fmtp:97 packetization-mode=1;profile-level-id=42e01f",
			"a=rtpmap:98 H264/90000", "a=fmtp:98 packetization-mode=1;profile-level-id=64001f"), 98},
		{"single units alone", video("a=rtpmap:96 H264/90000"), 96},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			plan, answer := ingest(t, c.offer)
			if len(plan.Codecs) != 1 || plan.Codecs[0].PayloadType != c.want {
				t.Errorf("chosen %+v, want %d", plan.Codecs, c.want)
			}
			if got := firstFormat(t, answer, "0"); got != fmt.Sprint(c.want) {
				t.Errorf("answered %s, want %d", got, c.want)
			}
		})
	}
}

// TestIngestProfiles: any H264 profile is taken and none is changed, because
// encoders rarely say what they make.
func TestIngestProfiles(t *testing.T) {
	for _, profile := range []string{"42e01f", "42401f", "42c01f", "42001e", "4d4028", "640028", "640c1f", "f4001f"} {
		t.Run(profile, func(t *testing.T) {
			_, answer := ingest(t, strings.ReplaceAll(string(testdata(t, "fixtures/o_ok.sdp")), "42e01f", profile))
			if !strings.Contains(answer, "profile-level-id="+profile) {
				t.Errorf("the profile changed:\n%s", answer)
			}
		})
	}
}

// TestIngestCodecs: all that is carried passes through pion.
func TestIngestCodecs(t *testing.T) {
	ok := string(testdata(t, "fixtures/o_ok.sdp"))
	for _, name := range []string{"H265", "VP8", "VP9", "AV1"} {
		_, answer := ingest(t, strings.NewReplacer("H264/90000", name+"/90000", "a=fmtp:96 ", "a=x:").Replace(ok))
		if !strings.Contains(answer, "a=rtpmap:96 "+name+"/90000\r\n") {
			t.Errorf("%s is not answered:\n%s", name, answer)
		}
	}
	for _, name := range []string{"PCMU", "PCMA", "G722"} {
		_, answer := ingest(t, strings.NewReplacer("opus/48000/2", name+"/8000", "a=fmtp:111 ", "a=x:").Replace(ok))
		if !strings.Contains(answer, "a=rtpmap:111 "+name+"/8000\r\n") {
			t.Errorf("%s is not answered:\n%s", name, answer)
		}
	}
}

func TestIngestOneSectionWithoutMID(t *testing.T) {
	ok := strings.NewReplacer("a=group:BUNDLE 0", "a=x", "a=mid:0", "a=x").Replace(string(testdata(t, "fixtures/o_audioonly.sdp")))
	_, answer := ingest(t, ok)
	if strings.Contains(answer, "a=mid") || strings.Contains(answer, "a=group") {
		t.Errorf("the answer has what the offer had not:\n%s", answer)
	}
}

func TestIngestRefusals(t *testing.T) {
	offer := strings.NewReplacer("SAVPF 96", "SAVPF 111", ":96 ", ":111 ").Replace(string(testdata(t, "fixtures/o_ok.sdp")))
	if _, err := parseOffer(t, offer).PlanIngest(); problem(t, err) != session.ProblemMalformed {
		t.Errorf("one payload type with two meanings: got %v", err)
	}
	if _, err := parseOffer(t, string(testdata(t, "fixtures/o_theora.sdp"))).PlanIngest(); problem(t, err) != session.ProblemNoCommonCodec {
		t.Errorf("no codec: got %v", err)
	}
	o := parseOffer(t, string(testdata(t, "fixtures/o_ok.sdp")))
	plan, err := o.PlanIngest()
	if err != nil {
		t.Fatal(err)
	}
	good, err := pionAnswers(t, plan)
	if err != nil {
		t.Fatal(err)
	}
	for name, own := range map[string]string{
		"nothing":          "",
		"a section less":   good[:strings.Index(good, "m=video")],
		"a rejected one":   strings.Replace(good, "m=video 9", "m=video 0", 1),
		"no DTLS role":     strings.ReplaceAll(good, "a=setup:active", "a=setup:actpass"),
		"no codec in it":   strings.Replace(good, "SAVPF 96", "SAVPF 97", 1),
		"unlike the offer": strings.ReplaceAll(good, "a=setup:active", "a=x"),
	} {
		if answer, err := o.FinishIngest(own, sdpConfig); err == nil {
			t.Errorf("%s: got an answer:\n%s", name, answer)
		}
	}
}
