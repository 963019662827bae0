package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp/codecs"
)

// whipMediaRows are the checks of what publishers send and are sent.
func whipMediaRows() []Check {
	return []Check{
		{
			ID: "WHIP-RTP-09", Section: "RFC 4585 6.3.1", Level: Choice, Stage: Alone,
			What: "a publisher that ignores keyframe requests is played within one of its own intervals",
			Run:  checkDisobedient,
		},
		{
			ID: "WHIP-RTP-10", Section: "RFC 4585 6.2.1", Level: Choice, Stage: Alone,
			What: "a generic NACK comes first in its datagram",
			Run:  checkNACKFirst,
		},
		{
			ID: "WHIP-RTP-11", Section: "RFC 4588 4", Level: Should, Stage: Alone,
			What: "packets that a publisher repeats on a stream of their own are put back into the media",
			Run:  checkRTX,
		},
		{
			ID: "WHIP-RTP-12", Section: "RFC 8888 6", Level: Should, Stage: Alone,
			What: "congestion feedback is sent in the kind that was negotiated only",
			Run:  checkFeedbackKind,
		},
		{
			ID: "WHIP-RTP-13", Section: "RFC 3550 6.4", Level: Must, Stage: Alone,
			What: "media without sender reports is played all the same",
			Run: func(t *T) {
				a := t.idlePublisher()
				audio, video := opusFeed(), h264Feed()
				audio.reports, video.reports = false, false
				a.start(audio, video)
				v := t.view()
				for name, pt := range map[string]int{"audio": ptOpus, "video": ptH264} {
					if !v.plays(pt, connectPatience) {
						t.Errorf("expected %s without sender reports to be played, got none", name)
					}
				}
			},
		},
		{
			ID: "WHIP-SIM-07", Section: "RFC 8853 6", Level: Client, Stage: Alone,
			What: "layers whose SSRCs nobody announced are found by their RID, which may be left out later",
			Run:  checkLayersByRID,
		},
		{
			ID: "WHIP-SIM-08", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "layers are ranked by what they carry, not by the order of their rids",
			Run:  checkLayerOrder,
		},
		{
			ID: "WHIP-SIM-10", Section: "RFC 9725 4.8", Level: Client, Stage: Alone,
			What: "VP9 with spatial layers in one stream is taken and played",
			Run:  checkSVC,
		},
	}
}

// negotiated tells whether the answer has feedback of a kind for H264.
func (a *Agent) negotiated(feedback string) bool {
	return hasLine(a.Session.Answer, fmt.Sprintf("a=rtcp-fb:%d %s", ptH264, feedback)) || hasLine(a.Session.Answer, "a=rtcp-fb:* "+feedback)
}

func checkDisobedient(t *T) {
	a := t.idlePublisher()
	video := h264Feed()
	video.disobeys, video.keyEvery = true, 45
	a.start(opusFeed(), video)
	t.Until(3*time.Second, func() bool { return video.progress() > 5 })
	v := t.view()
	joined := time.Now()
	if !t.Until(6*time.Second, func() bool { return len(v.keyframesH264()) > 0 }) {
		t.Errorf("expected a keyframe within 1.5 s and a margin, the publisher's own interval, got none in 6 s")
		return
	}
	if took := v.keyframesH264()[0].Sub(joined); took > 4500*time.Millisecond {
		t.Errorf("expected a keyframe within 1.5 s and a margin, the publisher's own interval, got one after %d ms", took.Milliseconds())
	}
}

// lossy is a publisher that leaves out one packet of every at first.
func (t *T) lossy(every int) (*Agent, *feed) {
	a := t.idlePublisher()
	if !a.negotiated("nack") {
		t.Skipf("the server does not negotiate NACK")
	}
	video := h264Feed()
	if !hasLine(a.Session.Answer, fmt.Sprintf("a=fmtp:%d apt=%d", ptRTX, ptH264)) {
		video.rtxPT = 0
	}
	video.lose = func(n int) bool { return n > 40 && n%every == 0 }
	a.start(opusFeed(), video)
	return a, video
}

func checkNACKFirst(t *T) {
	a, _ := t.lossy(20)
	var found bool
	if !t.Until(5*time.Second, func() bool {
		for _, r := range a.reports() {
			for i, p := range r.packets {
				if _, ok := p.(*rtcp.TransportLayerNack); ok {
					found = true
					if i > 0 {
						t.Fatalf("expected a NACK to be the first packet of its datagram, got %T before it", r.packets[0])
					}
				}
			}
		}
		return found
	}) {
		t.Errorf("expected a NACK for a lost packet, got none in 5 s")
	}
}

