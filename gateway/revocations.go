package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/session"
)

// revocationView is a revocation as the API shows it.
type revocationView struct {
	ID       string `json:"id"`
	TokenID  string `json:"token_id,omitempty"`
	Identity string `json:"identity,omitempty"`
	Room     string `json:"room,omitempty"`
	Before   *stamp `json:"before,omitempty"`
	Expires  *stamp `json:"expires"` // null: never
}

// revocationRequest is the body of a POST.
type revocationRequest struct {
	TokenID  string     `json:"token_id"`
	Identity string     `json:"identity"`
	Room     string     `json:"room"`
	Before   *time.Time `json:"before"`
	Expires  *time.Time `json:"expires"`
}

// maxRevoked is in bytes, of each of what a revocation names.
const maxRevoked = 256

// endless tells a revocation of one token that may have no end: of a key of a file,
// or on a node that asks a service, which gives tokens for as long as it likes.
func (ask *revocationRequest) endless(service bool) bool {
	return auth.OfOneToken(ask.TokenID) || auth.OfOneToken(ask.Identity) || service && ask.TokenID != ""
}

// revocation is what is asked for. Without a token's id it is about those that
// were issued until now; it lasts until none of them can be left.
func (ask *revocationRequest) revocation(now time.Time, service bool) (cluster.Revocation, error) {
	r := cluster.Revocation{TokenID: ask.TokenID, Identity: ask.Identity, Room: ask.Room}
	switch {
	case ask.TokenID == "" && ask.Identity == "" && ask.Room == "" && ask.Before == nil:
		return r, &problemError{"field-invalid", "One of token_id, identity, room and before is needed."}
	case max(len(ask.TokenID), len(ask.Identity)) > maxRevoked:
		return r, &problemError{"field-invalid", "token_id and identity have at most 256 bytes."}
	case ask.Room != "" && !legalName(ask.Room):
		return r, &problemError{"field-invalid", "room is the name of a room, or left out."}
	}
	if ask.Before != nil {
		r.Before = ask.Before.UTC()
	} else if ask.TokenID == "" {
		r.Before = now.UTC()
	}
	r.Expires = now.Add(auth.DefaultMaxLife).UTC()
	if r.Before.After(now) {
		r.Expires = r.Before.Add(auth.DefaultMaxLife)
	}
	switch {
	case ask.Expires != nil:
		r.Expires = ask.Expires.UTC()
	case ask.endless(service):
		r.Expires = time.Time{}
	}
	if ask.Expires != nil && !r.Expires.After(now) {
		return r, &problemError{"field-invalid", "expires is in the past."}
	}
	return r, nil
}

// createRevocation takes tokens back. Sessions that they opened have been told
// to end when it answers.
func (g *Gateway) createRevocation(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	grants, err := g.administrator(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var ask revocationRequest
	if err := decodeJSON(w, r, body, &ask); err != nil {
		return err
	}
	wanted, err := ask.revocation(time.Now(), g.cfg.AuthWebhook != "")
	if err != nil {
		return err
	}
	if !mayRevoke(grants, wanted.Room) {
		return &problemError{name: "insufficient-scope"}
	}
	request, err := idempotent(r, grants, body)
	if err != nil {
		return err
	}
	made, err := g.registry.Revoke(r.Context(), request, wanted)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, revocationOf(made))
}

// mayRevoke: who administers a room takes back what is good there, and who
// administers all rooms, tokens as such.
func mayRevoke(grants auth.Grants, room string) bool {
	if room == "" {
		return grants.AllowsEverywhere(auth.Admin)
	}
	return grants.Allows(room, auth.Admin)
}

// listRevocations shows those that the caller could have made.
func (g *Gateway) listRevocations(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	grants, err := g.administrator(r)
	if err != nil {
		return err
	}
	items := []revocationView{}
	for _, made := range g.registry.Revocations() {
		if mayRevoke(grants, made.Room) {
			items = append(items, revocationOf(made))
		}
	}
	return writeList(w, r, items, func(v revocationView) string { return v.ID })
}

// deleteRevocation lets tokens in again. Sessions that have ended stay so. To who
// could not have made a revocation it is as if there were none.
func (g *Gateway) deleteRevocation(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	grants, err := g.administrator(r)
	if err != nil {
		return err
	}
	all, id := g.registry.Revocations(), p.ByName("id")
	i := slices.IndexFunc(all, func(made cluster.Revocation) bool { return made.ID == id })
	if i < 0 || !mayRevoke(grants, all[i].Room) {
		return &problemError{name: "revocation-not-found"}
	}
	err = g.registry.Unrevoke(r.Context(), cluster.Request{}, id)
	if errors.Is(err, cluster.ErrNotFound) { // somebody was faster
		return &problemError{name: "revocation-not-found"}
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func revocationOf(r cluster.Revocation) revocationView {
	v := revocationView{ID: r.ID, TokenID: r.TokenID, Identity: r.Identity, Room: r.Room}
	for _, t := range []struct {
		at time.Time
		to **stamp
	}{{r.Before, &v.Before}, {r.Expires, &v.Expires}} {
		if !t.at.IsZero() {
			at := stamp(t.at)
			*t.to = &at
		}
	}
	return v
}

// followRevocations does what the registry has decided. It is called by the
// registry, in order, and does not block.
func (g *Gateway) followRevocations(c cluster.Change) {
	switch c.Kind {
	case cluster.Revoked:
		g.revoked.add(*c.Revocation)
		g.leases.revoke(*c.Revocation)
	case cluster.Unrevoked, cluster.RevocationExpired:
		g.revoked.remove(c.Revocation.ID)
	case cluster.Reloaded:
		g.loadRevocations()
	default: // of something else
	}
}

// loadRevocations takes all of them from the registry anew.
func (g *Gateway) loadRevocations() {
	all := g.registry.Revocations()
	g.revoked.keep(all)
	for _, r := range all {
		g.leases.revoke(r)
	}
}

// kick ends a session, and takes the tokens that it was opened and refreshed with back in
// its room: whoever was kicked does not return by them. A token without an end stays: it is the
// key of an encoder, not of a person.
func (g *Gateway) kick(ctx context.Context, s *session.Session) error {
	id, room := session.PublicID(s.ID()), s.Labels().Room
	tokens := g.leases.tokens(id, time.Now())
	g.leases.closeSession(id) // its cause is that it was kicked
	var err error
	for _, held := range tokens {
		if held.tokenID != "" && !held.expires.IsZero() {
			_, failure := g.registry.Revoke(ctx, cluster.Request{}, cluster.Revocation{TokenID: held.tokenID, Room: room, Expires: held.expires})
			err = errors.Join(err, failure)
		}
	}
	s.Close(session.CauseKicked) // also when the registry takes no writes
	return err
}

// find is the session of a room that its id names, public or not.
func (g *Gateway) find(room, id string) (*session.Session, error) {
	list := g.sessions.List()
	i := slices.IndexFunc(list, func(s *session.Session) bool {
		return s.Labels().Room == room && (s.ID() == id || session.PublicID(s.ID()) == id)
	})
	if i < 0 {
		return nil, session.ErrNotFound
	}
	return list[i], nil
}
