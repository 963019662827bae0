package mutant

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
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
		"active-with-data": {after: func(x *exchange) {
			active := false
			x.line = func(line string) string {
				if name, ok := strings.CutPrefix(line, "event:"); ok {
					active = strings.TrimSpace(name) == "active"
				}
				if active && strings.HasPrefix(line, "data:") {
					return "data: {\"since\":1}\n"
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
		"events-unchosen": {after: func(x *exchange) {
			before := "event: viewercount\ndata: {\"viewercount\":1}\n\n"
			x.line = func(line string) string {
				line, before = before+line, ""
				return line
			}
		}},
		"events-unqueued": {after: func(x *exchange) {
			began := time.Now()
			x.line = func(line string) string {
				if time.Since(began) < 500*time.Millisecond {
					return ""
				}
				return line
			}
		}, also: []string{"WHEP-SSE"}, why: "they read what was queued"},
		"events-outlive": {after: func(x *exchange) {
			if x.ofEvents(http.MethodGet) && x.status == http.StatusNotFound && x.session.know().ended {
				x.succeed(http.StatusOK)
				x.reply.Set("Content-Type", "text/event-stream")
			}
		}},
	}
}

// extensionNeeded takes fragments only from viewers that have subscribed to events.
func extensionNeeded() behaviour {
	return behaviour{after: func(x *exchange) {
		switch {
		case x.ofEvents(http.MethodPost) && x.session != nil:
			x.session.learn(func(f *facts) { f.subscribed = true })
		case x.views(resource, http.MethodPatch) && x.session != nil && x.trickled() && !x.session.know().subscribed:
			x.fail(http.StatusForbidden, "extension-needed")
		}
	}, also: trickling, why: "they patch without it"}
}

// extensionFaults are those of how extensions are announced.
func extensionFaults() map[string]behaviour {
	return map[string]behaviour{
		"no-events-link": behaviour{after: func(x *exchange) {
			if x.viewed() {
				x.unlink(relEvents)
			}
		}}.excused("layers need them", "WHEP-LAY-02"),
		"extension-linked-twice": {after: func(x *exchange) {
			if x.viewed() {
				x.reply["Link"] = slices.Repeat(x.reply["Link"], 2)
			}
		}},
		"extension-unregistered": {after: func(x *exchange) {
			if x.viewed() {
				x.reply.Add("Link", "<"+x.reply.Get("Location")+`/statistics>; rel="urn:ietf:params:whep:ext:statistics"`)
			}
		}},
		"extension-needed": extensionNeeded(),
	}
}
