package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// Codec is one primary payload type of an offer with its retransmission type.
type Codec struct {
	PayloadType    uint8
	RTXPayloadType uint8 // 0: none offered
	webrtc.RTPCodecCapability
}

// carriedCodec is a codec that the gateway forwards.
type carriedCodec struct {
	kind, name string // name in lower case
	mime       string
	clockRate  uint32
	channels   uint16
	static     string // the payload type that needs no rtpmap (RFC 3551)
}

var carried = []carriedCodec{
	{"video", "h264", webrtc.MimeTypeH264, 90000, 0, ""},
	{"video", "h265", webrtc.MimeTypeH265, 90000, 0, ""},
	{"video", "vp8", webrtc.MimeTypeVP8, 90000, 0, ""},
	{"video", "vp9", webrtc.MimeTypeVP9, 90000, 0, ""},
	{"video", "av1", webrtc.MimeTypeAV1, 90000, 0, ""},
	{"audio", "opus", webrtc.MimeTypeOpus, 48000, 2, ""},
	{"audio", "pcmu", webrtc.MimeTypePCMU, 8000, 0, "0"},
	{"audio", "pcma", webrtc.MimeTypePCMA, 8000, 0, "8"},
	{"audio", "g722", webrtc.MimeTypeG722, 8000, 0, "9"},
}

// feedbacks are the kinds of RTCP feedback that may be agreed to.
var feedbacks = []webrtc.RTCPFeedback{
	{Type: "nack"},
	{Type: "nack", Parameter: "pli"},
	{Type: "ccm", Parameter: "fir"},
	{Type: "transport-cc"},
	{Type: "goog-remb"},
}

func isTransportCC(f webrtc.RTCPFeedback) bool { return f.Type == "transport-cc" }

// payloads are the attributes of one section by payload type, as texts.
type payloads struct {
	rtpmap, fmtp map[string]string
	feedback     map[string][]string
}

func readPayloads(attributes []sdp.Attribute, formats int) payloads {
	p := payloads{
		rtpmap: make(map[string]string, formats), fmtp: make(map[string]string, formats), feedback: make(map[string][]string, formats/2),
	}
	put := func(m map[string]string, k, v string) {
		if _, twice := m[k]; !twice {
			m[k] = v
		}
	}
	for _, a := range attributes {
		pt, rest, _ := strings.Cut(a.Value, " ")
		rest = strings.TrimSpace(rest)
		switch a.Key {
		case "rtpmap":
			put(p.rtpmap, pt, rest)
		case "fmtp":
			put(p.fmtp, pt, rest)
		case "rtcp-fb":
			p.feedback[pt] = append(p.feedback[pt], oneSpace(rest))
		}
	}
	return p
}

// oneSpace makes one space of several.
func oneSpace(s string) string {
	if !strings.Contains(s, "  ") && !strings.Contains(s, "\t") {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}

// has tells whether feedback was offered for a payload type, by itself or by
// the wildcard (RFC 4585 section 4.2).
func (p payloads) has(pt string, f webrtc.RTCPFeedback) bool {
	text := feedbackText(f)
	return slices.Contains(p.feedback[pt], text) || slices.Contains(p.feedback["*"], text)
}

func feedbackText(f webrtc.RTCPFeedback) string { return strings.TrimSpace(f.Type + " " + f.Parameter) }

// parseCodecs returns the codecs of a section that are carried, in the order
// offered. All else (red, ulpfec, telephone-event, comfort noise, ...) is left out.
func parseCodecs(kind string, formats []string, attributes []sdp.Attribute) ([]Codec, error) {
	p := readPayloads(attributes, len(formats))
	var out []Codec
	seen := make(map[string]bool, len(formats))
	for _, format := range formats {
		pt, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			return nil, fmt.Errorf("the format %.20q is not a payload type of 0 to 127", format)
		}
		if seen[format] {
			return nil, fmt.Errorf("the payload type %d is listed twice", pt)
		}
		seen[format] = true
		capability, ok := p.capability(kind, format)
		if !ok || ambiguous(pt) {
			continue
		}
		out = append(out, Codec{PayloadType: uint8(pt), RTPCodecCapability: capability})
	}
	for _, format := range formats {
		p.attachRTX(out, format)
	}
	return out, nil
}

