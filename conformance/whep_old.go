package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// whepOldChecks are those of the first drafts, in which the server offered.
func whepOldChecks() []Check {
	return []Check{
		{
			ID: "WHEP-OLD-01", Section: "Sluice", Level: Choice, Stage: Live,
			What: "an empty POST is 4xx, or 201 with an offer of the server's, its Location and ETag",
			Run: func(t *T) {
				for _, mediaType := range []string{typeSDP, ""} {
					r := t.emptyPOST(mediaType)
					if r.Status != http.StatusCreated {
						t.Want(r, "4xx, or 201 with an offer", ClientError)
						continue
					}
					if r.Location() == "" || r.Header.Get("ETag") == "" {
						t.Errorf("expected Location and ETag on the 201, got %q and %q", r.Location(), r.Header.Get("ETag"))
					}
					if got := describe(r.Body).icePart("setup"); got != "actpass" {
						t.Errorf("expected an offer with setup:actpass, got %q", got)
					}
				}
			},
		},
		{
			ID: "WHEP-OLD-02", Section: "Sluice", Level: Choice, Stage: Live,
			What: "the answer to the server's offer is taken by PATCH",
			Run: func(t *T) {
				s := t.old()
				t.WantChoice(t.reply(s, answerTo(s.Offer, "recvonly"), header("If-Match", or(s.ETag, "*"))),
					http.StatusNoContent, "200 or 204", Is(http.StatusOK, http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-OLD-03", Section: "Sluice", Level: Choice, Stage: Live,
			What: "that PATCH needs neither If-Match nor a token",
			Run: func(t *T) {
				s := t.old()
				t.WantChoice(t.reply(s, answerTo(s.Offer, "recvonly"), anonymous),
					http.StatusNoContent, "200 or 204", Is(http.StatusOK, http.StatusNoContent))
			},
		},
		{
			ID: "WHEP-OLD-04", Section: "Sluice", Level: Choice, Stage: Live, Patient: true,
			What: "a session whose offer nobody answers is forgotten after 30 s",
			Run: func(t *T) {
				s := t.old()
				t.Sleep(offerLimit + 5*time.Second)
				t.wantForgotten(s)
			},
		},
	}
}

// emptyPOST asks for an offer as the first drafts had it.
func (t *T) emptyPOST(mediaType string) *Response {
	return t.PostOffer(t.Room.WHEP, "", typed(mediaType))
}

// old is a session with an offer of the server's.
func (t *T) old() *Session {
	var refusals []string
	for _, mediaType := range []string{typeSDP, ""} {
		r := t.emptyPOST(mediaType)
		if r.Status == http.StatusCreated {
			return t.proposed(r)
		}
		refusals = append(refusals, fmt.Sprint(r.Status))
	}
	t.Skipf("the server takes no empty POST: %s", strings.Join(slices.Compact(refusals), ", "))
	return nil
}
