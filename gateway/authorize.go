package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/session"
)

// bearer finds out what the request's token allows. Without authentication
// every Authorization header is ignored: encoders send dummies. Present is
// false when no token was sent.
func (g *Gateway) bearer(r *http.Request) (grants auth.Grants, present bool, err error) {
	verifier := g.verifier()
	if verifier == nil {
		return auth.Everything(), true, nil
	}
	grants, present, err = g.verify(r, verifier)
	if err != nil {
		g.stats.refusedTokens.Add(1)
	}
	return grants, present, err
}

// verify asks a verifier about the request's token, and whether it was revoked.
func (g *Gateway) verify(r *http.Request, verifier auth.Verifier) (grants auth.Grants, present bool, err error) {
	token, credentials := auth.Bearer(g.credentials(r), g.cfg.AuthAllowBare)
	switch credentials {
	case auth.NoCredentials:
		return auth.Grants{}, false, nil
	case auth.BadCredentials:
		return auth.Grants{}, true, auth.ErrInvalid
	case auth.BearerToken:
	}
	grants, err = g.verifyToken(r.Context(), verifier, token)
	return grants, true, err
}

// verifyToken is verify for one token, wherever it came from.
func (g *Gateway) verifyToken(ctx context.Context, verifier auth.Verifier, token string) (auth.Grants, error) {
	grants, err := verifier.Verify(ctx, token)
	if err != nil {
		return auth.Grants{}, err
	}
	held := heldBy(grants)
	if g.revoked.covers(held, "", time.Now()) {
		return auth.Grants{}, &problemError{name: "token-revoked"}
	}
	return grants.Barring(func(room string) bool { return g.revoked.covers(held, room, time.Now()) }), nil
}

// heldBy is what of a token goes on counting.
func heldBy(grants auth.Grants) bearer {
	return bearer{tokenID: grants.TokenID, identity: grants.Identity, issued: grants.Issued, expires: grants.Expires}
}

// credentials are the Authorization headers of a request. Where it has none,
// and the operator allows it, the token of an endpoint's URL takes their place.
func (g *Gateway) credentials(r *http.Request) []string {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		headers = offeredToken(r)
	}
	if len(headers) > 0 || !g.cfg.AuthAllowQuery || !isEndpoint(r.URL.Path) {
		return headers
	}
	for _, token := range r.URL.Query()["token"] {
		headers = append(headers, "Bearer "+token)
	}
	return headers
}

// isEndpoint tells the URLs that people are given from those that sessions are.
func isEndpoint(path string) bool {
	return strings.HasPrefix(path, "/whip/") || strings.HasPrefix(path, "/whep/")
}

// authorize lets pass who may do something in a room. The answer is the same
// whether the room exists or not.
func (g *Gateway) authorize(r *http.Request, room string, grant auth.Grant) (auth.Grants, error) {
	grants, err := g.identify(r)
	if err != nil {
		return grants, err
	}
	return grants, g.permit(grants, room, grant)
}

// permit refuses what grants do not allow, in the words for it: a token that was
// taken back in this room may allow a lot elsewhere.
func (g *Gateway) permit(grants auth.Grants, room string, grant auth.Grant) error {
	switch {
	case grants.Allows(room, grant):
		return nil
	case g.revoked.covers(heldBy(grants), room, time.Now()):
		return &problemError{name: "token-revoked"}
	default:
		return &problemError{name: "insufficient-scope"}
	}
}

// identify lets pass who has any valid token.
func (g *Gateway) identify(r *http.Request) (auth.Grants, error) {
	grants, present, err := g.bearer(r)
	if err == nil && !present {
		err = &problemError{name: "unauthorized"}
	}
	return grants, err
}

// labels say what a session will be for, and by which token.
func labels(grants auth.Grants, room, publication string) session.Labels {
	return session.Labels{
		Room: room, Publication: publication, Identity: grants.Identity, Name: grants.Name,
		Token: session.Token{ID: grants.TokenID, Issued: grants.Issued, Expires: grants.Expires},
	}
}

// administrator lets pass who administers any room at all; which ones is for the
// caller to look at.
func (g *Gateway) administrator(r *http.Request) (auth.Grants, error) {
	grants, err := g.identify(r)
	if err == nil && !grants.AllowsSomewhere(auth.Admin) {
		err = &problemError{name: "insufficient-scope"}
	}
	return grants, err
}

// authorizeSession guards a session URL. The URL is a capability: whoever
// holds it needs no token (several encoders send none on DELETE), but a wrong
// one is refused, and so is one for other rooms.
func (g *Gateway) authorizeSession(r *http.Request, id string) error {
	return g.guardSession(r, id, g.cfg.SessionRequireAuth)
}

// authorizeStream guards an event stream. No setting asks for a token here: a
// browser's EventSource cannot send one, and the stream has a secret of its own.
func (g *Gateway) authorizeStream(r *http.Request, id string) error {
	return g.guardSession(r, id, false)
}

func (g *Gateway) guardSession(r *http.Request, id string, required bool) error {
	grants, present, err := g.bearer(r)
	if err == nil && !present && required {
		err = &problemError{name: "unauthorized"}
	}
	if err != nil || !present {
		return err
	}
	s, err := g.sessions.Find(id)
	if err != nil {
		return nil //nolint:nilerr // whether it ever was there is for the caller to find out
	}
	info := s.Info()
	return g.permit(grants, info.Labels.Room, grantOf(info.Role))
}

// grantOf is what a session of that role needs.
func grantOf(role session.Role) auth.Grant {
	if role == session.RolePublisher {
		return auth.Publish
	}
	return auth.Subscribe
}