func checkRTX(t *T) {
	a, video := t.lossy(20)
	if video.rtxPT == 0 {
		t.Skipf("the server does not negotiate RTX")
	}
	v := t.view()
	if !v.plays(ptH264, connectPatience) {
		t.Fatalf("expected media, got none")
	}
	t.Sleep(3 * time.Second)
	nacked := false
	for _, r := range a.reports() {
		for _, p := range r.packets {
			_, ok := p.(*rtcp.TransportLayerNack)
			nacked = nacked || ok
		}
	}
	if !nacked {
		t.Fatalf("expected NACKs for lost packets, got none")
	}
	// The last ones may still be on their way round.
	complete := func() bool { missing, _ := v.missing(ptH264, 500*time.Millisecond); return missing == 0 }
	if t.Until(5*time.Second, complete) {
		return
	}
	if missing, all := v.missing(ptH264, 500*time.Millisecond); missing > 0 {
		t.Errorf("expected every packet that was repeated on RTX to reach the viewer, got %d of %d missing", missing, all)
	}
}

// missing counts the gaps in the sequence numbers of a payload type, but for
// what is younger than age.
func (h *heard) missing(payloadType int, age time.Duration) (missing, all int) {
	limit := time.Now().Add(-age)
	seen := map[uint16]bool{}
	var first, last uint16
	for _, p := range h.packets(payloadType) {
		if p.at.After(limit) {
			break
		}
		if len(seen) == 0 {
			first, last = p.SequenceNumber, p.SequenceNumber
		}
		if p.SequenceNumber-last < 1<<15 {
			last = p.SequenceNumber
		}
		seen[p.SequenceNumber] = true
	}
	for seq := first; len(seen) > 0; seq++ {
		all++
		if !seen[seq] {
			missing++
		}
		if seq == last {
			break
		}
	}
	return missing, all
}

// feedbackKinds are the kinds of congestion feedback by their name in SDP.
var feedbackKinds = []struct {
	name, line string
	is         func(rtcp.Packet) bool
}{
	{"transport-cc", "transport-cc", func(p rtcp.Packet) bool { _, ok := p.(*rtcp.TransportLayerCC); return ok }},
	{"goog-remb", "goog-remb", func(p rtcp.Packet) bool { _, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); return ok }},
	{"ack ccfb", "ack ccfb", func(p rtcp.Packet) bool { _, ok := p.(*rtcp.CCFeedbackReport); return ok }},
}

func checkFeedbackKind(t *T) {
	for _, offered := range []string{"", "transport-cc", "goog-remb"} {
		section := h264Section("sendonly")
		var ext []headerElement
		if offered != "" {
			section.Extra += fmt.Sprintf("a=rtcp-fb:%d %s\r\n", ptH264, offered)
		}
		if offered == "transport-cc" {
			section.Extra += "a=extmap:3 " + uriWideCC + "\r\n"
			ext = []headerElement{{id: 3}} // its value is the packet's number, see wideCC
		}
		a := t.agent([]Media{opusSection("sendonly"), section})
		a.post(t.Room.WHIP).connect()
		video := h264Feed()
		video.extensions = ext
		video.wideCC = len(ext) > 0
		a.start(opusFeed(), video)
		t.Until(5*time.Second, func() bool { return len(a.reports()) > 0 })
		t.Sleep(time.Second)
		for _, kind := range feedbackKinds {
			if n := a.countRTCP(kind.is); n > 0 && !a.negotiated(kind.line) {
				t.Errorf("expected no %s where the answer has none, got %d packets", kind.name, n)
			} else if n == 0 && kind.name == "transport-cc" && a.negotiated(kind.line) {
				t.Errorf("expected %s where it was negotiated, got none", kind.name)
			}
		}
		t.Delete(a.Session)
	}
}

// countRTCP counts packets of a kind.
func (h *heard) countRTCP(is func(rtcp.Packet) bool) int {
	n := 0
	for _, r := range h.reports() {
		for _, p := range r.packets {
			if is(p) {
				n++
			}
		}
	}
	return n
}

// keyframesH264 is when packets with an IDR, or the beginning of one, came.
func (h *heard) keyframesH264() []time.Time {
	var list []time.Time
	for _, p := range h.packets(ptH264) {
		if slices.Contains(nalTypes(p.Payload), 5) {
			list = append(list, p.at)
		}
	}
	return list
}

// nalTypes are the types of the NAL units that begin in a payload (RFC 6184 5.6 to 5.8).
func nalTypes(b []byte) []byte {
	if len(b) < 2 {
		return nil
	}
	switch kind := b[0] & 0x1f; kind {
	case 24: // STAP-A
		var list []byte
		for b = b[1:]; len(b) > 2; {
			size := int(b[0])<<8 | int(b[1])
			if size == 0 || len(b) < 2+size {
				break
			}
			list = append(list, b[2]&0x1f)
			b = b[2+size:]
		}
		return list
	case 28: // FU-A
		if b[1]&0x80 == 0 {
			return nil
		}
		return []byte{b[1] & 0x1f}
	default:
		return []byte{kind}
	}
}