// ambiguous payload types cannot be told from RTCP on one port (RFC 5761
// section 4).
func ambiguous(pt uint64) bool { return pt >= 64 && pt < 96 }

func (p payloads) capability(kind, format string) (webrtc.RTPCodecCapability, bool) {
	for _, k := range carried {
		if k.kind != kind {
			continue
		}
		rtpmap, mapped := p.rtpmap[format]
		if !mapped {
			if k.static == "" || k.static != format {
				continue
			}
		} else if !k.is(rtpmap) {
			continue
		}
		c := webrtc.RTPCodecCapability{MimeType: k.mime, ClockRate: k.clockRate, Channels: k.channels, SDPFmtpLine: p.fmtp[format]}
		if k.mime == webrtc.MimeTypeH264 && packetizationMode(parameters(c.SDPFmtpLine)) > 1 {
			return c, false // interleaved: nobody can play it
		}
		for _, f := range feedbacks {
			if p.has(format, f) {
				c.RTCPFeedback = append(c.RTCPFeedback, f)
			}
		}
		return c, true
	}
	return webrtc.RTPCodecCapability{}, false
}

// is tells whether an rtpmap value names this codec. Names compare without case
// (RFC 8866 section 6.6): GStreamer writes OPUS.
func (k carriedCodec) is(rtpmap string) bool {
	name, rest, _ := strings.Cut(rtpmap, "/")
	rate, channels, _ := strings.Cut(rest, "/")
	if !strings.EqualFold(name, k.name) || rate != strconv.Itoa(int(k.clockRate)) {
		return false
	}
	if k.channels == 2 {
		return channels == "2" // RFC 7587 section 7: opus is always "/2"
	}
	return channels == "" || channels == "1"
}

// attachRTX ties a retransmission payload type to its codec (RFC 4588 section 8).
func (p payloads) attachRTX(codecs []Codec, format string) {
	name, rate, _ := strings.Cut(p.rtpmap[format], "/")
	pt, err := strconv.ParseUint(format, 10, 7)
	if err != nil || ambiguous(pt) || !strings.EqualFold(name, "rtx") {
		return
	}
	apt := parameters(p.fmtp[format]).value("apt")
	for i := range codecs {
		c := &codecs[i]
		if strconv.Itoa(int(c.PayloadType)) == apt && c.RTXPayloadType == 0 && rate == strconv.Itoa(int(c.ClockRate)) {
			c.RTXPayloadType = uint8(pt)
			return
		}
	}
}

// name is the codec's name as it stands in an rtpmap.
func (c Codec) name() string {
	_, name, _ := strings.Cut(c.MimeType, "/")
	return name
}

func (c Codec) rtpmap() string {
	text := c.name() + "/" + strconv.Itoa(int(c.ClockRate))
	if c.Channels > 1 {
		text += "/" + strconv.Itoa(int(c.Channels))
	}
	return text
}

func mediaKind(c webrtc.RTPCodecCapability) string {
	kind, _, _ := strings.Cut(c.MimeType, "/")
	return strings.ToLower(kind)
}

// parameters are those of an fmtp line. They are looked up where they stand: a
// browser's offer has dozens of lines, each asked for one or two.
type parameters string

