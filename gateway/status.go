package gateway

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

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
	return writeJSON(w, http.StatusOK, g.sessionOf(info, g.publicationOf(info)))
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
