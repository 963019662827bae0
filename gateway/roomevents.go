package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/events"
)

// mayListen are the grants each of which is enough to read a room's events and
// to send messages there: whoever has any part in a room.
var mayListen = []auth.Grant{auth.Subscribe, auth.Publish, auth.Moderate, auth.Admin}

// getRoomEvents streams what happens in a room, as server-sent events or, when
// asked to upgrade, over a WebSocket.
func (g *Gateway) getRoomEvents(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	room := p.ByName("room")
	grants, err := g.authorizeListener(r, room)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		events.WriteSSEHeader(w)
		return nil
	}
	closed, err := g.openStream(r, room)
	if err != nil {
		return err
	}
	defer closed()
	listener, err := g.hub.Listen(room, lastEventID(r))
	if err != nil {
		return err
	}
	over, done := g.watchToken(grants, room)
	defer done()
	if events.IsWebSocket(r) {
		events.ServeWebSocket(w, r, listener, events.Socket{
			Over:    over,
			Send:    func(d events.Draft) (events.Event, error) { return g.sendMessage(r, room, grants, d) },
			Problem: problemView,
		})
		return nil
	}
	events.ServeSSE(w, r, listener, over)
	return nil
}

// lastEventID is what the reader has already. A browser that comes back says so
// in the header, and repeats the URL that it began with.
func lastEventID(r *http.Request) string {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		return id
	}
	return r.URL.Query().Get("last_event_id")
}

// authorizeListener lets pass who has a part in a room.
func (g *Gateway) authorizeListener(r *http.Request, room string) (grants auth.Grants, err error) {
	if ticket := g.ticketOf(r); ticket != "" {
		grants, err = g.byTicket(r, room, ticket)
	} else if grants, err = g.identify(r); err == nil {
		grants, err = g.asGuest(r, room, grants)
	}
	if err != nil {
		return grants, err
	}
	if !slices.ContainsFunc(mayListen, func(grant auth.Grant) bool { return grants.Allows(room, grant) }) {
		return grants, &problemError{name: "insufficient-scope"}
	}
	return grants, nil
}

// offeredToken is the token that a WebSocket offers among its subprotocols:
// a browser can send it nowhere else but in the URL.
func offeredToken(r *http.Request) []string {
	var headers []string
	for _, value := range r.Header.Values("Sec-WebSocket-Protocol") {
		for protocol := range strings.SplitSeq(value, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(protocol), tokenProtocol); ok {
				headers = append(headers, "Bearer "+token)
			}
		}
	}
	return headers
}

// tokenProtocol begins a subprotocol that is a token.
const tokenProtocol = "bearer."

// problemView is a problem as it is told where there is no response of its own.
func problemView(err error) any {
	p, detail := problemOf(err)
	if detail == "" {
		detail = p.remedy
	}
	return struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"/problems/" + p.name, p.title, p.status, detail}
}

// roomEventMetrics are those of the logs of rooms.
func roomEventMetrics() []metric {
	return []metric{
		gauge("sluice_room_logs", "Rooms whose events are kept.", func(s *snapshot) float64 { return float64(s.hub.Rooms) }),
		gauge("sluice_room_listeners", "Readers of the events of rooms.", func(s *snapshot) float64 { return float64(s.hub.Listeners) }),
		counter("sluice_room_events_total", "Events of rooms, messages among them.", func(s *snapshot) uint64 { return s.hub.Events }),
		counter("sluice_room_messages_total", "Messages sent in rooms.", func(s *snapshot) uint64 { return s.hub.Messages }),
		counter("sluice_room_snapshots_total", "States of rooms sent to readers who came, or came back too late.", func(s *snapshot) uint64 { return s.hub.Snapshots }),
		counter("sluice_room_events_missed_total", "Events that readers did not get because they were too slow or away for too long.", func(s *snapshot) uint64 { return s.hub.Missed }),
	}
}