// value is the first one of a key, given in lower case; "" when there is none.
func (p parameters) value(key string) string {
	for part := range strings.SplitSeq(string(p), ";") {
		k, value, _ := strings.Cut(part, "=")
		if strings.EqualFold(strings.TrimSpace(k), key) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func parameter(p parameters, key, otherwise string) string {
	if v := p.value(key); v != "" {
		return v
	}
	return otherwise
}

func packetizationMode(p parameters) int {
	mode, err := strconv.Atoi(parameter(p, "packetization-mode", "0"))
	if err != nil || mode < 0 {
		return 2 // nothing that is known
	}
	return mode
}

// match says how well a viewer that offered a codec can play a source; 0 is not
// at all, more is better.
func match(offered Codec, source webrtc.RTPCodecCapability) int {
	if !strings.EqualFold(offered.MimeType, source.MimeType) {
		return 0
	}
	have, want := parameters(offered.SDPFmtpLine), parameters(source.SDPFmtpLine)
	same := func(key, otherwise string) bool {
		return strings.EqualFold(parameter(have, key, otherwise), parameter(want, key, otherwise))
	}
	switch offered.MimeType {
	case webrtc.MimeTypeH264:
		return matchH264(have, want)
	case webrtc.MimeTypeVP9:
		if !same("profile-id", "0") {
			return 0
		}
	case webrtc.MimeTypeAV1:
		if !same("profile", "0") {
			return 0
		}
	case webrtc.MimeTypeH265:
		// Decoders take more than they announce, so these only rank.
		score := 1
		if same("profile-id", "1") {
			score += 2
		}
		if same("tier-flag", "0") {
			score++
		}
		return score
	}
	return 1
}

// matchH264 ranks a viewer's H264 payload type. One that knows fragmentation
// units (mode 1) can take single units (mode 0) as well, not the other way
// round. Any profile will do at the worst: every decoder in use handles High,
// whatever it announces, while publishers announce what they do not send (OBS
// says 42e01f and sends High).
func matchH264(have, want parameters) int {
	wantMode, haveMode := packetizationMode(want), packetizationMode(have)
	if haveMode < wantMode {
		return 0
	}
	score := 2 * profileScore(h264Profile(have), h264Profile(want))
	if haveMode == wantMode {
		score++
	}
	return score
}

// h264 profiles, each playable by decoders of the later ones. Baseline is
// ranked with its constrained subset because no encoder makes the rest of it.
type h264 struct{ rank, variant int }

func profileScore(have, want h264) int {
	switch distance := have.rank - want.rank; {
	case have == want:
		return 20
	case distance >= 0:
		return 19 - distance
	default:
		return 10 + distance
	}
}

// h264Profile reads profile_idc and the constraint flags of profile-level-id
// (RFC 6184 section 8.1, table 5).
func h264Profile(p parameters) h264 {
	id, err := strconv.ParseUint(parameter(p, "profile-level-id", "42000a"), 16, 24)
	if err != nil {
		return h264{}
	}
	constraints := id >> 8 & 0xff
	switch id >> 16 {
	case 0x42:
		if constraints&0x40 != 0 {
			return h264{rank: 0, variant: 1} // constrained baseline
		}
		return h264{rank: 0}
	case 0x4d:
		if constraints&0x80 != 0 {
			return h264{rank: 0, variant: 1}
		}
		return h264{rank: 1}
	case 0x58:
		return h264{rank: 1, variant: 1}
	case 0x64:
		if constraints&0x0c == 0x0c {
			return h264{rank: 2} // constrained high
		}
		return h264{rank: 3}
	}
	return h264{rank: 4}
}

// Format is how the viewer calls a codec; false when it did not offer it. H264
// is matched by packetization mode and profile, VP9 and AV1 by profile.
func (s ViewerSection) Format(c webrtc.RTPCodecCapability) (egress.Format, bool) {
	var best Codec
	top := 0
	for _, offered := range s.Codecs {
		if score := match(offered, c); score > top {
			best, top = offered, score
		}
	}
	if top == 0 {
		return egress.Format{}, false
	}
	return egress.Format{
		PayloadType:    best.PayloadType,
		RTXPayloadType: best.RTXPayloadType,
		ClockRate:      best.ClockRate,
		NACK:           slices.Contains(best.RTCPFeedback, webrtc.RTCPFeedback{Type: "nack"}),
	}, true
}
