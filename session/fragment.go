package session

// Fragment is a trickle ICE SDP fragment (RFC 8840).
type Fragment struct {
	UFrag, Pwd      string
	MIDs            []string
	Candidates      []string // values of a=candidate lines
	EndOfCandidates bool
}

// ParseFragment parses the body of a PATCH. Errors are *OfferError.
func ParseFragment(body []byte) (*Fragment, error) { return nil, errTODO }
