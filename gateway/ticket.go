package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"net/url"

	"github.com/sluicemedia/sluice/auth"
)

// A ticket stands for a room token in the URL of the room's events: browsers can
// send no header with an EventSource or a WebSocket. It is signed with keys of its
// own, so that whoever finds it somewhere can neither publish nor play with it. It
// ends with the token that it stands for, and has its id, by which both are revoked.

// ticketSecret makes the key of tickets from that of room tokens.
func ticketSecret(secret []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("sluice: tickets for the events of a room"))
	return mac.Sum(nil)
}

// verifyTicket tells what the token allows that a ticket stands for.
func (t *roomTokens) verifyTicket(ctx context.Context, ticket string) (auth.Grants, error) {
	return t.verify(ctx, t.tickets, ticket)
}

// eventsURL is where the bearer of a room token reads the events of the room.
func (g *Gateway) eventsURL(room string, grants auth.Grants) (string, error) {
	claims := auth.Claims{
		ID: grants.TokenID, Identity: grants.Identity, Name: grants.Name, Rooms: []auth.Pattern{auth.Pattern(room)},
		Issued: grants.Issued, Expires: grants.Expires,
	}
	for _, grant := range roomGrants {
		if grants.Allows(room, grant) {
			claims.Can = append(claims.Can, grant)
		}
	}
	ticket, _, err := g.guests.tickets.Mint(claims)
	if err != nil {
		return "", err
	}
	return g.url + "/v1/rooms/" + room + "/events?" + url.Values{"ticket": {ticket}}.Encode(), nil
}

// ticketOf is the ticket of a request, "" without one. Who sends a token is
// known by that.
func (g *Gateway) ticketOf(r *http.Request) string {
	if len(g.credentials(r)) > 0 {
		return ""
	}
	return r.URL.Query().Get("ticket")
}

// byTicket is what somebody with a ticket may do in a room.
func (g *Gateway) byTicket(r *http.Request, room, ticket string) (auth.Grants, error) {
	grants, err := g.verifyToken(r.Context(), verifyFunc(g.guests.verifyTicket), ticket)
	if err != nil && g.isOpen(room) {
		return auth.Everything(), nil // as with tokens that nobody asked for
	}
	if err != nil {
		g.stats.refusedTokens.Add(1)
	}
	return grants, err
}

// isOpen tells whether nobody is asked for a token in a room.
func (g *Gateway) isOpen(room string) bool {
	made, _ := g.registry.Room(room)
	return !g.authenticates() && made.PasswordHash == ""
}
