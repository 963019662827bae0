package session

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// AnswerConfig is what the gateway puts into its answers.
type AnswerConfig struct {
	SessionID   uint64 // of the o= line
	UFrag, Pwd  string
	Fingerprint string // sha-256, colon form
	Candidates  []netip.AddrPort
	// Viewers only:
	CNAME  string
	Prefer []webrtc.RTPCodecCapability // codecs on air, to be answered first
}

// ViewerSection is one accepted m-section of a viewer's answer.
type ViewerSection struct {
	Kind, MID     string
	SSRC, RTXSSRC uint32  // RTXSSRC 0: none
	Codecs        []Codec // as the viewer numbers them, preferred first
	Extensions    map[egress.ExtensionKind]uint8
}

// AnswerViewer writes the WHEP answer to an offer that passed CheckPlay: every
// common codec accepted, those on air first, so that a publisher may come back
// with another codec without a new POST. Active tells that the gateway takes
// the DTLS client role. Errors are *OfferError.
func (o *Offer) AnswerViewer(c AnswerConfig) (answer []byte, sections []ViewerSection, active bool, err error) {
	accepted := o.played()
	if len(accepted) == 0 {
		return nil, nil, false, refuse(ProblemNoCommonCodec, "the offer has no codec that is carried here; offer %s, and %s", videoCodecs, audioCodecs)
	}
	body := answerBody{setup: "passive", direction: "sendonly", sections: make([]*answerSection, len(o.Sections))}
	if active = o.Setup == "passive"; active {
		body.setup = "active"
	}
	if err := o.checkOnAir(accepted, c.Prefer); err != nil {
		return nil, nil, false, err
	}
	for _, i := range accepted {
		s := &o.Sections[i]
		codecs, _ := prefer(s.Codecs, c.Prefer, s.Kind)
		a := &answerSection{codecs: codecs, extensions: answered(withoutRID(s.extensions), body.direction), kind: s.Kind, cname: c.CNAME}
		a.chooseSSRCs()
		body.sections[i] = a
	}
	if answer, err = o.fitAnswer(c, &body); err != nil {
		return nil, nil, false, err
	}
	for _, i := range accepted {
		sections = append(sections, body.sections[i].viewer(&o.Sections[i]))
	}
	return answer, sections, active, nil
}

// checkOnAir refuses an offer that asks for video while video is on air in a
// codec it lacks: sound under a black picture would look like a fault of ours.
// Audio may be missed as long as there is a picture. Kinds that nobody sends
// now, or that the viewer does not ask for, are no reason to refuse.
func (o *Offer) checkOnAir(accepted []int, live []webrtc.RTPCodecCapability) error {
	missed, served := false, false
	for _, kind := range []string{"video", "audio"} {
		asked := slices.ContainsFunc(o.Sections, func(s Section) bool { return s.Kind == kind && !s.disabled })
		onAir := slices.ContainsFunc(live, func(c webrtc.RTPCodecCapability) bool { return mediaKind(c) == kind })
		if !asked || !onAir {
			continue
		}
		playable := slices.ContainsFunc(accepted, func(i int) bool {
			s := &o.Sections[i]
			if s.Kind != kind {
				return false
			}
			_, some := prefer(s.Codecs, live, kind)
			return some
		})
		missed, served = missed || !playable, served || playable
		if kind == "video" && !playable {
			break
		}
	}
	if !missed || served {
		return nil
	}
	if l, named := o.otherParameters(live); named {
		return refuse(ProblemNoCommonCodec, "on air is %s with %q; the offer has it too, but with no parameters that go with these (for H264: packetization-mode and profile-level-id)",
			codecNames([]webrtc.RTPCodecCapability{l}), l.SDPFmtpLine)
	}
	return refuse(ProblemNoCommonCodec, "on air is %s, which the offer lacks in part or in all; add it to the offer", codecNames(live))
}

// otherParameters finds a codec on air that the offer has by name only.
func (o *Offer) otherParameters(live []webrtc.RTPCodecCapability) (l webrtc.RTPCodecCapability, named bool) {
	for _, l := range live {
		for i := range o.Sections {
			of := slices.DeleteFunc(slices.Clone(o.Sections[i].Codecs), func(c Codec) bool { return !strings.EqualFold(c.MimeType, l.MimeType) })
			if len(of) > 0 && !slices.ContainsFunc(of, func(c Codec) bool { return match(c, l) > 0 }) {
				return l, true
			}
		}
	}
	return l, false
}

// prefer sorts the codecs of a section so that those on air come first, the
// best match foremost. Playable tells that the viewer can play some of what is
// on air.
func prefer(offered []Codec, live []webrtc.RTPCodecCapability, kind string) (sorted []Codec, playable bool) {
	rest := slices.Clone(offered)
	for _, l := range live {
		if mediaKind(l) != kind {
			continue
		}
		matching := slices.DeleteFunc(slices.Clone(rest), func(c Codec) bool { return match(c, l) == 0 })
		slices.SortStableFunc(matching, func(a, b Codec) int { return match(b, l) - match(a, l) })
		rest = slices.DeleteFunc(rest, func(c Codec) bool { return match(c, l) != 0 })
		sorted = append(sorted, matching...)
	}
	playable = len(sorted) > 0
	return append(sorted, rest...), playable
}

