package session

import (
	"net/netip"

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

// AnswerViewer writes the WHEP answer: every common codec accepted, those on
// air first. Active tells that the gateway takes the DTLS client role.
func (o *Offer) AnswerViewer(c AnswerConfig) (answer []byte, sections []ViewerSection, active bool, err error) {
	return nil, nil, false, errTODO
}

// Format is how the viewer calls a codec; false when it did not offer it. H264
// is matched by packetization mode and profile, VP9 and AV1 by profile.
func (s ViewerSection) Format(c webrtc.RTPCodecCapability) (egress.Format, bool) {
	return egress.Format{}, false
}

// IngestPlan is what a publisher's PeerConnection is built from.
type IngestPlan struct {
	Offer      string  // the offer as pion gets it: one codec a section, no candidates
	Codecs     []Codec // chosen, by section
	Extensions []webrtc.RTPHeaderExtensionCapability
	TWCC       bool // transport-cc was offered and is kept
}

// PlanIngest picks one primary codec a section and rewrites the offer so that
// pion can answer it only in the way wanted.
func (o *Offer) PlanIngest() (*IngestPlan, error) { return nil, errTODO }

// FinishIngest turns pion's answer into the one that is sent: own candidates,
// only what the offer had, the lines RFC 9725 asks for.
func (o *Offer) FinishIngest(pionAnswer string, c AnswerConfig) ([]byte, error) { return nil, errTODO }
