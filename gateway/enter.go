package gateway

import (
	"errors"
	"net/http"

	"github.com/sluicemedia/sluice/auth"
)

// enter lets pass who may begin a session in a room: authorize, and what the
// room's owner decided. The lock keeps newcomers out: who is in the room may play
// what comes on air and publish more.
func (g *Gateway) enter(r *http.Request, room string, grant auth.Grant) (auth.Grants, error) {
	grants, err := g.authorize(r, room, grant)
	if err != nil {
		return grants, err
	}
	if grants, err = g.asGuest(r, room, grants); err != nil {
		return grants, err
	}
	made, _ := g.registry.Room(room)
	switch {
	case !grants.Allows(room, grant):
		return auth.Grants{}, &problemError{name: "insufficient-scope"}
	case made.Locked && !g.moderates(grants, room) && !g.leases.present(grants.Identity, room):
		return auth.Grants{}, &problemError{name: "room-locked"}
	}
	return grants, nil
}

// asGuest is what somebody may do in a room on a node that asks nobody for a
// token: with a password the room asks, for one of its own. Without one everything
// is allowed, but who has such a token is known by it.
func (g *Gateway) asGuest(r *http.Request, room string, grants auth.Grants) (auth.Grants, error) {
	if g.authenticates() {
		return grants, nil
	}
	made, _ := g.registry.Room(room)
	guest, joined := g.roomToken(r, room)
	switch {
	case made.PasswordHash == "":
		grants.Identity, grants.Name = guest.Identity, guest.Name
		return grants, nil
	case !joined:
		return auth.Grants{}, g.noRoomToken(r)
	default:
		return guest, nil
	}
}

// moderates tells whether somebody gets through the lock of a room. On a node
// without authentication that would be everybody: there the lock is for all.
func (g *Gateway) moderates(grants auth.Grants, room string) bool {
	return g.authenticates() && grants.Allows(room, auth.Moderate)
}

// noRoomToken is the answer to who needs the token of a room and has none that
// is good there. Encoders send dummies where nobody asks: they are told what to send, too.
func (g *Gateway) noRoomToken(r *http.Request) error {
	const detail = "The room has a password: POST it to the room's join, and send the token that you get."
	switch _, present, err := g.verify(r, verifyFunc(g.verifyGuest)); {
	case !present:
		return &problemError{"unauthorized", detail}
	case err == nil:
		return &problemError{"insufficient-scope", "The token is for another room."}
	case errors.Is(err, auth.ErrInvalid):
		g.stats.refusedTokens.Add(1)
		return &problemError{"invalid-token", detail}
	default:
		g.stats.refusedTokens.Add(1)
		return err
	}
}
