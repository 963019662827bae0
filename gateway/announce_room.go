package gateway

import (
	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// announceRoom puts what happens in a room into its log.
func (g *Gateway) announceRoom(e sfu.Event) {
	switch e.Type {
	case sfu.PublicationStarted:
		g.hub.Publish(e.Room, events.PublicationStarted, g.publicationEvent(e))
	case sfu.PublicationStopped:
		g.hub.Publish(e.Room, events.PublicationStopped, g.publicationEvent(e))
	case sfu.PublicationMuted:
		g.hub.Publish(e.Room, events.PublicationMuted, g.publicationEvent(e))
	case sfu.ProgramChanged:
		program := events.Program{}
		if e.Publication != "" {
			program.Publication = &e.Publication
		}
		g.hub.Publish(e.Room, events.ProgramChanged, program)
	case sfu.LayerChanged:
		g.hub.Publish(e.Room, events.LayerChanged, events.Layer{Session: e.Session, Publication: e.Publication, RID: e.RID})
	case sfu.RoomEnded:
		g.hub.End(e.Room)
	case sfu.RoomLeft:
		// Nobody ended it: who comes back soon finds the log as it was.
	}
}

func (g *Gateway) publicationEvent(e sfu.Event) events.Publication {
	return events.Publication{
		Publication: e.Publication, Session: e.Session, Identity: e.Identity, Name: e.Name,
		WHEP: g.url + "/whep/" + e.Room + "/" + e.Publication, Muted: events.Muted(e.Muted),
	}
}

// announceSession puts what happens to a session into the log of its room.
func (g *Gateway) announceSession(e session.Event) {
	who := events.Session{
		Session: e.Session, Role: string(e.Role), Publication: e.Labels.Publication,
		Identity: e.Labels.Identity, Name: e.Labels.Name,
	}
	switch e.Type {
	case session.Joined:
		g.hub.Publish(e.Labels.Room, events.SessionJoined, who)
	case session.Left:
		who.Cause = string(e.Cause)
		g.hub.Publish(e.Labels.Room, events.SessionLeft, who)
	case session.Changed:
		quality := events.Quality{Session: e.Session, Role: string(e.Role), State: e.State}
		if e.Cause != "" {
			cause := string(e.Cause)
			quality.Cause = &cause
		}
		g.hub.Publish(e.Labels.Room, events.QualityChanged, quality)
	}
}

// history is how many messages a room keeps.
func (g *Gateway) history(room string) int {
	switch made, _ := g.registry.Room(room); made.History {
	case 0:
		return events.DefaultHistory
	case -1:
		return 0
	default:
		return made.History
	}
}

// keepsLog tells whether a room was made, and so is there while nobody is in it.
func (g *Gateway) keepsLog(room string) bool {
	_, made := g.registry.Room(room)
	return made
}
