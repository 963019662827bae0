package gateway

import (
	"strings"
	"time"

	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/gateway/load"
	"github.com/sluicemedia/sluice/whep"
)

// Emit sends an event of the session at a path, "/s/" and its id.
func (g *Gateway) Emit(path string, kind whep.EventType, data any) error {
	return g.whep.Emit(strings.TrimPrefix(path, "/s/"), kind, data)
}

// Routes lists "METHOD /path" of every route.
func (g *Gateway) Routes() []string {
	var list []string
	for _, r := range g.routes() {
		list = append(list, r.method+" "+r.path)
	}
	return list
}

// ProblemNames lists the problem types.
func ProblemNames() []string {
	var names []string
	for _, p := range problems {
		names = append(names, p.name)
	}
	return names
}

// ParseFile reads the text of a configuration file.
func ParseFile(text []byte) (map[string]string, error) { return parseFile("test.yaml", text) }

// FromValues makes a configuration of texts.
var FromValues = fromValues

// StopTime bounds the end of HTTP.
const StopTime = stopTime

// Settle is how long files must be left alone.
const Settle time.Duration = settle

// Watch makes the node look elsewhere for what it carries. To be called before
// Run.
func (g *Gateway) Watch(s load.Source) { g.load = load.NewMonitor(s, g.loadChanged) }

// TellWebhooks hands an event over as a room's log does.
func (g *Gateway) TellWebhooks(e events.Event) { g.tellWebhooks(e) }
