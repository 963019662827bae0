package gateway

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/session"
)

// refreshed is the answer to a refresh.
type refreshed struct {
	Expires *stamp `json:"expires"` // null: the session needs no other token
}

// sessionChanged is told by the Table what happens to sessions.
func (g *Gateway) sessionChanged(e session.Event) {
	g.followSession(e)
	g.announceSession(e)
}

// followSession gives a session the life of its token.
func (g *Gateway) followSession(e session.Event) {
	switch e.Type {
	case session.Joined:
		l := e.Labels
		held := bearer{tokenID: l.Token.ID, identity: l.Identity, issued: l.Token.Issued, expires: l.Token.Expires}
		g.leases.open(e.Session, l.Room, held, e.Close)
	case session.Left:
		g.leases.closeSession(e.Session)
	case session.Changed:
	}
}

// refreshSession lets a session go on with a newer token. Nothing happens to its
// media.
func (g *Gateway) refreshSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id, verifier := p.ByName("session"), g.verifier()
	open := verifier == nil
	if open {
		verifier = verifyFunc(g.verifyGuest) // as at the door of rooms with a password
	}
	grants, present, err := g.verify(r, verifier)
	if err == nil && !present {
		err = &problemError{name: "unauthorized"}
	}
	if err != nil && !open { // before it shows whether the session is there
		g.stats.refusedTokens.Add(1)
		return err
	}
	s, notFound := g.sessions.Find(id)
	if notFound != nil {
		return notFound
	}
	info := s.Info()
	if held, known := g.leases.of(info.ID); open && known && held.expires.IsZero() {
		return writeJSON(w, http.StatusOK, refreshed{})
	}
	if err != nil {
		return err
	}
	if err := g.permit(grants, info.Labels.Room, grantOf(info.Role)); err != nil {
		return err
	}
	return g.renew(w, info.ID, grants)
}

// renew takes a newer token of the same person for a session.
func (g *Gateway) renew(w http.ResponseWriter, id string, grants auth.Grants) error {
	to := heldBy(grants)
	known, err := g.leases.renew(id, to, func(old bearer) error {
		switch {
		case old.identity != to.identity:
			return &problemError{name: "other-identity"}
		case !to.expires.IsZero() && (old.expires.IsZero() || to.expires.Before(old.expires)):
			return &problemError{name: "token-not-newer"}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !known { // it has ended meanwhile
		return session.ErrNotFound
	}
	out := refreshed{}
	if !to.expires.IsZero() {
		at := stamp(to.expires)
		out.Expires = &at
	}
	return writeJSON(w, http.StatusOK, out)
}