func codecNames(codecs []webrtc.RTPCodecCapability) string {
	var names []string
	for _, c := range codecs {
		if name := (Codec{RTPCodecCapability: c}).name(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " and ")
}

// answerSection is a section that is accepted.
type answerSection struct {
	codecs     []Codec
	extensions []extension
	layers     []layer // publishers only: simulcast that is taken
	// Viewers only: what is sent.
	kind          string
	cname         string
	ssrc, rtxSSRC uint32
}

// chooseSSRCs draws the SSRCs that a viewer is sent.
func (a *answerSection) chooseSSRCs() {
	var b [8]byte
	for a.ssrc == 0 || a.rtxSSRC == 0 || a.ssrc == a.rtxSSRC {
		_, _ = rand.Read(b[:]) // never fails: see its documentation
		a.ssrc, a.rtxSSRC = binary.BigEndian.Uint32(b[:]), binary.BigEndian.Uint32(b[4:])
	}
}

// repairSSRC is the SSRC of retransmissions, 0 when no codec that is left has
// a payload type for them.
func (a *answerSection) repairSSRC() uint32 {
	if slices.ContainsFunc(a.codecs, func(c Codec) bool { return c.RTXPayloadType != 0 }) {
		return a.rtxSSRC
	}
	return 0
}

// viewer is what the session keeps of the section. It shares no memory with the
// offer, which may be 64 KiB that must not live as long as the viewer.
func (a *answerSection) viewer(s *Section) ViewerSection {
	out := ViewerSection{
		Kind: a.kind, MID: strings.Clone(s.MID), SSRC: a.ssrc, RTXSSRC: a.repairSSRC(),
		Codecs:     make([]Codec, len(a.codecs)),
		Extensions: make(map[egress.ExtensionKind]uint8, len(a.extensions)),
	}
	for i, c := range a.codecs {
		c.SDPFmtpLine = strings.Clone(c.SDPFmtpLine)
		if i > 0 && slices.Equal(c.RTCPFeedback, out.Codecs[i-1].RTCPFeedback) {
			c.RTCPFeedback = out.Codecs[i-1].RTCPFeedback
		}
		out.Codecs[i] = c
	}
	for _, e := range a.extensions {
		// A one-byte header element holds 16 bytes.
		if e.kind != egress.ExtensionMID || s.MID != "" && len(s.MID) <= 16 {
			out.Extensions[e.kind] = e.id
		}
	}
	return out
}

// answerBody is all of an answer that the offer does not decide.
type answerBody struct {
	setup, direction string
	sections         []*answerSection // as in the offer; nil: rejected
}

// fitAnswer marshals the answer and leaves the least preferred codecs out until
// it is small enough for every client.
func (o *Offer) fitAnswer(c AnswerConfig, b *answerBody) ([]byte, error) {
	for {
		answer, err := o.marshalAnswer(c, b)
		if err != nil {
			return nil, fmt.Errorf("session: marshal answer: %w", err)
		}
		if len(answer) <= maxAnswer {
			return answer, nil
		}
		var longest *answerSection
		for _, a := range b.sections {
			if a != nil && (longest == nil || len(a.codecs) > len(longest.codecs)) {
				longest = a
			}
		}
		if longest == nil || len(longest.codecs) < 2 {
			return nil, refuse(ProblemTooComplex, "the offer needs an answer of more than %d bytes", maxAnswer)
		}
		longest.codecs = longest.codecs[:len(longest.codecs)-1]
	}
}

func (o *Offer) marshalAnswer(c AnswerConfig, b *answerBody) ([]byte, error) {
	out := &sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", SessionID: c.SessionID & (1<<63 - 1), SessionVersion: 1,
			NetworkType: "IN", AddressType: "IP4", UnicastAddress: "127.0.0.1",
		},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	tag := -1
	var bundle []string
	for _, i := range o.group {
		if b.sections[i] != nil {
			if tag < 0 {
				tag = i
			}
			bundle = append(bundle, o.Sections[i].MID)
		}
	}
	if o.bundled {
		out.WithValueAttribute("group", "BUNDLE "+strings.Join(bundle, " "))
	}
	out.WithPropertyAttribute("ice-lite").WithValueAttribute("ice-options", iceOptions)
	for i := range o.Sections {
		s, a := &o.Sections[i], b.sections[i]
		if a == nil {
			out.WithMedia(s.rejected())
			continue
		}
		m := s.description(a.formats())
		m.WithValueAttribute("ice-ufrag", c.UFrag).WithValueAttribute("ice-pwd", c.Pwd)
		m.WithValueAttribute("fingerprint", "sha-256 "+c.Fingerprint).WithValueAttribute("setup", b.setup)
		s.agree(m, a, b.direction)
		if i == tag {
			addCandidates(m, c.Candidates)
		}
		out.WithMedia(m)
	}
	return out.Marshal()
}

