package mutant

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

const (
	relEvents = "urn:ietf:params:whep:ext:core:server-sent-events"
	relLayer  = "urn:ietf:params:whep:ext:core:layer"
)

var knownEvents = []string{"active", "inactive", "layers", "viewercount", "reconnect", "scte35"}

// ofEvents tells whether the request is one to the events of a session.
func (x *exchange) ofEvents(method string) bool {
	return x.views(below, method) && strings.Contains(x.url.Path, "/events")
}

func eventFaults() map[string]behaviour {
	return map[string]behaviour{
		"no-events-link": {after: func(x *exchange) {
			if x.viewed() {
				x.unlink(relEvents)
			}
		}},
		"events-post-405": behaviour{after: func(x *exchange) {
			if x.ofEvents(http.MethodPost) {
				x.refuse("GET, OPTIONS")
			}
		}}.excused("no stream can be opened", "WHEP-SSE"),
		"events-unknown-taken": {before: func(x *exchange) {
			var asked []string
			if !x.ofEvents(http.MethodPost) || json.Unmarshal([]byte(x.offer()), &asked) != nil {
				return
			}
			asked = slices.DeleteFunc(asked, func(e string) bool { return !slices.Contains(knownEvents, e) })
			if b, err := json.Marshal(asked); err == nil {
				x.send(string(b))
			}
		}},
		"events-type": {after: func(x *exchange) {
			if x.ofEvents(http.MethodGet) && x.status == http.StatusOK {
				x.reply.Set("Content-Type", "text/plain")
			}
		}},
		"events-many-lines": {after: func(x *exchange) {
			x.line = func(line string) string {
				if data, ok := strings.CutPrefix(line, "data: {"); ok {
					return "data: {\ndata: " + data
				}
				return line
			}
		}},
		"events-undeletable": {before: func(x *exchange) {
			if x.ofEvents(http.MethodDelete) {
				x.method = http.MethodOptions // answered with 200, and nothing happens
			}
		}},
		"events-inactive-first": {after: func(x *exchange) {
			begun := false
			x.line = func(line string) string {
				if begun {
					return line
				}
				begun = true
				return "event: inactive\ndata: {}\n\n" + line
			}
		}},
		"layer-unlinked-events": {after: func(x *exchange) {
			if x.viewed() && strings.Contains(strings.Join(x.reply.Values("Link"), " "), relLayer) {
				x.unlink(relEvents)
			}
		}},
		"layer-unknown-200": {after: func(x *exchange) {
			if x.views(below, http.MethodPost) && !strings.Contains(x.url.Path, "/events") && x.status == http.StatusUnprocessableEntity {
				x.succeed(http.StatusOK)
			}
		}},
	}
}
