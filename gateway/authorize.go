package gateway

import (
	"net/http"
	"strings"

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
	token, credentials := auth.Bearer(g.credentials(r), g.cfg.AuthAllowBare)
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
	info, grant := s.Info(), auth.Subscribe
	if info.Role == session.RolePublisher {
		grant = auth.Publish
	}
	if !grants.Allows(info.Labels.Room, grant) {
		return &problemError{name: "insufficient-scope"}
	}
	return nil
}
