package session

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// OfferError says why an offer, an answer or a fragment was refused. Problem is
// the name of the problem type (the last element of /problems/<name>), Detail
// what was wrong and what to do, in words for the client.
type OfferError struct {
	Problem string
	Detail  string
}

func (e *OfferError) Error() string { return "session: " + e.Problem + ": " + e.Detail }

// Problems of offers and fragments. The first two mean that the text breaks the
// rules of its own syntax, the others that it asks for what is not done here.
const (
	ProblemMalformed       = "sdp-malformed"
	ProblemFragment        = "fragment-malformed"
	ProblemDirection       = "sdp-direction"
	ProblemTooManyTracks   = "sdp-too-many-tracks"
	ProblemMultipleStreams = "sdp-multiple-streams"
	ProblemNoCommonCodec   = "sdp-no-common-codec"
	ProblemNoBundle        = "sdp-no-bundle"
	ProblemNoRTCPMux       = "sdp-no-rtcp-mux"
	ProblemDTLSSetup       = "dtls-setup"
	ProblemFingerprint     = "dtls-fingerprint"
	ProblemICE             = "sdp-ice"
	ProblemTooComplex      = "sdp-too-complex"
	ProblemSimulcast       = "sdp-simulcast"
	ProblemJSON            = "json-malformed" // of the requests beside a session
)

func refuse(problem, format string, args ...any) error {
	return &OfferError{Problem: problem, Detail: fmt.Sprintf(format, args...)}
}

// Offer is an SDP offer that was parsed and checked against the bounds of
// bounds.go: it can be handed on without fear.
type Offer struct {
	Sections     []Section
	UFrag, Pwd   string
	Fingerprints []Fingerprint // at least one
	Setup        string        // "actpass" (also when absent), "active" or "passive"

	bundled bool  // a BUNDLE group was offered
	group   []int // the bundled sections in the group's order; the first one is tagged
}

// Fingerprint is one a=fingerprint value (RFC 8122).
type Fingerprint struct {
	Hash  string // lower case: "sha-256", "sha-384", "sha-512"
	Value []byte
}

// String is the value as it stands in an SDP.
func (f Fingerprint) String() string {
	var b strings.Builder
	b.WriteString(f.Hash)
	for i, v := range f.Value {
		sep := byte(':')
		if i == 0 {
			sep = ' '
		}
		b.WriteByte(sep)
		fmt.Fprintf(&b, "%02X", v)
	}
	return b.String()
}

// Section is one m-section of an offer.
type Section struct {
	Kind      string // "audio", "video", "application" or another registered one
	MID       string // "" only if it is the only section
	Direction string // "sendonly", "recvonly", "sendrecv" or "inactive"
	Codecs    []Codec
	StreamIDs []string // msid stream ids, without "-"

	disabled   bool // port 0 without a=bundle-only
	mux        bool
	rsize      bool
	proto      string
	formats    []string
	extensions []extension
	layers     []layer // simulcast that is offered to be sent; nil: none
	source     source
}

// ParseOffer parses and bounds an offer. What it returns has unique mids, one
// BUNDLE group with RTCP multiplexing over all its living sections, and ICE and
// DTLS parameters, be they at session level, in every section or in the tagged
// one alone, as in RFC 9725 figure 2. All errors are *OfferError.
func ParseOffer(body []byte) (*Offer, error) { return parseDescription(body, nil) }

// parseDescription is ParseOffer, of an answer when it is told the sections
// offered: those of an answer are in the same order (RFC 3264 section 6), and
// pion leaves the mid of a section out that it rejects.
func parseDescription(body []byte, offered []Section) (*Offer, error) {
	text, err := scanOffer(body)
	if err != nil {
		return nil, err
	}
	var parsed sdp.SessionDescription
	if err := parsed.UnmarshalString(text); err != nil {
		return nil, malformed("not an SDP session description: %.200v", err)
	}
	if len(parsed.MediaDescriptions) == 0 {
		return nil, malformed("the offer has no media section")
	}
	o := &Offer{Sections: make([]Section, 0, len(parsed.MediaDescriptions))}
	for i, m := range parsed.MediaDescriptions {
		s, err := parseSection(i, m, &parsed)
		if err != nil {
			return nil, err
		}
		if s.MID == "" && s.disabled && i < len(offered) {
			s.MID = offered[i].MID
		}
		o.Sections = append(o.Sections, s)
	}
	if err := o.parseBundle(&parsed); err != nil {
		return nil, err
	}
	if err := o.parseTransport(&parsed); err != nil {
		return nil, err
	}
	return o, nil
}

