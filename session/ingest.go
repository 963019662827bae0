package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// IngestPlan is what a publisher's PeerConnection is built from.
type IngestPlan struct {
	Offer      string  // the offer as pion gets it: one codec a section, no candidates
	Codecs     []Codec // chosen, by section
	Extensions []webrtc.RTPHeaderExtensionCapability
	TWCC       bool // transport-cc was offered and is kept
}

// PlanIngest picks one primary codec a section, so that a publisher cannot
// change it in mid-session, and writes the offer anew from what was understood
// of it, so that pion can answer it only in the way wanted.
// The offer must have passed CheckPublish. Errors are *OfferError, or of
// marshalling.
func (o *Offer) PlanIngest() (*IngestPlan, error) {
	plan := &IngestPlan{Codecs: make([]Codec, len(o.Sections))}
	owner := map[string]int{}
	for i := range o.Sections {
		s := &o.Sections[i]
		if len(s.Codecs) == 0 {
			return nil, refuse(ProblemNoCommonCodec, "section %q offers no codec that is carried here", s.MID)
		}
		c := choose(s.Codecs)
		if err := s.checkLayers(c); err != nil {
			return nil, err
		}
		for _, pt := range c.formats() {
			if j, taken := owner[pt]; taken && j != i {
				return nil, malformed("payload type %s has two meanings within one BUNDLE group", pt)
			}
			owner[pt] = i
		}
		plan.Codecs[i] = c
		plan.TWCC = plan.TWCC || slices.ContainsFunc(c.RTCPFeedback, isTransportCC)
		for _, e := range answered(s.extensions, "recvonly") {
			capability := webrtc.RTPHeaderExtensionCapability{URI: e.uri}
			if !slices.Contains(plan.Extensions, capability) {
				plan.Extensions = append(plan.Extensions, capability)
			}
		}
	}
	var err error
	plan.Offer, err = o.rewrite(plan.Codecs)
	return plan, err
}

// choose takes the first codec offered: clients put what they want first. A
// packetization mode of H264 that cannot split frames gives way to one that can.
func choose(codecs []Codec) Codec {
	first := codecs[0]
	if first.MimeType != webrtc.MimeTypeH264 || packetizationMode(parameters(first.SDPFmtpLine)) == 1 {
		return first
	}
	best, top := first, 0
	for _, c := range codecs {
		if c.MimeType != first.MimeType || packetizationMode(parameters(c.SDPFmtpLine)) != 1 {
			continue
		}
		if score := match(c, first.RTPCodecCapability); score > top {
			best, top = c, score
		}
	}
	return best
}

