package whep

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// EventType names an event of a session (WHEP events extension).
type EventType string

// The events that a viewer's session tells of.
const (
	EventActive      EventType = "active"      // what is watched went on air
	EventInactive    EventType = "inactive"    // and off it
	EventLayers      EventType = "layers"      // what layers there are
	EventViewerCount EventType = "viewercount" // about how many watch
	EventReconnect   EventType = "reconnect"   // open another session, then end this one
)

// advertised are the types in the Link of a session, in that order.
var advertised = []EventType{EventActive, EventInactive, EventLayers, EventViewerCount, EventReconnect}

// eventNames are the advertised types as one text.
func eventNames(separator string) string {
	names := make([]string, len(advertised))
	for i, t := range advertised {
		names[i] = string(t)
	}
	return strings.Join(names, separator)
}

// A state is worth nothing once a newer one of its type is there.
func (t EventType) isState() bool { return t == EventLayers || t == EventViewerCount }

// Reconnect is the data of EventReconnect.
type Reconnect struct {
	URL string `json:"url,omitempty"` // where to; "": where the session was opened
}

type viewerCount struct {
	ViewerCount int `json:"viewercount"`
}

// event is one event of a session, with its place among them.
type event struct {
	id   uint64
	kind EventType
	text []byte // as it stands in a stream
}

// newEvent writes an event. JSON has no line ends in its texts, so that it is
// one line of data.
func newEvent(id uint64, kind EventType, data any) (event, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return event{}, fmt.Errorf("whep: write an event: %w", err)
	}
	return event{id, kind, fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", id, kind, text)}, nil
}

// parseTypes reads the body of the request for a stream: an array of types,
// or nothing, which asks for all.
func parseTypes(body []byte) ([]EventType, error) {
	if len(body) == 0 {
		return advertised, nil
	}
	var asked []EventType
	if err := json.Unmarshal(body, &asked); err != nil || len(asked) == 0 {
		return nil, refuse(problemJSON, "Send a JSON array of event types, or no body for all of them: %s.", eventNames(", "))
	}
	var types []EventType
	var unknown []string
	for _, t := range asked {
		switch {
		case !slices.Contains(advertised, t):
			unknown = append(unknown, fmt.Sprintf("%.40q", string(t)))
		case !slices.Contains(types, t):
			types = append(types, t)
		}
	}
	if len(unknown) > maxNamed {
		unknown = append(unknown[:maxNamed], "and more")
	}
	if len(unknown) > 0 {
		return nil, refuse(ProblemEvents, "Not sent here: %s. Sent are %s.", strings.Join(unknown, ", "), eventNames(", "))
	}
	return types, nil
}
