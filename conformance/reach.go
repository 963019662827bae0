package conformance

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// reach tells whether there is anything to judge: somebody answers, and what
// answers is an endpoint that takes the token. Else every check would fail for
// one and the same reason.
func (t *Target) reach(ctx context.Context, client *http.Client) error {
	own := t.own()
	for _, e := range []struct {
		flag, url, offer string
		absent           Codes // what only something else than an endpoint says to an offer
	}{
		{"--whip", own.WHIP, PublishOffer(), Is(http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented)},
		// Several servers say 404 to viewers when nobody is on air.
		{"--whep", own.WHEP, PlayOffer(), Is(http.StatusMethodNotAllowed, http.StatusNotImplemented)},
	} {
		if e.url == "" {
			continue
		}
		status, err := t.knock(ctx, client, e.url, e.offer)
		switch {
		case err != nil:
			return fmt.Errorf("conformance: %s %s does not answer: %w", e.flag, e.url, err)
		case e.absent(status):
			return fmt.Errorf("conformance: %s %s is no such endpoint: it says %d to an offer", e.flag, e.url, status)
		case !Is(http.StatusUnauthorized, http.StatusForbidden)(status), len(t.Only) > 0: // whoever names checks gets them
		case t.Token == "":
			return fmt.Errorf("conformance: %s %s wants a token: it says %d without one; give --token", e.flag, e.url, status)
		default:
			return fmt.Errorf("conformance: %s %s refuses the token with %d; it needs one that may publish and play there", e.flag, e.url, status)
		}
	}
	return nil
}

// knock makes a plain offer and ends what comes of it.
func (t *Target) knock(ctx context.Context, client *http.Client, endpoint, offer string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := send(ctx, client, Request{Method: http.MethodPost, URL: endpoint, Type: typeSDP, Body: offer}, t.Token)
	if err != nil {
		return 0, err
	}
	if at := resp.Location(); at != "" && resp.Status == http.StatusCreated {
		// Ended so that nothing stays behind; a failure shows in the checks.
		_, _ = send(ctx, client, Request{Method: http.MethodDelete, URL: at}, t.Token)
	}
	return resp.Status, nil
}
