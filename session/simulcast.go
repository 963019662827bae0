package session

import (
	"slices"
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/sluicemedia/sluice/egress"
)

const (
	uriRID         = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepairedRID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
)

// Header extensions that tell a publisher's layers apart (RFC 8852). They mean
// something between the publisher and us only, so egress does not know them.
const (
	extensionRID egress.ExtensionKind = 128 + iota
	extensionRepairedRID
)

// maxLayers is the most layers that are taken of one track. An offer of more is
// refused rather than cut down: OBS gives up when the answer has fewer.
const maxLayers = 4

// maxRID is the longest rid that fits a one-byte header extension.
const maxRID = 16

// layer is one simulcast stream that a section offers to send.
type layer struct {
	rid     string
	formats []string // payload types that it is restricted to; nil: none in particular
}

// parseLayers reads a=rid (RFC 8851) and a=simulcast (RFC 8853). It returns
// the streams offered to be sent, in the order of the offer; nil: it is no
// simulcast. Of alternatives the first is taken. The mark of a paused stream
// has no meaning without RFC 7728, so it is left out. What makes no sense is
// left out, too: without the attribute in the answer one stream is sent.
func parseLayers(attributes []sdp.Attribute) (layers []layer) {
	known := parseRIDs(attributes)
	for _, a := range attributes {
		if a.Key != "simulcast" {
			continue
		}
		for streams := range strings.SplitSeq(sendList(a.Value), ";") {
			for alternative := range strings.SplitSeq(streams, ",") {
				rid := strings.TrimPrefix(alternative, "~")
				formats, ok := known[rid]
				if ok {
					layers = append(layers, layer{rid, formats})
					delete(known, rid) // a second time it is ignored
					break
				}
			}
		}
		break // RFC 8853 section 5.1: one line for each section
	}
	return layers
}

// sendList is what an a=simulcast value says after "send", "" when nothing.
func sendList(value string) string {
	fields := strings.Fields(value)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "send" {
			return fields[i+1]
		}
	}
	return ""
}

// parseRIDs reads the a=rid lines of what is sent. Of the restrictions only
// the payload types matter to someone who does not decode (RFC 8851 section
// 6.3 lets an answerer drop what it does not know).
func parseRIDs(attributes []sdp.Attribute) map[string][]string {
	known := make(map[string][]string)
	for _, a := range attributes {
		if a.Key != "rid" {
			continue
		}
		fields := strings.Fields(a.Value)
		if len(fields) < 2 || fields[1] != "send" || !isRID(fields[0]) {
			continue
		}
		if _, twice := known[fields[0]]; twice {
			continue
		}
		known[fields[0]] = nil
		for restriction := range strings.SplitSeq(strings.Join(fields[2:], ""), ";") {
			if list, ok := strings.CutPrefix(restriction, "pt="); ok {
				known[fields[0]] = strings.Split(list, ",")
			}
		}
	}
	return known
}

// isRID tells whether s is a rid-id of RFC 8851 section 10 that can be carried
// in a one-byte header extension.
func isRID(s string) bool {
	return len(s) >= 1 && len(s) <= maxRID && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// WithoutSimulcast is the offer as one of single streams: its answer does not
// mention simulcast, so that the publisher sends one stream (RFC 8853 section
// 5.3.3).
func (o *Offer) WithoutSimulcast() *Offer {
	single := *o
	single.Sections = slices.Clone(o.Sections)
	for i := range single.Sections {
		s := &single.Sections[i]
		s.layers, s.extensions = nil, withoutRID(s.extensions)
	}
	return &single
}

// withoutRID leaves out the extensions that tell layers apart.
func withoutRID(extensions []extension) []extension {
	return slices.DeleteFunc(slices.Clone(extensions), func(e extension) bool {
		return e.kind == extensionRID || e.kind == extensionRepairedRID
	})
}

// checkLayers tells whether all layers of a section can be taken.
func (s *Section) checkLayers(c Codec) error {
	if len(s.layers) == 0 {
		return nil
	}
	if len(s.layers) > maxLayers {
		return refuse(ProblemSimulcast, "section %q offers %d simulcast layers; %d are taken at most", s.MID, len(s.layers), maxLayers)
	}
	if !slices.ContainsFunc(answered(s.extensions, "recvonly"), func(e extension) bool { return e.kind == extensionRID }) {
		return refuse(ProblemSimulcast, "section %q offers simulcast without the header extension %s, so its layers could not be told apart", s.MID, uriRID)
	}
	for _, l := range s.layers {
		if l.formats != nil && !slices.Contains(l.formats, c.formats()[0]) {
			return refuse(ProblemSimulcast, "the layer %q of section %q is not offered with %s (payload type %s), which the others are to use; offer one codec for all layers", l.rid, s.MID, c.name(), c.formats()[0])
		}
	}
	return nil
}

// describeLayers writes the receiving side's a=rid and a=simulcast: those
// offered, no other (RFC 8853 section 5.3.2). OBS counts the semicolons of the
// one line.
func describeLayers(m *sdp.MediaDescription, layers []layer) {
	if len(layers) == 0 {
		return
	}
	rids := make([]string, len(layers))
	for i, l := range layers {
		rids[i] = l.rid
		line := l.rid + " recv"
		kept := slices.DeleteFunc(slices.Clone(l.formats), func(pt string) bool { return !slices.Contains(m.MediaName.Formats, pt) })
		if len(kept) > 0 {
			line += " pt=" + strings.Join(kept, ",")
		}
		m.WithValueAttribute("rid", line)
	}
	m.WithValueAttribute("simulcast", "recv "+strings.Join(rids, ";"))
}
