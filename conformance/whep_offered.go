package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// whepOfferedChecks are those of what an offer may have in it.
func whepOfferedChecks() []Check {
	return []Check{
		{
			ID: "WHEP-POST-07", Section: "WHEP 4.3.6", Level: Client, Stage: Live,
			What: "players offer every codec they have, thirty payload types and more, and are answered soon",
			Run:  whepManyCodecs,
		},
		{
			ID: "WHEP-POST-08", Section: "Sluice", Level: Choice, Stage: Live,
			What: "a data channel section beside the media is answered, not refused",
			Run:  whepDataChannel,
		},
		{
			ID: "WHEP-POST-09", Section: "Sluice", Level: Choice, Stage: Live,
			What: "an offer of audio alone or video alone is served with that kind",
			Run:  whepOneKind,
		},
		{
			ID: "WHEP-POST-10", Section: "Sluice", Level: Choice, Stage: Live,
			What: "a room has one URL for viewers beside that for publishers",
			Run:  whepOneURL,
		},
		{
			ID: "WHEP-POST-11", Section: "WHEP 4.3.2", Level: Choice, Stage: Live,
			What: "an offer without a codec that is on air is 422, which says what would do; not 406, which is an offer in turn",
			Run:  whepNoCommonCodec,
		},
		{
			ID: "WHEP-POST-12", Section: "Sluice", Level: Choice, Stage: Live,
			What: "the order of the sections is the player's",
			Run:  whepOrder,
		},
	}
}

