package session_test

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
	"github.com/sluicemedia/sluice/session"
)

// answerToAll is the answer of a browser to an offer of all that is carried.
const answerToAll = `v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 96 0
c=IN IP4 0.0.0.0
a=ice-ufrag:Wp3q
a=ice-pwd:r8xPZ0sQe3oZbO3mYx7mKc1T
a=ice-options:trickle
a=fingerprint:sha-256 49:66:12:17:0D:1C:91:AE:57:4C:C6:36:DD:D5:97:D2:7D:62:C9:9A:7F:B9:A3:F4:70:03:E7:43:91:73:23:5E
a=setup:active
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:9 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=recvonly
a=rtcp-mux
a=rtpmap:96 opus/48000/2
a=rtcp-fb:96 transport-cc
a=rtpmap:0 PCMU/8000
m=video 9 UDP/TLS/RTP/SAVPF 103 104 99 100 120
c=IN IP4 0.0.0.0
a=ice-ufrag:Wp3q
a=ice-pwd:r8xPZ0sQe3oZbO3mYx7mKc1T
a=ice-options:trickle
a=fingerprint:sha-256 49:66:12:17:0D:1C:91:AE:57:4C:C6:36:DD:D5:97:D2:7D:62:C9:9A:7F:B9:A3:F4:70:03:E7:43:91:73:23:5E
a=setup:active
a=mid:1
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:103 VP8/90000
a=rtcp-fb:103 nack
a=rtcp-fb:103 goog-remb
a=rtpmap:104 rtx/90000
a=fmtp:104 apt=103
a=rtpmap:99 H264/90000
a=fmtp:99 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f
a=rtpmap:120 H264/90000
`

func TestAnswersToOurOffer(t *testing.T) {
	offer := session.Propose(nil)
	got, err := offer.ReadAnswer([]byte(answerToAll))
	if err != nil {
		t.Fatal(err)
	}
	var taken []string
	for _, s := range got.Sections {
		for _, c := range s.Codecs {
			var feedback []string
			for _, f := range c.RTCPFeedback {
				feedback = append(feedback, f.Type+f.Parameter)
			}
			taken = append(taken, s.MID+" "+c.MimeType+" "+strings.Join(feedback, ","))
		}
	}
	// Transport-cc needs an extension that was not taken; format 120 is not ours.
	want := []string{"0 audio/opus ", "0 audio/PCMU ", "1 video/VP8 nack", "1 video/H264 "}
	if !slices.Equal(taken, want) {
		t.Errorf("got %q, want %q", taken, want)
	}
	if rtx := []uint8{got.Sections[1].Codecs[0].RTXPayloadType, got.Sections[1].Codecs[1].RTXPayloadType}; rtx[0] != 104 || rtx[1] != 0 {
		t.Errorf("the formats of retransmissions are %v", rtx)
	}
	for name, tc := range map[string]struct{ from, to, problem string }{
		"nothing":               {answerToAll, "", session.ProblemMalformed},
		"no fingerprint":        {"a=fingerprint", "a=x", session.ProblemMalformed},
		"kinds turned round":    {"m=audio", "m=video", session.ProblemMalformed},
		"another mid":           {"mid:1", "mid:2", session.ProblemMalformed},
		"one section":           {answerToAll[strings.Index(answerToAll, "m=video"):], "", session.ProblemMalformed},
		"sendrecv":              {"a=recvonly", "a=sendrecv", session.ProblemDirection},
		"all rejected":          {" 9 UDP", " 0 UDP", session.ProblemDirection},
		"none of our formats":   {"rtpmap:", "rtpmap:1", session.ProblemNoCommonCodec},
		"no common transport":   {"a=group:BUNDLE 0 1\n", "", session.ProblemNoBundle},
		"an agent that is lite": {"t=0 0\n", "t=0 0\na=ice-lite\n", session.ProblemICE},
	} {
		text := strings.ReplaceAll(answerToAll, tc.from, tc.to)
		if name == "none of our formats" { // PCMU needs no rtpmap
			text = strings.Replace(text, " 96 0\n", " 96\n", 1)
		}
		if _, err := offer.ReadAnswer([]byte(text)); problem(t, err) != tc.problem {
			t.Errorf("%s: got %v, want %s", name, err, tc.problem)
		}
	}
	// As pion writes it.
	rejected := strings.NewReplacer("m=video 9", "m=video 0", "a=mid:1\n", "", "BUNDLE 0 1", "BUNDLE 0").Replace(answerToAll)
	if got, err = offer.ReadAnswer([]byte(rejected)); err != nil || got.Sections[1].MID != "1" {
		t.Errorf("a rejected section without a mid: got %+v, %v", got, err)
	}
}