// iceOptions are the same in answers and in replies to restarts (RFC 9725
// section 4.3.3).
const iceOptions = "trickle ice2"

func (s *Section) description(formats []string) *sdp.MediaDescription {
	m := &sdp.MediaDescription{
		MediaName: sdp.MediaName{
			Media: s.Kind, Port: sdp.RangedPort{Value: 9},
			Protos: strings.Split(s.proto, "/"), Formats: formats,
		},
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"},
		},
	}
	if s.MID != "" {
		m.WithValueAttribute("mid", s.MID)
	}
	return m
}

// rejected is the section in an answer that does not take it (RFC 3264 section
// 6): port 0, and one format only because the grammar wants one.
func (s *Section) rejected() *sdp.MediaDescription {
	m := s.description(s.formats[:1])
	m.MediaName.Port.Value = 0
	return m.WithPropertyAttribute("inactive")
}

// agree writes what an accepted section says of its media.
func (s *Section) agree(m *sdp.MediaDescription, a *answerSection, direction string) {
	for _, e := range a.extensions {
		m.Attributes = append(m.Attributes, e.attribute())
	}
	m.WithPropertyAttribute(direction)
	if a.ssrc != 0 {
		// All sections name the same MediaStream (RFC 8830).
		m.WithValueAttribute("msid", "sluice "+a.kind)
	}
	// RFC 9725 section 4.4.1 wants rtcp-mux-only on both sides.
	m.WithPropertyAttribute("rtcp-mux").WithPropertyAttribute("rtcp-mux-only")
	if s.rsize {
		m.WithPropertyAttribute("rtcp-rsize")
	}
	for _, c := range a.codecs {
		c.describe(m)
	}
	describeLayers(m, a.layers)
	if a.ssrc == 0 {
		return
	}
	repair := a.repairSSRC()
	if repair != 0 {
		m.WithValueAttribute("ssrc-group", fmt.Sprintf("FID %d %d", a.ssrc, repair))
	}
	// Chromium takes the first line for the media, whatever the group says.
	m.WithValueAttribute("ssrc", fmt.Sprintf("%d cname:%s", a.ssrc, a.cname))
	if repair != 0 {
		m.WithValueAttribute("ssrc", fmt.Sprintf("%d cname:%s", repair, a.cname))
	}
}

func (a *answerSection) formats() []string {
	var out []string
	for _, c := range a.codecs {
		out = append(out, c.formats()...)
	}
	return out
}

func (c Codec) formats() []string {
	out := []string{strconv.Itoa(int(c.PayloadType))}
	if c.RTXPayloadType != 0 {
		out = append(out, strconv.Itoa(int(c.RTXPayloadType)))
	}
	return out
}

// describe writes the attributes of the codec's payload types.
func (c Codec) describe(m *sdp.MediaDescription) {
	pt := strconv.Itoa(int(c.PayloadType))
	m.WithValueAttribute("rtpmap", pt+" "+c.rtpmap())
	for _, f := range c.RTCPFeedback {
		m.WithValueAttribute("rtcp-fb", pt+" "+feedbackText(f))
	}
	if c.SDPFmtpLine != "" {
		m.WithValueAttribute("fmtp", pt+" "+c.SDPFmtpLine)
	}
	if c.RTXPayloadType != 0 {
		rtx := strconv.Itoa(int(c.RTXPayloadType))
		m.WithValueAttribute("rtpmap", rtx+" rtx/"+strconv.Itoa(int(c.ClockRate)))
		m.WithValueAttribute("fmtp", rtx+" apt="+pt)
	}
}

// addCandidates writes all addresses of the media socket, IPv4 before IPv6:
// ffmpeg takes the first host candidate and no other. Component 1 alone, since
// RTCP is multiplexed; none is added later.
func addCandidates(m *sdp.MediaDescription, addresses []netip.AddrPort) {
	for _, line := range candidateLines(addresses) {
		m.WithValueAttribute("candidate", line)
	}
	m.WithPropertyAttribute("end-of-candidates")
}

func candidateLines(addresses []netip.AddrPort) []string {
	sorted := make([]netip.AddrPort, 0, len(addresses))
	for _, a := range addresses {
		sorted = append(sorted, netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()))
	}
	slices.SortStableFunc(sorted, func(a, b netip.AddrPort) int { return a.Addr().BitLen() - b.Addr().BitLen() })
	out := make([]string, 0, len(sorted))
	for i, a := range sorted {
		// RFC 8445 section 5.1.2.1: host, local preference by position, component 1.
		priority := 126<<24 | (65535-i)<<8 | 255
		out = append(out, fmt.Sprintf("%d 1 udp %d %s %d typ host", i+1, priority, a.Addr(), a.Port()))
	}
	return out
}
