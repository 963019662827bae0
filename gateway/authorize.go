package gateway

import (
	"net/http"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/session"
)

// bearer finds out what the request's token allows. Without authentication
// every Authorization header is ignored: encoders send dummies. Present is
// false when no token was sent.
func (g *Gateway) bearer(r *http.Request) (grants auth.Grants, present bool, err error) {
	tokens := g.tokens.Load()
	if tokens == nil {
		return auth.Everything(), true, nil
	}
	token, credentials := auth.Bearer(r.Header.Values("Authorization"))
	switch credentials {
	case auth.NoCredentials:
		return auth.Grants{}, false, nil
	case auth.BearerToken:
		grants, err = tokens.Verify(r.Context(), token)
		if err == nil {
			return grants, true, nil
		}
	case auth.BadCredentials:
	}
	g.stats.refusedTokens.Add(1)
	return auth.Grants{}, true, &problemError{name: "invalid-token"}
}

// authorize lets pass who may do something in a room. The answer is the same
// whether the room exists or not.
func (g *Gateway) authorize(r *http.Request, room string, grant auth.Grant) (auth.Grants, error) {
	grants, err := g.identify(r)
	if err == nil && !grants.Allows(room, grant) {
		err = &problemError{name: "insufficient-scope"}
	}
	return grants, err
}

// identify lets pass who has any valid token.
func (g *Gateway) identify(r *http.Request) (auth.Grants, error) {
	grants, present, err := g.bearer(r)
	if err == nil && !present {
		err = &problemError{name: "unauthorized"}
	}
	return grants, err
}

// authorizeSession guards a session URL. The URL is a capability: whoever
// holds it needs no token (several encoders send none on DELETE), but a wrong
// one is refused, and so is one for other rooms.
func (g *Gateway) authorizeSession(r *http.Request, id string) error {
	grants, present, err := g.bearer(r)
	if err != nil || !present {
		return err
	}
	s, err := g.sessions.Find(id)
	if err != nil {
		return nil //nolint:nilerr // whether it ever was there is for the caller to find out
	}
	info, grant := s.Info(), auth.Subscribe
	if info.Role == session.RolePublisher {
		grant = auth.Publish
	}
	if !grants.Allows(info.Labels.Room, grant) {
		return &problemError{name: "insufficient-scope"}
	}
	return nil
}
