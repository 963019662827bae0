package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// whepEventDataChecks are those of the data of events and of how streams are read.
func whepEventDataChecks() []Check {
	return []Check{
		{
			ID: "WHEP-SSE-16", Section: "WHEP events", Level: Must, Stage: Alone,
			What: "the data of layers is an object of arrays by section, whose items name a layer each",
			Run:  whepLayersData,
		},
		{
			ID: "WHEP-SSE-19", Section: "WHEP events", Level: May, Stage: Live,
			What: "the data of viewercount is an object with that number",
			Run:  whepViewerCount,
		},
		{
			ID: "WHEP-SSE-21", Section: "Sluice", Level: Choice, Stage: Live,
			What: "the URL of a stream is a secret of its own: browsers cannot send a token with it",
			Run: func(t *T) {
				_, link := t.withEvents()
				s, r := t.openStream(t.subscribe(link, `["active"]`), anonymous)
				if s == nil {
					t.differsf("expected 200 without a token, got %v", r)
					return
				}
				if _, ok := s.next(eventPatience, "active"); !ok {
					t.Errorf("expected the event active, got none within %v", eventPatience)
				}
			},
		},
		{
			ID: "WHEP-SSE-22", Section: "Sluice", Level: Choice, Stage: Live, Patient: true,
			What: "a quiet stream has a comment every 15 s, events have ids, and a reader who comes back goes on behind the last one",
			Run:  whepStreamUpkeep,
		},
		{
			ID: "WHEP-SSE-23", Section: "Sluice", Level: Choice, Stage: Live,
			What: "GET of the link is a stream of all events: some players know no other way",
			Run: func(t *T) {
				_, link := t.withEvents()
				s, r := t.openStream(link.URL)
				if s == nil {
					t.differsf("expected a stream, got %v", r)
					return
				}
				if _, ok := s.next(eventPatience, "active"); !ok {
					t.Errorf("expected the event active, since somebody is on air, got none within %v", eventPatience)
				}
			},
		},
	}
}

// whepLayersData looks at the event of a publisher with layers, as a viewer who
// is connected: before that, a server may have nothing to say of them.
func whepLayersData(t *T) {
	t.goOnAirInLayers()
	link := t.eventsOf(t.viewVP8(func(a *Agent) { a.optional = true }).Session)
	if !link.sends("layers") {
		t.Skipf("the server does not announce the event layers")
	}
	r := t.postEvents(link, `["layers"]`)
	if r.Status == http.StatusBadRequest {
		t.Skipf("the server does not have the event layers: %v", r)
	}
	s, _ := t.reads(r.Location())
	e, ok := s.next(eventPatience, "layers")
	if !ok {
		t.Fatalf("expected the event layers of a publisher that has some, got none within %v", eventPatience)
	}
	t.wantEventForm(e)
	if err := checkLayers(e.Data); err != nil {
		t.Errorf("expected layers as the extension has them, got %q: %v", e.Data, err)
	}
}

// layer is an item of the event layers; what is missing is nil.
type layer struct {
	RID      *string  `json:"rid"`
	Encoding *string  `json:"encodingId"`
	Spatial  *int     `json:"spatialLayerId"`
	Temporal *int     `json:"temporalLayerId"`
	Bitrate  *float64 `json:"bitrate"`
	Width    *int     `json:"width"`
	Height   *int     `json:"height"`
}

// checkLayers reads the data of the event layers.
func checkLayers(data string) error {
	var sections map[string][]layer
	if err := json.Unmarshal([]byte(data), &sections); err != nil {
		return fmt.Errorf("no object of arrays: %w", err)
	}
	if len(sections) == 0 {
		return fmt.Errorf("no section has layers")
	}
	for at, layers := range sections {
		if n, err := strconv.Atoi(at); err != nil || n < 0 {
			return fmt.Errorf("%q is no index of a section", at)
		}
		for i, l := range layers {
			if l.RID == nil && l.Spatial == nil && l.Temporal == nil {
				return fmt.Errorf("item %d of section %s has neither rid nor spatialLayerId nor temporalLayerId", i, at)
			}
			if l.Bitrate != nil && *l.Bitrate < 0 {
				return fmt.Errorf("item %d of section %s has a bitrate below zero", i, at)
			}
		}
	}
	return nil
}

func whepViewerCount(t *T) {
	_, link := t.withEvents()
	if !link.sends("viewercount") {
		t.Skipf("the server does not announce the event viewercount")
	}
	r := t.postEvents(link, `["viewercount"]`)
	if r.Status == http.StatusBadRequest {
		t.Skipf("the server does not have the event viewercount: %v", r)
	}
	s, _ := t.reads(r.Location())
	e, ok := s.next(15*time.Second, "viewercount")
	if !ok {
		t.Skipf("no viewercount came within 15 s")
	}
	t.wantEventForm(e)
	var data struct {
		ViewerCount *int `json:"viewercount"`
	}
	if err := json.Unmarshal([]byte(e.Data), &data); err != nil || data.ViewerCount == nil || *data.ViewerCount < 0 {
		t.Errorf(`expected {"viewercount":n}, got %q`, e.Data)
	}
}

func whepStreamUpkeep(t *T) {
	_, link := t.withEvents()
	at := t.subscribe(link, `["active","inactive"]`)
	s, _ := t.reads(at)
	var retry, id string
	quiet := s.until(22*time.Second, func(e sseEvent) bool { // 15 and some for a slow machine
		if e.Retry != "" {
			retry = e.Retry
		}
		if e.Type == "active" {
			id = e.ID
		}
		return e.Comment && id != ""
	})
	if !quiet {
		t.differsf("expected a comment within 22 s of silence, got none")
	}
	if retry != "2000" {
		t.differsf("expected retry: 2000, got %q", retry)
	}
	if id == "" {
		t.differsf("expected an id on the event active, got none")
		return
	}
	s.Close()
	again, _ := t.reads(at, header("Last-Event-ID", id))
	if e, ok := again.next(2 * time.Second); ok && e.ID == id {
		t.differsf("expected nothing again up to the event %s, got %s", id, e.Type)
	}
}
