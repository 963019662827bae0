package session

import (
	"errors"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// OfferError says why an offer, an answer or a fragment was refused. Problem is
// the name of the problem type (the last element of /problems/<name>), Detail
// what was wrong and what to do, in words for the client.
type OfferError struct {
	Problem string
	Detail  string
}

func (e *OfferError) Error() string { return "session: " + e.Problem + ": " + e.Detail }

// Problems of offers and fragments.
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
)

// Offer is an SDP offer that was parsed and checked against the bounds of
// docs: it can be handed on without fear.
type Offer struct {
	Sections     []Section
	UFrag, Pwd   string
	Fingerprints []Fingerprint
	Setup        string // "actpass" (also when absent), "active" or "passive"

	parsed *sdp.SessionDescription
}

// Fingerprint is one a=fingerprint value (RFC 8122).
type Fingerprint struct {
	Hash  string // lower case: "sha-256", "sha-384", "sha-512"
	Value []byte
}

// Section is one m-section of an offer.
type Section struct {
	Kind      string // "audio", "video" or "application"
	MID       string
	Direction string // "sendonly", "recvonly", "sendrecv" or "inactive"
	Codecs    []Codec
	StreamIDs []string // msid stream ids, without "-"
}

// Codec is one primary payload type of an offer with its retransmission type.
type Codec struct {
	PayloadType    uint8
	RTXPayloadType uint8 // 0: none offered
	webrtc.RTPCodecCapability
}

var errTODO = errors.New("session: not built yet")

// ParseOffer parses and bounds an offer (docs: design bounds). All errors are
// *OfferError.
func ParseOffer(body []byte) (*Offer, error) { return nil, errTODO }

// CheckPublish applies the rules of RFC 9725 section 4.2 and 4.4 for offers of
// publishers.
func (o *Offer) CheckPublish() error { return errTODO }

// CheckPlay applies the WHEP rules for offers of viewers.
func (o *Offer) CheckPlay() error { return errTODO }