func parseSection(i int, m *sdp.MediaDescription, d *sdp.SessionDescription) (Section, error) {
	s := Section{
		Kind:      m.MediaName.Media,
		Direction: direction(m.Attributes, direction(d.Attributes, "sendrecv")),
		proto:     strings.Join(m.MediaName.Protos, "/"),
		formats:   m.MediaName.Formats,
	}
	s.MID, _ = m.Attribute("mid")
	if len(s.MID) > maxMID || strings.ContainsAny(s.MID, " \t") {
		return s, malformed("the mid of section %d is not a token of at most %d characters", i, maxMID)
	}
	_, bundleOnly := m.Attribute("bundle-only")
	s.disabled = m.MediaName.Port.Value == 0 && !bundleOnly
	_, s.mux = m.Attribute("rtcp-mux")
	_, s.rsize = m.Attribute("rtcp-rsize")
	if len(s.formats) == 0 {
		return s, malformed("section %d offers no format", i)
	}
	if !s.isMedia() {
		return s, nil
	}
	if !slices.Contains(m.MediaName.Protos, "RTP") {
		return s, malformed("section %d (%s) is not carried over RTP", i, s.Kind)
	}
	s.extensions = parseExtensions(m.Attributes, d.Attributes)
	s.source, s.StreamIDs = parseSource(m.Attributes)
	if s.layers = parseLayers(m.Attributes); s.layers == nil {
		s.extensions = withoutRID(s.extensions)
	}
	var err error
	s.Codecs, err = parseCodecs(s.Kind, s.formats, m.Attributes)
	if err != nil {
		return s, malformed("section %d: %v", i, err)
	}
	if !s.hasExtension(uriTransportCC) {
		s.dropTransportCC()
	}
	return s, nil
}

func (s *Section) isMedia() bool { return s.Kind == "audio" || s.Kind == "video" }

// direction is the first direction attribute, or the default given.
func direction(attributes []sdp.Attribute, otherwise string) string {
	for _, a := range attributes {
		switch a.Key {
		case "sendonly", "recvonly", "sendrecv", "inactive":
			return a.Key
		}
	}
	return otherwise
}

// parseBundle checks the mids and the BUNDLE group (RFC 9143). Everything that
// lives must be in one group: there is one transport.
func (o *Offer) parseBundle(d *sdp.SessionDescription) error {
	byMID := make(map[string]int, len(o.Sections))
	var living int
	for i, s := range o.Sections {
		if s.MID == "" && len(o.Sections) > 1 {
			return malformed("section %d has no a=mid; give each section one", i)
		}
		if _, twice := byMID[s.MID]; twice {
			return malformed("the mid %q is used twice", s.MID)
		}
		byMID[s.MID] = i
		if !s.disabled {
			living++
		}
	}
	if living == 0 {
		return refuse(ProblemDirection, "every media section is switched off (port 0)")
	}
	for _, a := range d.Attributes {
		if semantics, mids, _ := strings.Cut(a.Value, " "); a.Key == "group" && semantics == "BUNDLE" {
			if o.bundled {
				return refuse(ProblemNoBundle, "the offer has several BUNDLE groups; put all sections into one (bundlePolicy \"max-bundle\")")
			}
			if err := o.parseGroup(strings.Fields(mids), byMID); err != nil {
				return err
			}
		}
	}
	if len(o.group) < living {
		if living > 1 {
			return refuse(ProblemNoBundle, "not every media section is in a BUNDLE group; put all sections into one (bundlePolicy \"max-bundle\")")
		}
		o.group = []int{slices.IndexFunc(o.Sections, func(s Section) bool { return !s.disabled })}
	}
	return o.checkMux()
}

