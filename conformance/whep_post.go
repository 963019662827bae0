package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// whepPostChecks are those of the POST that opens a session of a viewer.
func whepPostChecks() []Check {
	return []Check{
		{
			ID: "WHEP-POST-01", Section: "WHEP 4.3.1", Level: Must, Stage: Live,
			What: "An offer that is taken gives 201, the SDP answer and the Location of the session",
			Run:  whepCreated,
		},
		{
			ID: "WHEP-POST-02", Section: "WHEP 4.3.4", Level: Must, Stage: Live,
			What: "A body of another type and a malformed offer are refused with 4xx",
			Run: func(t *T) {
				for name, r := range t.badOffers() {
					t.Want(t.Do(r), name+": 4xx", ClientError)
				}
			},
		},
		{
			ID: "WHEP-POST-03", Section: "Sluice", Level: Choice, Stage: Live,
			What: "Another type is 415, and a malformed offer 422: some players take 400 for an invitation to another protocol",
			Run: func(t *T) {
				for name, r := range t.badOffers() {
					code := http.StatusUnprocessableEntity
					if r.Type != typeSDP {
						code = http.StatusUnsupportedMediaType
					}
					t.WantChoice(t.Do(r), code, name+": 4xx", ClientError)
				}
			},
		},
		{
			ID: "WHEP-POST-04", Section: "WHEP 4.3.5", Level: Client, Stage: Live,
			What: "Players offer recvonly or sendrecv, and both are taken",
			Run: func(t *T) {
				for _, direction := range []string{"recvonly", "sendrecv"} {
					r := t.PostOffer(t.Room.WHEP, Offer(opusSection(direction), h264Section(direction)))
					t.Want(r, direction+": 201", Is(http.StatusCreated))
				}
			},
		},
		{
			ID: "WHEP-POST-05", Section: "WHEP 4.3.5", Level: Client, Stage: Live,
			What: "Players must not offer sendonly or inactive, and such an offer is refused",
			Run: func(t *T) {
				for _, direction := range []string{"sendonly", "inactive"} {
					r := t.PostOffer(t.Room.WHEP, Offer(opusSection(direction), h264Section(direction)))
					t.WantChoice(r, http.StatusUnprocessableEntity, direction+": 400 or 422", Is(http.StatusBadRequest, http.StatusUnprocessableEntity))
				}
			},
		},
		{
			ID: "WHEP-POST-06", Section: "RFC 9110 8.3, 15.5.14", Level: Choice, Stage: Live, Patient: true,
			What: "Offers are bounded in size and time, types compare without case and parameters, line ends may be bare",
			Run:  whepPostRules,
		},
	}
}

// whepOfferedChecks are those of what an offer may have in it.
func whepOfferedChecks() []Check {
	return []Check{
		{
			ID: "WHEP-POST-07", Section: "WHEP 4.3.6", Level: Client, Stage: Live,
			What: "Players offer every codec they have, thirty payload types and more, and are answered soon",
			Run:  whepManyCodecs,
		},
		{
			ID: "WHEP-POST-08", Section: "Sluice", Level: Choice, Stage: Live,
			What: "A data channel section beside the media is answered, not refused",
			Run:  whepDataChannel,
		},
		{
			ID: "WHEP-POST-09", Section: "Sluice", Level: Choice, Stage: Live,
			What: "An offer of audio alone or video alone is served with that kind",
			Run:  whepOneKind,
		},
		{
			ID: "WHEP-POST-10", Section: "Sluice", Level: Choice, Stage: Live,
			What: "A room has one URL for viewers beside that for publishers",
			Run:  whepOneURL,
		},
		{
			ID: "WHEP-POST-11", Section: "WHEP 4.3.2", Level: Choice, Stage: Live,
			What: "An offer without a codec that is on air is 422, which says what would do; not 406, which is an offer in turn",
			Run:  whepNoCommonCodec,
		},
		{
			ID: "WHEP-POST-12", Section: "Sluice", Level: Choice, Stage: Live,
			What: "The order of the sections is the player's",
			Run:  whepOrder,
		},
	}
}

func whepCreated(t *T) {
	r := t.PostOffer(t.Room.WHEP, PlayOffer())
	t.Want(r, "201", Is(http.StatusCreated))
	if got := r.Header.Get("Content-Type"); mediaType(got) != typeSDP {
		t.Errorf("expected Content-Type %s, got %q", typeSDP, got)
	}
	if !strings.HasPrefix(r.Body, "v=0\r\n") {
		t.Errorf("expected a body that begins with v=0, got %.20q", r.Body)
	}
	if r.Location() == "" {
		t.Errorf("expected a Location, got %q", r.Header.Get("Location"))
	}
}

