package whep

import (
	"errors"
	"net/http"
	"strings"

	"github.com/sluicemedia/sluice/session"
)

// counterOffer is the preference (RFC 7240) of a viewer who can answer an offer
// of ours.
const counterOffer = "whep-counter-offer"

// wishesCounterOffer tells whether a request has the preference.
func wishesCounterOffer(h http.Header) bool {
	for _, line := range h.Values("Prefer") {
		for preference := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(preference, ";")
			if strings.EqualFold(strings.TrimSpace(name), counterOffer) {
				return true
			}
		}
	}
	return false
}

// mendable tells whether an error is of an offer that another offer could
// replace: one that was understood and asks for what is not done here. What
// could not be read, or was too much, is no reason to go on.
func mendable(err error) bool {
	var refused *session.OfferError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Problem {
	case session.ProblemDirection, session.ProblemNoCommonCodec, session.ProblemNoBundle, session.ProblemNoRTCPMux, session.ProblemDTLSSetup:
		return true
	}
	return false
}

// propose opens a session with an offer of ours. What is refused for other
// reasons than the offer is refused here too.
func (e *Endpoint) propose(setup session.ViewerSetup) (*session.Session, error) {
	return e.open(setup, session.ProposedVideo, e.Sessions.ProposeViewer)
}