// checkMux looks at the first RTP section of the group only: the others may
// leave the line out, as RFC 9725 figure 2 does.
func (o *Offer) checkMux() error {
	for _, i := range o.group {
		if s := &o.Sections[i]; s.isMedia() {
			if !s.mux {
				return refuse(ProblemNoRTCPMux, "the section %q has no a=rtcp-mux; RTP and RTCP must share one transport", s.MID)
			}
			return nil
		}
	}
	return nil
}

func (o *Offer) parseGroup(mids []string, byMID map[string]int) error {
	for _, mid := range mids {
		i, known := byMID[mid]
		if !known {
			// Some encoders keep naming the section that they left out (FFmpeg
			// says "BUNDLE 0 1" with a video section alone). With one section
			// nothing can be mistaken.
			if len(o.Sections) == 1 {
				continue
			}
			return malformed("the BUNDLE group names the mid %q, which no section has", mid)
		}
		if slices.Contains(o.group, i) {
			return malformed("the BUNDLE group names the mid %q twice", mid)
		}
		if !o.Sections[i].disabled {
			o.group = append(o.group, i)
		}
		o.bundled = true
	}
	return nil
}

// parseTransport reads what holds for the transport of the whole group: from
// its tagged section, else from the session level (RFC 9143 section 7.1.3).
func (o *Offer) parseTransport(d *sdp.SessionDescription) error {
	tagged := d.MediaDescriptions[o.group[0]]
	all := func(key string) (values []string) {
		for _, attributes := range [][]sdp.Attribute{tagged.Attributes, d.Attributes} {
			for _, a := range attributes {
				if a.Key == key {
					values = append(values, a.Value)
				}
			}
			if len(values) > 0 {
				return values
			}
		}
		return nil
	}
	first := func(key string) string {
		if values := all(key); len(values) > 0 {
			return values[0]
		}
		return ""
	}
	if _, lite := d.Attribute("ice-lite"); lite {
		return refuse(ProblemICE, "the offer says a=ice-lite; the gateway is lite itself, so the other side must be a full ICE agent")
	}
	o.UFrag, o.Pwd = first("ice-ufrag"), first("ice-pwd")
	if err := checkICE(o.UFrag, o.Pwd, malformed); err != nil {
		return err
	}
	switch o.Setup = strings.ToLower(first("setup")); o.Setup {
	case "":
		o.Setup = "actpass" // RFC 8842 section 5.2 asks for it; its absence can mean nothing else
	case "actpass", "active", "passive":
	default:
		return refuse(ProblemDTLSSetup, "a=setup:%.20s cannot be answered; offer actpass", o.Setup)
	}
	var err error
	o.Fingerprints, err = parseFingerprints(all("fingerprint"))
	return err
}

func parseFingerprints(values []string) (out []Fingerprint, err error) {
	if len(values) == 0 {
		return nil, malformed("the offer has no a=fingerprint; DTLS-SRTP needs one")
	}
	for _, v := range values {
		hash, text, _ := strings.Cut(v, " ")
		hash = strings.ToLower(hash)
		bits, ok := strings.CutPrefix(hash, "sha-")
		if !ok || (bits != "256" && bits != "384" && bits != "512") {
			continue
		}
		value, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), ":", ""))
		if want, _ := strconv.Atoi(bits); err != nil || len(value) != want/8 {
			return nil, malformed("the %s fingerprint is not %s bits of hexadecimal", hash, bits)
		}
		out = append(out, Fingerprint{Hash: hash, Value: value})
	}
	if len(out) == 0 {
		return nil, refuse(ProblemFingerprint, "no a=fingerprint uses sha-256, sha-384 or sha-512")
	}
	return out, nil
}