// badOffers are requests whose type or body is wrong.
func (t *T) badOffers() map[string]Request {
	offer := PlayOffer()
	list := map[string]Request{}
	for _, other := range []string{"text/plain", "application/json", typeFragment} {
		list[other] = Request{Method: http.MethodPost, URL: t.Room.WHEP, Type: other, Body: offer}
	}
	for name, body := range map[string]string{
		"no SDP at all":         "hello",
		"a version and no more": "v=0\r\n",
		"cut in mid-line":       offer[:strings.Index(offer, "a=fingerprint")+8],
		"NUL bytes":             Edit(offer, "s=-\r\n", "s=\x00\x00\r\n"),
	} {
		list[name] = Request{Method: http.MethodPost, URL: t.Room.WHEP, Type: typeSDP, Body: body}
	}
	return list
}

func whepPostRules(t *T) {
	post := func(body string, change ...func(*Request)) *Response {
		return t.PostOffer(t.Room.WHEP, body, change...)
	}
	offer := PlayOffer()
	bad := Is(http.StatusBadRequest, http.StatusUnprocessableEntity)
	created := Is(http.StatusCreated)
	t.Want(post(offer, typed("Application/SDP")), "Application/SDP: 201", created)
	t.Want(post(PlayOffer(), typed("application/sdp; charset=utf-8")), "a type with a parameter: 201", created)
	t.WantChoice(post(PlayOffer(), typed("")), http.StatusUnsupportedMediaType, "no type: 4xx", ClientError)
	takenOrBad := func(s int) bool { return created(s) || bad(s) }
	t.WantChoice(post(strings.ReplaceAll(PlayOffer(), "\r\n", "\n")), http.StatusCreated, "bare line feeds: 201, 400 or 422", takenOrBad)
	t.WantChoice(post(strings.TrimSuffix(PlayOffer(), "\r\n")), http.StatusCreated, "no last line end: 201, 400 or 422", takenOrBad)
	large := PlayOffer() + strings.Repeat("a=x-padding:"+strings.Repeat("0", 1000)+"\r\n", 2048)
	for name, r := range map[string]Request{
		"2 MiB":           {Body: large},
		"2 MiB in chunks": {Reader: struct{ io.Reader }{strings.NewReader(large)}},
	} {
		r.Method, r.URL, r.Type = http.MethodPost, t.Room.WHEP, typeSDP
		resp, err := t.Try(r)
		if err != nil {
			// A server that has said no may close before all was sent, and the
			// client then may not get to read it.
			continue
		}
		t.WantChoice(resp, http.StatusRequestEntityTooLarge, name+": 413, 400 or 422", func(s int) bool { return bad(s) || s == http.StatusRequestEntityTooLarge })
	}
	t.wantSlowRefused()
}

// drip is a body that comes a byte a second.
type drip struct {
	rest []byte
	done <-chan struct{}
}

func (d *drip) Read(b []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.done:
		return 0, io.ErrUnexpectedEOF
	}
	b[0], d.rest = d.rest[0], d.rest[1:]
	return 1, nil
}

// wantSlowRefused wants an offer given up on that would take minutes to come.
func (t *T) wantSlowRefused() {
	r := Request{
		Method: http.MethodPost, URL: t.Room.WHEP, Type: typeSDP,
		Reader: &drip{rest: []byte(PlayOffer()), done: t.ctx.Done()},
	}
	resp, err := t.Try(r) // within 15 seconds
	switch {
	case t.ctx.Err() != nil:
		t.Fatalf("the check's time ran out")
	case err == nil:
		t.WantChoice(resp, http.StatusRequestTimeout, "a byte a second: 4xx or a closed connection", ClientError)
	case isTimeout(err):
		t.differsf("a byte a second: expected 408 or a closed connection within 15 s, got neither")
	}
}

func isTimeout(err error) bool {
	var e interface{ Timeout() bool }
	return errors.As(err, &e) && e.Timeout()
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
func vp8Section(direction string) Media {
	return Media{
		Kind: "video", MID: "1", Direction: direction, Formats: "98",
		Codecs: "a=rtpmap:98 VP8/90000\r\na=rtcp-fb:98 nack\r\na=rtcp-fb:98 nack pli\r\n",
	}
}

func whepNoCommonCodec(t *T) {
	if t.Room.WHIP == "" {
		t.Skipf("what is on air is not known: no WHIP endpoint was named")
	}
	r := t.PostOffer(t.Room.WHEP, Offer(vp8Section("recvonly")))
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