// rewrite is the offer with the chosen codecs only. Simulcast is left out: pion
// would take it apart itself, which is inbound's to do.
func (o *Offer) rewrite(codecs []Codec) (string, error) {
	out := &sdp.SessionDescription{
		Origin:           sdp.Origin{Username: "-", SessionID: 1, SessionVersion: 1, NetworkType: "IN", AddressType: "IP4", UnicastAddress: "127.0.0.1"},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	mids := make([]string, 0, len(o.group))
	for _, i := range o.group {
		mids = append(mids, o.Sections[i].pionMID())
	}
	out.WithValueAttribute("group", "BUNDLE "+strings.Join(mids, " "))
	out.WithValueAttribute("fingerprint", o.fingerprint().String())
	out.WithValueAttribute("ice-ufrag", o.UFrag).WithValueAttribute("ice-pwd", o.Pwd)
	for i := range o.Sections {
		s := o.Sections[i]
		s.MID, s.proto = s.pionMID(), "UDP/TLS/RTP/SAVPF"
		m := s.description(codecs[i].formats())
		m.WithValueAttribute("setup", o.Setup).WithPropertyAttribute("sendonly").WithPropertyAttribute("rtcp-mux")
		if s.rsize {
			m.WithPropertyAttribute("rtcp-rsize")
		}
		for _, e := range answered(s.extensions, "recvonly") {
			e.direction = "" // pion does not know directions here
			m.Attributes = append(m.Attributes, e.attribute())
		}
		codecs[i].describe(m)
		s.source.describe(m, codecs[i].RTXPayloadType != 0)
		out.WithMedia(m)
	}
	text, err := out.Marshal()
	if err != nil {
		return "", fmt.Errorf("session: rewrite offer: %w", err)
	}
	return string(text), nil
}

// pionMID is the section's mid, or one of our own where none was needed: pion
// wants one.
func (s *Section) pionMID() string {
	if s.MID == "" {
		return "0"
	}
	return s.MID
}

// fingerprint is the one that pion is given, which knows one only.
func (o *Offer) fingerprint() Fingerprint {
	if i := slices.IndexFunc(o.Fingerprints, func(f Fingerprint) bool { return f.Hash == "sha-256" }); i >= 0 {
		return o.Fingerprints[i]
	}
	return o.Fingerprints[0]
}

// FinishIngest turns pion's answer to IngestPlan.Offer into the one that is
// sent. Credentials, the fingerprint, the DTLS role, payload types and
// extensions are pion's, cut down to what the offer had; candidates are those of
// c, and so are credentials and fingerprint where pion gives none.
func (o *Offer) FinishIngest(pionAnswer string, c AnswerConfig) ([]byte, error) {
	var in sdp.SessionDescription
	if err := in.UnmarshalString(pionAnswer); err != nil {
		return nil, fmt.Errorf("session: parse own answer: %w", err)
	}
	if len(in.MediaDescriptions) != len(o.Sections) {
		return nil, fmt.Errorf("session: own answer has %d sections for %d", len(in.MediaDescriptions), len(o.Sections))
	}
	body := answerBody{direction: "recvonly", sections: make([]*answerSection, len(o.Sections))}
	for i, m := range in.MediaDescriptions {
		a, err := o.Sections[i].finish(m)
		if err != nil {
			return nil, err
		}
		body.sections[i] = a
	}
	tagged := in.MediaDescriptions[o.group[0]]
	find := func(key, otherwise string) string {
		if v, ok := tagged.Attribute(key); ok {
			return v
		}
		if v, ok := in.Attribute(key); ok {
			return v
		}
		return otherwise
	}
	c.UFrag, c.Pwd = find("ice-ufrag", c.UFrag), find("ice-pwd", c.Pwd)
	if hash, value, ok := strings.Cut(find("fingerprint", ""), " "); ok && hash == "sha-256" {
		c.Fingerprint = value
	}
	body.setup = find("setup", "")
	if body.setup != "active" && body.setup != "passive" || body.setup == o.Setup {
		return nil, fmt.Errorf("session: own answer says setup:%s to %s", body.setup, o.Setup)
	}
	return o.fitAnswer(c, &body)
}

// finish reads what pion agreed to in one section.
func (s *Section) finish(m *sdp.MediaDescription) (*answerSection, error) {
	if m.MediaName.Port.Value == 0 {
		return nil, refuse(ProblemNoCommonCodec, "section %q cannot be received", s.MID)
	}
	p := readPayloads(m.Attributes, len(m.MediaName.Formats))
	a := &answerSection{layers: s.layers}
	for _, c := range s.Codecs {
		pt := strconv.Itoa(int(c.PayloadType))
		if !slices.Contains(m.MediaName.Formats, pt) {
			continue
		}
		if !slices.Contains(m.MediaName.Formats, strconv.Itoa(int(c.RTXPayloadType))) {
			c.RTXPayloadType = 0
		}
		c.RTCPFeedback = slices.DeleteFunc(slices.Clone(c.RTCPFeedback), func(f webrtc.RTCPFeedback) bool { return !p.has(pt, f) })
		c.SDPFmtpLine = receiving(c.SDPFmtpLine)
		a.codecs = append(a.codecs, c)
	}
	if len(a.codecs) == 0 {
		return nil, refuse(ProblemNoCommonCodec, "no codec of section %q can be received", s.MID)
	}
	agreed := parseExtensions(m.Attributes)
	for _, e := range answered(s.extensions, "recvonly") {
		if slices.ContainsFunc(agreed, func(g extension) bool { return g.uri == e.uri && g.id == e.id }) {
			a.extensions = append(a.extensions, e)
		}
	}
	return a, nil
}

// receiving leaves out of an fmtp line what only a sender says of its stream.
func receiving(fmtp string) string {
	var keep []string
	for part := range strings.SplitSeq(fmtp, ";") {
		if part = strings.TrimSpace(part); part != "" && !strings.HasPrefix(strings.ToLower(part), "sprop-") {
			keep = append(keep, part)
		}
	}
	return strings.Join(keep, ";")
}

// source is what a section says of the stream it sends: its first track, with
// the retransmission stream (RFC 5576).
type source struct {
	ssrc, rtx string // decimal, "" when not signalled
	cname     string
	msid      string // "stream track"
}

// parseSource reads a=msid, a=ssrc and a=ssrc-group:FID, and collects the ids of
// all MediaStreams named.
func parseSource(attributes []sdp.Attribute) (src source, streams []string) {
	msid := func(text string) {
		id, track, _ := strings.Cut(text, " ")
		if src.msid == "" && id != "" && track != "" && !strings.Contains(track, " ") {
			src.msid = text
		}
		if id != "" && id != "-" && !slices.Contains(streams, id) {
			streams = append(streams, id)
		}
	}
	for _, a := range attributes {
		if a.Key != "ssrc-group" || src.ssrc != "" {
			continue
		}
		fields := strings.Fields(a.Value)
		if len(fields) == 3 && fields[0] == "FID" && isSSRC(fields[1]) && isSSRC(fields[2]) {
			src.ssrc, src.rtx = fields[1], fields[2]
		}
	}
	for _, a := range attributes {
		switch a.Key {
		case "msid":
			msid(a.Value)
		case "ssrc":
			id, rest, _ := strings.Cut(a.Value, " ")
			if src.ssrc == "" && isSSRC(id) {
				src.ssrc = id
			}
			key, value, _ := strings.Cut(rest, ":")
			switch key {
			case "msid":
				msid(value)
			case "cname":
				if id == src.ssrc {
					src.cname = value
				}
			}
		}
	}
	return src, streams
}

func isSSRC(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n != 0
}

func (s source) describe(m *sdp.MediaDescription, withRTX bool) {
	if s.msid != "" {
		m.WithValueAttribute("msid", s.msid)
	}
	if s.ssrc == "" {
		return
	}
	ids := []string{s.ssrc}
	if s.rtx != "" && withRTX {
		ids = append(ids, s.rtx)
		m.WithValueAttribute("ssrc-group", "FID "+s.ssrc+" "+s.rtx)
	}
	for _, id := range ids {
		m.WithValueAttribute("ssrc", id+" cname:"+s.cname)
		if s.msid != "" {
			m.WithValueAttribute("ssrc", id+" msid:"+s.msid)
		}
	}
}
