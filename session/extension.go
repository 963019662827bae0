package session

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/sluicemedia/sluice/egress"
)

const (
	uriMID         = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriTransportCC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
)

// extensionKind says which header extension a URI names; false for those the
// gateway does not handle, which are never negotiated.
func extensionKind(uri string) (egress.ExtensionKind, bool) {
	switch uri {
	case uriRID:
		return extensionRID, true
	case uriRepairedRID:
		return extensionRepairedRID, true
	case uriMID:
		return egress.ExtensionMID, true
	case uriTransportCC:
		return egress.ExtensionTransportCC, true
	case "urn:ietf:params:rtp-hdrext:ssrc-audio-level":
		return egress.ExtensionAudioLevel, true
	case "urn:3gpp:video-orientation":
		return egress.ExtensionOrientation, true
	case "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time":
		return egress.ExtensionAbsCaptureTime, true
	case "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay":
		return egress.ExtensionPlayoutDelay, true
	case "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension":
		return egress.ExtensionDependencyDescriptor, true
	}
	return 0, false
}

// extension is one a=extmap line that the gateway can agree to.
type extension struct {
	id        uint8 // 1 to 14: one-byte headers (RFC 8285 section 4.2)
	direction string
	uri       string
	kind      egress.ExtensionKind
}

// parseExtensions reads the extmap lines of a section and of the session level,
// which holds for all sections. Lines that cannot be agreed to are skipped.
func parseExtensions(levels ...[]sdp.Attribute) (out []extension) {
	for _, attributes := range levels {
		for _, a := range attributes {
			if a.Key != "extmap" {
				continue
			}
			e, ok := parseExtension(a.Value)
			taken := func(o extension) bool { return o.id == e.id || o.uri == e.uri }
			if ok && !slices.ContainsFunc(out, taken) {
				out = append(out, e)
			}
		}
	}
	return out
}

func parseExtension(value string) (e extension, ok bool) {
	fields := strings.Fields(value)
	if len(fields) < 2 {
		return e, false
	}
	id, direction, _ := strings.Cut(fields[0], "/")
	n, err := strconv.ParseUint(id, 10, 8)
	if err != nil || n < 1 || n > 14 {
		return e, false
	}
	switch direction {
	case "", "sendonly", "recvonly", "sendrecv":
	default:
		return e, false
	}
	kind, ok := extensionKind(fields[1])
	return extension{id: uint8(n), direction: direction, uri: fields[1], kind: kind}, ok
}

// answered are the extensions that can be agreed to when our own section has
// the direction ours, as they stand in the answer: a direction that was given
// is turned round (RFC 8285 section 6).
func answered(offered []extension, ours string) (out []extension) {
	theirs := map[string]string{"sendonly": "recvonly", "recvonly": "sendonly"}[ours]
	for _, e := range offered {
		switch e.direction {
		case "", "sendrecv":
			e.direction = ""
		case theirs:
			e.direction = "/" + ours
		default:
			continue
		}
		out = append(out, e)
	}
	return out
}

func (e extension) attribute() sdp.Attribute {
	return sdp.NewAttribute("extmap", strconv.Itoa(int(e.id))+e.direction+" "+e.uri)
}

func (s *Section) hasExtension(uri string) bool {
	return slices.ContainsFunc(s.extensions, func(e extension) bool { return e.uri == uri })
}

// dropTransportCC removes the transport-cc feedback: without the sequence
// numbers of the header extension there is nothing to report.
func (s *Section) dropTransportCC() {
	for i := range s.Codecs {
		c := &s.Codecs[i]
		c.RTCPFeedback = slices.DeleteFunc(c.RTCPFeedback, isTransportCC)
	}
}