// TestProposalsFollowWhatIsOnAir: codecs on air alone, all where nothing is.
func TestProposalsFollowWhatIsOnAir(t *testing.T) {
	names := func(o *session.Offer, section int) (out []string) {
		for _, c := range o.Sections[section].Codecs {
			out = append(out, strings.TrimPrefix(c.MimeType, o.Sections[section].Kind+"/"))
		}
		return out
	}
	vp9 := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP9, ClockRate: 90000, SDPFmtpLine: "profile-id=2"}
	for _, tc := range []struct {
		name         string
		live         []webrtc.RTPCodecCapability
		audio, video []string
	}{
		{"nothing", nil, []string{"opus", "G722", "PCMU", "PCMA"}, []string{"H264", "H264", "H264", "VP8", "VP9", "VP9", "AV1", "H265"}},
		{"opus alone", []webrtc.RTPCodecCapability{opus}, []string{"opus"}, []string{"H264", "H264", "H264", "VP8", "VP9", "VP9", "AV1", "H265"}},
		{"VP9 of profile 2", []webrtc.RTPCodecCapability{opus, vp9}, []string{"opus"}, []string{"VP9"}},
		{"High", []webrtc.RTPCodecCapability{h264Capability("64001f", 1)}, []string{"opus", "G722", "PCMU", "PCMA"}, []string{"H264", "H264", "H264"}},
	} {
		o := session.Propose(tc.live)
		if got := names(o, 0); !slices.Equal(got, tc.audio) {
			t.Errorf("%s: offered is %q, want %q", tc.name, got, tc.audio)
		}
		if got := names(o, 1); !slices.Equal(got, tc.video) {
			t.Errorf("%s: offered is %q, want %q", tc.name, got, tc.video)
		}
	}
	high := session.Propose([]webrtc.RTPCodecCapability{h264Capability("64001f", 1)})
	if got := high.Sections[1].Codecs[0].SDPFmtpLine; !strings.Contains(got, "64001f") {
		t.Errorf("High is on air, and foremost is %q", got)
	}
	seen := map[uint8]bool{}
	for _, s := range session.Propose(nil).Sections {
		for _, c := range s.Codecs {
			for _, pt := range []uint8{c.PayloadType, c.RTXPayloadType} {
				if seen[pt] && pt != 0 || pt >= 64 && pt < 96 || pt > 127 {
					t.Errorf("%s has the payload type %d", c.MimeType, pt)
				}
				seen[pt] = true
			}
		}
	}
}

func TestUnansweredProposalEnds(t *testing.T) {
	table := newTable(t, nil)
	table.ProposalLimit(100 * time.Millisecond)
	cause := make(chan session.Cause, 1)
	s, err := table.ProposeViewer(session.ViewerSetup{Closed: func(c session.Cause) { cause <- c }})
	if err != nil {
		t.Fatal(err)
	}
	if i := s.Info(); i.State != "connecting" || i.Viewer == nil {
		t.Errorf("got %+v", i)
	}
	select {
	case c := <-cause:
		if c != session.CauseUnanswered {
			t.Errorf("it ended by %s", c)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	<-s.Done()
	if sessions, ufrags, addresses, _ := table.Sizes(); sessions+ufrags+addresses != 0 || table.Unconnected() != 0 {
		t.Errorf("%d sessions, %d ufrags, %d addresses, %d unconnected are left", sessions, ufrags, addresses, table.Unconnected())
	}
	r := &resource{t, table, s}
	if _, err := r.send(s.ID(), "application/sdp", "", answerToAll); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("an answer too late: got %v", err)
	}
}

// TestAnswerAtTheLimit: the clock counts, not when somebody looks at it.
func TestAnswerAtTheLimit(t *testing.T) {
	table := newTable(t, nil)
	table.ProposalLimit(time.Nanosecond)
	ended := make(chan struct{})
	s, err := table.ProposeViewer(session.ViewerSetup{Closed: func(session.Cause) { close(ended) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&resource{t, table, s}).send(s.ID(), "application/sdp", "", answerToAll); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	<-ended
}

// TestAnsweredOnce: of two answers at a time one counts, and a connected table
// holds one viewer.
func TestAnsweredOnce(t *testing.T) {
	table := newTable(t, nil)
	s, err := table.ProposeViewer(session.ViewerSetup{
		Connected: func(*egress.Viewer, []session.ViewerSection) {}, Closed: func(session.Cause) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &resource{t, table, s}
	var taken, refused atomic.Int32
	done := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			switch _, err := r.send(s.ID(), "application/sdp", "", answerToAll); {
			case err == nil:
				taken.Add(1)
			case errors.Is(err, session.ErrMediaType):
				refused.Add(1)
			}
		}()
	}
	for range 8 {
		<-done
	}
	if _, ufrags, _, _ := table.Sizes(); taken.Load() != 1 || refused.Load() != 7 || ufrags != 1 {
		t.Errorf("%d were taken and %d refused, %d ufrags are known", taken.Load(), refused.Load(), ufrags)
	}
	// From here on it is a session like any other.
	if _, err := r.patch("*", "a=ice-ufrag:abcd\r\na=ice-pwd:r8xPZ0sQe3oZbO3mYx7mKc1X\r\n"); err != nil {
		t.Errorf("restart: %v", err)
	}
	w := httptest.NewRecorder()
	if err := table.WriteCreated(w, s); err != nil || w.Header().Get("ETag") != s.ETag() {
		t.Errorf("got %v, %v", err, w.Header())
	}
}

// FuzzAnswer: any answer to an offer of ours is refused with a cause or keeps to
// what was offered.
func FuzzAnswer(f *testing.F) {
	seed(f, "offers/*.sdp", "fixtures/*.sdp")
	f.Add([]byte(answerToAll))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, live := range [][]webrtc.RTPCodecCapability{nil, {h264Capability("42e01f", 1), opus}} {
			offer := session.Propose(live)
			got, err := offer.ReadAnswer(body)
			if problem(t, err); err != nil {
				continue
			}
			if len(got.Sections) != len(offer.Sections) {
				t.Fatalf("%d sections", len(got.Sections))
			}
			for i, s := range got.Sections {
				for _, c := range s.Codecs {
					if s.MID != "" && !slices.ContainsFunc(offer.Sections[i].Codecs, func(o session.Codec) bool {
						return o.PayloadType == c.PayloadType && o.MimeType == c.MimeType
					}) && s.Direction == "recvonly" {
						t.Errorf("%s %d was not offered", c.MimeType, c.PayloadType)
					}
				}
			}
		}
	})
}
