package gateway

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// statusView is a session as its owner sees it.
type statusView struct {
	sessionView
	Advice *adviceView `json:"advice"` // null while all is well
}

// adviceView says in plain words what is wrong and what to do about it.
type adviceView struct {
	Title string `json:"title"`
	Next  string `json:"next"`
	Type  string `json:"type"` // the page that explains the cause
}

// getStatus tells the owner of a session how it is, also for a minute after
// its end. The URL is a capability like that of the session.
func (g *Gateway) getStatus(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	id := p.ByName("session")
	if err := g.authorizeSession(r, id); err != nil {
		return err
	}
	info, err := g.sessions.Status(id)
	if err != nil {
		return err
	}
	out := statusView{sessionView: g.sessionOf(info, g.publicationOf(info))}
	if a, ok := info.Cause.Advice(); ok {
		out.Advice = &adviceView{Title: a.Title, Next: a.NextStep(info.Role), Type: "/problems/" + string(a.Cause)}
	}
	return writeJSON(w, http.StatusOK, out)
}

// publicationOf is what a living publisher's session feeds.
func (g *Gateway) publicationOf(s session.Info) (none sfu.PublicationInfo) {
	if s.Role != session.RolePublisher || s.State == "ended" {
		return none
	}
	room, err := g.rooms.Info(s.Labels.Room)
	if err != nil {
		return none // the room has ended meanwhile
	}
	for _, pub := range room.Publications {
		if pub.Session == s.ID {
			return pub
		}
	}
	return none
}
