package session

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/webrtc/v4"
)

// proposable are the formats that the gateway offers where it makes the offer,
// in the order in which it prefers them. Each gets payload types of its own.
var proposable = []webrtc.RTPCodecCapability{
	{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"},
	{MimeType: webrtc.MimeTypeG722, ClockRate: 8000},
	{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000},
	{MimeType: webrtc.MimeTypePCMA, ClockRate: 8000},
	{MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"},
	{MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"},
	{MimeType: webrtc.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"},
	{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000},
	{MimeType: webrtc.MimeTypeVP9, ClockRate: 90000, SDPFmtpLine: "profile-id=0"},
	{MimeType: webrtc.MimeTypeVP9, ClockRate: 90000, SDPFmtpLine: "profile-id=2"},
	{MimeType: webrtc.MimeTypeAV1, ClockRate: 90000, SDPFmtpLine: "level-idx=5;profile=0;tier=0"},
	{MimeType: webrtc.MimeTypeH265, ClockRate: 90000, SDPFmtpLine: "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST"},
}

// proposedExtensions are the header extensions that the gateway offers, by kind
// of media; their place is their id.
var proposedExtensions = []struct{ kind, uri string }{
	{"", uriMID},
	{"", uriTransportCC},
	{"", "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"},
	{"audio", "urn:ietf:params:rtp-hdrext:ssrc-audio-level"},
	{"video", "urn:3gpp:video-orientation"},
	{"video", "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"},
}

// ProposedVideo is the number of the video section in offers of the gateway's own.
const ProposedVideo = 1

// propose makes the offer of a gateway that is to offer itself, in the form of
// the offer that a viewer would have made who wants just that: one audio and
// one video section, in the codecs on air; in all that are carried for a kind
// that is not on air.
func propose(live []webrtc.RTPCodecCapability) *Offer {
	o := &Offer{bundled: true, group: []int{0, 1}}
	numbered := numberFormats()
	for i, kind := range []string{"audio", "video"} {
		s := Section{
			Kind: kind, MID: strconv.Itoa(i), Direction: "recvonly",
			mux: true, rsize: true, proto: "UDP/TLS/RTP/SAVPF",
		}
		for _, c := range numbered {
			if mediaKind(c.RTPCodecCapability) == kind {
				s.Codecs = append(s.Codecs, c)
			}
		}
		if sorted, playable := prefer(s.Codecs, live, kind); playable {
			s.Codecs = slices.DeleteFunc(sorted, func(c Codec) bool {
				return !slices.ContainsFunc(live, func(l webrtc.RTPCodecCapability) bool { return match(c, l) > 0 })
			})
		}
		for id, e := range proposedExtensions {
			if known, ok := extensionKind(e.uri); ok && (e.kind == "" || e.kind == kind) {
				s.extensions = append(s.extensions, extension{id: uint8(id + 1), uri: e.uri, kind: known})
			}
		}
		o.Sections = append(o.Sections, s)
	}
	return o
}

// numberFormats gives the formats payload types: dynamic ones but for codecs
// that have one of old (RFC 3551), and for video one for retransmissions.
func numberFormats() []Codec {
	const firstDynamic = 96
	next := uint8(firstDynamic)
	take := func() uint8 { next++; return next - 1 }
	var out []Codec
	for _, capability := range proposable {
		c := Codec{RTPCodecCapability: capability}
		if pt, ok := staticType(capability.MimeType); ok {
			c.PayloadType = pt
		} else {
			c.PayloadType = take()
		}
		c.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "transport-cc"}}
		if mediaKind(capability) == "video" {
			c.RTXPayloadType = take()
			c.RTCPFeedback = []webrtc.RTCPFeedback{
				{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "transport-cc"},
			}
		}
		out = append(out, c)
	}
	return out
}

func staticType(mime string) (uint8, bool) {
	for _, k := range carried {
		if k.mime == mime && k.static != "" {
			pt, err := strconv.ParseUint(k.static, 10, 7)
			return uint8(pt), err == nil
		}
	}
	return 0, false
}

// readAnswer reads a viewer's answer to an offer of propose, and returns it as
// the offer that would have led to the same: what the viewer takes of each
// section, by the numbers of our offer. All errors are *OfferError.
func (o *Offer) readAnswer(body []byte) (*Offer, error) {
	a, err := parseDescription(body, o.Sections)
	if err != nil {
		return nil, inAnswer(err)
	}
	if len(a.Sections) != len(o.Sections) {
		return nil, malformed("the answer has %d media sections, the offer has %d", len(a.Sections), len(o.Sections))
	}
	for i := range a.Sections {
		s, offered := &a.Sections[i], &o.Sections[i]
		if s.Kind != offered.Kind || s.MID != offered.MID {
			return nil, malformed("section %d of the answer is %s with the mid %q, in the offer it is %s with the mid %q", i, s.Kind, s.MID, offered.Kind, offered.MID)
		}
		if s.disabled {
			continue
		}
		if s.Direction != "recvonly" {
			return nil, refuse(ProblemDirection, "section %q of the answer is %s; to an offer that is sendonly it is recvonly", s.MID, s.Direction)
		}
		s.Codecs = agreedCodecs(s.Codecs, offered.Codecs)
		s.extensions = slices.DeleteFunc(s.extensions, func(e extension) bool {
			return !slices.ContainsFunc(offered.extensions, func(o extension) bool { return o.id == e.id && o.uri == e.uri })
		})
	}
	if len(a.played()) == 0 {
		return nil, refuse(ProblemNoCommonCodec, "the answer takes none of the formats of the offer")
	}
	return a, nil
}

// agreedCodecs are the codecs of an answer that were offered, as we described
// them and with the feedback that both want. What an answer adds of its own
// (RFC 3264 section 6.1) is not used.
func agreedCodecs(answered, offered []Codec) (out []Codec) {
	for _, a := range answered {
		for _, c := range offered {
			if a.PayloadType != c.PayloadType || a.MimeType != c.MimeType {
				continue
			}
			if a.RTXPayloadType != c.RTXPayloadType {
				c.RTXPayloadType = 0
			}
			c.RTCPFeedback = slices.DeleteFunc(slices.Clone(c.RTCPFeedback), func(f webrtc.RTCPFeedback) bool {
				return !slices.Contains(a.RTCPFeedback, f)
			})
			out = append(out, c)
		}
	}
	return out
}

// inAnswer puts an error about an offer into words about an answer.
func inAnswer(err error) error {
	if refused, ok := err.(*OfferError); ok { //nolint:errorlint // made by ParseOffer, never wrapped
		return &OfferError{Problem: refused.Problem, Detail: strings.ReplaceAll(refused.Detail, "the offer", "the answer")}
	}
	return fmt.Errorf("session: read an answer: %w", err)
}
