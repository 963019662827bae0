package gateway

import (
	"fmt"
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/events"
)

// postMessage sends a message to all who listen in a room.
func (g *Gateway) postMessage(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	room := p.ByName("room")
	grants, err := g.authorizeListener(r, room)
	if err != nil {
		return err
	}
	var draft events.Draft
	if err := readJSON(w, r, &draft); err != nil {
		return err
	}
	e, err := g.sendMessage(r, room, grants, draft)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, e)
}

// listMessages shows the messages that a room keeps, the oldest first.
func (g *Gateway) listMessages(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	room := p.ByName("room")
	if _, err := g.authorizeListener(r, room); err != nil {
		return err
	}
	state, _ := g.hub.State(room)
	return writeList(w, r, state.Messages, func(e events.Event) string { return fmt.Sprintf("%020d", e.Seq) })
}

// sendMessage puts a message into a room's log, in the name of who sends it.
func (g *Gateway) sendMessage(r *http.Request, room string, grants auth.Grants, d events.Draft) (events.Event, error) {
	d.Identity, d.Name, d.Sender = grants.Identity, grants.Name, grants.Identity
	if from := subscriber(addressOf(r)); d.Sender == "" && !from.IsLoopback() {
		d.Sender = from.String()
	}
	return g.hub.Send(room, d)
}