// manyCodecs is what a browser offers: every codec, with RTX each.
func manyCodecs() Media {
	m := Media{Kind: "video", MID: "1", Direction: "recvonly"}
	var lines, formats strings.Builder
	for i, codec := range []struct{ name, fmtp string }{
		{"VP8", ""},
		{"VP9", "profile-id=0"},
		{"VP9", "profile-id=2"},
		{"H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"},
		{"H264", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f"},
		{"H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},
		{"H264", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"},
		{"H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"},
		{"H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"},
		{"H265", "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST"},
		{"AV1", "level-idx=5;profile=0;tier=0"},
	} {
		pt := 35 + 2*i
		if pt > 63 {
			pt += 33 // 64 to 95 are taken by RTCP
		}
		fmt.Fprintf(&formats, "%d %d ", pt, pt+1)
		fmt.Fprintf(&lines, "a=rtpmap:%d %s/90000\r\n", pt, codec.name)
		for _, feedback := range []string{"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"} {
			fmt.Fprintf(&lines, "a=rtcp-fb:%d %s\r\n", pt, feedback)
		}
		if codec.fmtp != "" {
			fmt.Fprintf(&lines, "a=fmtp:%d %s\r\n", pt, codec.fmtp)
		}
		fmt.Fprintf(&lines, "a=rtpmap:%d rtx/90000\r\na=fmtp:%d apt=%d\r\n", pt+1, pt+1, pt)
	}
	formats.WriteString("112 113 114")
	lines.WriteString("a=rtpmap:112 red/90000\r\na=rtpmap:113 rtx/90000\r\na=fmtp:113 apt=112\r\na=rtpmap:114 ulpfec/90000\r\n")
	m.Formats, m.Codecs = formats.String(), lines.String()
	return m
}

// fewestTries are the attempts at an answer that is quick: one of them falls
// between whatever else the machine does.
const fewestTries = 6

func whepManyCodecs(t *T) {
	limit := 2 * time.Second
	if t.Strict() {
		limit = 300 * time.Millisecond
	}
	var best time.Duration
	for n := range fewestTries {
		r := t.PostOffer(t.Room.WHEP, Offer(opusSection("recvonly"), manyCodecs()))
		if !t.Want(r, "201", Is(http.StatusCreated)) {
			return
		}
		if n == 0 || r.Took < best {
			best = r.Took
		}
		if best < limit {
			return
		}
	}
	t.Errorf("expected an answer within %v in one of %d tries, got %v", limit, fewestTries, best)
}

// dataSection is the section of a data channel.
func dataSection() Media {
	return Media{Kind: "application", MID: "2", Direction: "sendrecv", Formats: "webrtc-datachannel", Codecs: "a=sctp-port:5000\r\na=max-message-size:262144\r\n"}
}

// withData is an offer with a data channel between other sections or behind them.
func withData(sections ...Media) string {
	return Edit(Edit(Offer(sections...), "m=application 9 UDP/TLS/RTP/SAVPF", "m=application 9 UDP/DTLS/SCTP"), "a=rtcp-mux\r\na=sendrecv\r\na=msid:stream track2\r\n", "")
}

func whepDataChannel(t *T) {
	s := t.watch(withData(opusSection("recvonly"), h264Section("recvonly"), dataSection()))
	t.wantOrder(s)
}

func whepOneKind(t *T) {
	for _, m := range []Media{opusSection("recvonly"), h264Section("recvonly")} {
		s := t.watch(Offer(m))
		sections := mediaLines(s.Answer)
		switch {
		case len(sections) != 1 || !strings.HasPrefix(sections[0], m.Kind+" "):
			t.Errorf("%s alone: expected one section of it, got %q", m.Kind, sections)
		case strings.HasPrefix(sections[0], m.Kind+" 0 "):
			t.Errorf("%s alone: expected it to be served, got port 0", m.Kind)
		}
	}
}

func whepOneURL(t *T) {
	if t.Room.WHIP == "" {
		t.Skipf("no WHIP endpoint was named to compare with")
	}
	t.watch(PlayOffer())
	whip, err := url.Parse(t.Room.WHIP)
	if err != nil {
		t.Fatalf("expected a URL, got %q", t.Room.WHIP)
	}
	whip.Path = strings.Replace(whip.Path, "whip", "whep", 1)
	if whip.String() != t.Room.WHEP {
		t.differsf("expected the URL for viewers to differ from %s in whep alone, got %s", t.Room.WHIP, t.Room.WHEP)
	}
}

// vp8Section is a section of a codec that nobody publishes in the live room.
func vp8Section() Media {
	return Media{
		Kind: "video", MID: "1", Direction: "recvonly", Formats: "98",
		Codecs: "a=rtpmap:98 VP8/90000\r\na=rtcp-fb:98 nack\r\na=rtcp-fb:98 nack pli\r\n",
	}
}

func whepNoCommonCodec(t *T) {
	if t.Room.WHIP == "" {
		t.Skipf("what is on air is not known: no WHIP endpoint was named")
	}
	r := t.PostOffer(t.Room.WHEP, Offer(vp8Section()))
	if r.Status == http.StatusCreated {
		t.differsf("expected 422 to an offer of VP8 where H264 is on air, got 201")
		return
	}
	if r.Status == http.StatusNotAcceptable {
		t.Errorf("expected 422, got 406, which is a counter-offer")
		return
	}
	if !t.WantChoice(r, http.StatusUnprocessableEntity, "4xx", ClientError) || !t.Strict() {
		return
	}
	if got := problemType(r); got != "sdp-no-common-codec" {
		t.Errorf("expected the problem sdp-no-common-codec, got %q", got)
	}
	var document struct {
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal([]byte(r.Body), &document); err != nil || !strings.Contains(document.Detail, "H264") {
		t.Errorf("expected a detail that names H264, got %q", document.Detail)
	}
}

func whepOrder(t *T) {
	audio, video := opusSection("recvonly"), h264Section("recvonly")
	t.wantOrder(t.watch(Offer(audio, video)))
	t.wantOrder(t.watch(Offer(video, audio)))
	t.wantOrder(t.watch(withData(video, dataSection(), audio)))
}

// wantOrder wants the sections of the offer in the answer: kinds and mids, one by one.
func (t *T) wantOrder(s *Session) {
	offered, answered := mediaLines(s.Offer), mediaLines(s.Answer)
	if len(offered) != len(answered) {
		t.Errorf("expected %d sections, got %d", len(offered), len(answered))
		return
	}
	for i, line := range offered {
		want, _, _ := strings.Cut(line, " ")
		if got, _, _ := strings.Cut(answered[i], " "); got != want {
			t.Errorf("section %d: expected %s, got %s", i, want, got)
		}
	}
	if want, got := sdpValues(s.Offer, "a=mid:"), sdpValues(s.Answer, "a=mid:"); strings.Join(want, " ") != strings.Join(got, " ") {
		t.Errorf("expected the mids %q, got %q", want, got)
	}
}

// mediaLines are the values of the m-lines of an SDP.
func mediaLines(text string) []string { return sdpValues(text, "m=") }

// sdpValues are the values of the lines that begin with prefix.
func sdpValues(text, prefix string) []string {
	var list []string
	for line := range strings.SplitSeq(text, "\n") {
		if v, ok := strings.CutPrefix(strings.TrimSuffix(line, "\r"), prefix); ok {
			list = append(list, v)
		}
	}
	return list
}