// simulcastSection is VP8 in layers, told apart by header extensions alone.
func simulcastSection(rids ...string) Media {
	var extra strings.Builder
	extra.WriteString("a=extmap:1 " + uriMID + "\r\na=extmap:2 " + uriRID + "\r\n")
	for _, rid := range rids {
		extra.WriteString("a=rid:" + rid + " send\r\n")
	}
	return Media{
		Kind: "video", MID: "1", Direction: "sendonly", Formats: "98",
		Codecs: "a=rtpmap:98 VP8/90000\r\na=rtcp-fb:98 nack\r\na=rtcp-fb:98 nack pli\r\n",
		Extra:  extra.String() + "a=simulcast:send " + strings.Join(rids, ";") + "\r\n",
	}
}

// simulcast goes on air by hand with a layer of VP8 for each rid, so wide. It
// skips the check where the server takes no simulcast.
func (t *T) simulcast(rids []string, widths map[string]int) (*Agent, map[string]*feed) {
	a := t.agent([]Media{opusSection("sendonly"), simulcastSection(rids...)})
	a.post(t.Room.WHIP)
	if sdpLine(a.Session.Answer, "a=simulcast:recv") == "" {
		t.Skipf("the server answers no simulcast")
	}
	a.connect()
	a.keepAlive(2 * time.Second)
	feeds := map[string]*feed{}
	for _, rid := range rids {
		f := vp8Feed(widths[rid], widths[rid]*9/16)
		f.extensions = []headerElement{{1, []byte("1")}, {2, []byte(rid)}}
		feeds[rid] = f
		a.start(f)
	}
	a.start(opusFeed())
	return a, feeds
}

// viewVP8 plays Opus and VP8 by hand.
func (t *T) viewVP8(change ...func(*Agent)) *Agent {
	v := t.agent([]Media{opusSection("recvonly"), vp8Section()}, change...)
	t.openLive(v)
	v.connect()
	v.keepAlive(2 * time.Second)
	v.receive(500 * time.Millisecond)
	return v
}

// width is that of the latest VP8 keyframe that came after an instant, 0 when none did.
func (h *heard) width(after time.Time) int {
	list := h.packets(ptVP8)
	for i := len(list) - 1; i >= 0 && list[i].at.After(after); i-- {
		var p codecs.VP8Packet
		frame, err := p.Unmarshal(list[i].Payload)
		if err == nil && p.S == 1 && p.PID == 0 {
			if w := widthVP8(frame); w > 0 {
				return w
			}
		}
	}
	return 0
}

func checkLayersByRID(t *T) {
	widths := map[string]int{"q": 320, "h": 640, "f": 1280}
	_, feeds := t.simulcast([]string{"q", "h", "f"}, widths)
	v := t.viewVP8()
	if !v.plays(ptVP8, connectPatience) {
		t.Fatalf("expected a layer of the simulcast to be played, got none")
	}
	for _, f := range feeds {
		f.bare()
	}
	t.Sleep(500 * time.Millisecond)
	from := time.Now()
	if !t.Until(5*time.Second, func() bool { return v.width(from) > 0 }) {
		t.Errorf("expected the layer to be played on without RIDs, got no keyframe")
	}
	if ssrcs := v.ssrcs(ptVP8); len(ssrcs) != 1 {
		t.Errorf("expected one stream for the viewer, got SSRCs %v", ssrcs)
	}
}

func checkLayerOrder(t *T) {
	for _, widths := range []map[string]int{{"0": 1280, "1": 640, "2": 320}, {"0": 320, "1": 640, "2": 1280}} {
		a, _ := t.simulcast([]string{"0", "1", "2"}, widths)
		v := t.viewVP8()
		from := time.Now()
		if !t.Until(8*time.Second, func() bool { return v.width(from) == 1280 }) {
			t.differsf("expected the widest layer where nothing keeps it back (rids 0, 1, 2 of %d, %d, %d pixels), got width %d",
				widths["0"], widths["1"], widths["2"], v.width(from))
		}
		t.Delete(v.Session)
		t.Delete(a.Session)
		if !t.ends(a, 3*time.Second) {
			t.Fatalf("expected DELETE to end the publisher, got one that lives on")
		}
	}
}

// ssrcs are those that carried a payload type.
func (h *heard) ssrcs(payloadType int) map[uint32]int {
	set := map[uint32]int{}
	for _, p := range h.packets(payloadType) {
		set[p.SSRC]++
	}
	return set
}
