package conformance

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// eventPatience is how long an event may take that is due at once.
const eventPatience = 8 * time.Second

// knownEvents are the types of the events extension.
var knownEvents = []string{"active", "inactive", "layers", "viewercount", "reconnect", "scte35"}

// whepEventChecks are those of the subscription to events of a session.
func whepEventChecks() []Check {
	return []Check{
		{
			ID: "WHEP-SSE-01", Section: "WHEP events", Level: Must, Stage: Live,
			What: "the 201 links to the events of the session",
			Run: func(t *T) {
				s := t.watch(PlayOffer())
				if len(s.Created.linksOf(relEvents)) == 0 {
					t.differsf("expected a Link of the type %s in the 201, got %q", relEvents, s.Created.Header.Values("Link"))
				}
			},
		},
		{
			ID: "WHEP-SSE-02", Section: "WHEP events", Level: May, Stage: Live,
			What: "the link lists the types of events in one parameter, with commas",
			Run: func(t *T) {
				_, link := t.withEvents()
				list, ok := link.Params["events"]
				if !ok {
					t.Skipf("the link has no parameter events")
				}
				for name := range strings.SplitSeq(list, ",") {
					if !slices.Contains(knownEvents, strings.TrimSpace(name)) {
						t.Errorf("expected types of the extension with commas between them, got %q", list)
					}
				}
			},
		},
		{
			ID: "WHEP-SSE-03", Section: "WHEP events", Level: Must, Stage: Live,
			What: "POST of a list of types gives 201 and the Location of a stream",
			Run: func(t *T) {
				_, link := t.withEvents()
				t.subscribe(link, `["active","inactive"]`)
			},
		},
		{
			ID: "WHEP-SSE-04", Section: "WHEP events", Level: May, Stage: Live,
			What: "POST without a body asks for all types",
			Run:  eventsWithoutBody,
		},
		{
			ID: "WHEP-SSE-05", Section: "WHEP events", Level: Must, Stage: Live,
			What: "a list with a type that the server does not have is 400, and makes no stream",
			Run: func(t *T) {
				_, link := t.withEvents()
				r := t.postEvents(link, `["active","bogus"]`)
				t.Want(r, "400", Is(http.StatusBadRequest))
				if at := r.Header.Get("Location"); at != "" {
					t.Errorf("expected no Location, got one")
				}
			},
		},
		{
			ID: "WHEP-SSE-06", Section: "WHEP events", Level: May, Stage: Live,
			What: "the body of that 400 says which type it was",
			Run: func(t *T) {
				_, link := t.withEvents()
				r := t.postEvents(link, `["active","bogus"]`)
				if !strings.Contains(r.Body, "bogus") {
					t.differsf("expected a body that names bogus, got %q", r.Body)
				}
				if problemType(r) == "" {
					t.differsf("expected application/problem+json, got %q", r.Header.Get("Content-Type"))
				}
			},
		},
	}
}

func eventsWithoutBody(t *T) {
	_, link := t.withEvents()
	r := t.Do(Request{Method: http.MethodPost, URL: link.URL})
	if ClientError(r.Status) {
		t.Skipf("the server wants a body: %v", r)
	}
	t.Want(r, "201", Is(http.StatusCreated))
	if r.Location() == "" {
		t.Fatalf("expected a Location, got none")
	}
	s, _ := t.reads(r.Location())
	if _, ok := s.next(eventPatience, "active"); !ok {
		t.Errorf("expected the event active, since somebody is on air, got none within %v", eventPatience)
	}
}

// withEvents is a session of a room on air with the link to its events. Servers
// that have none are not judged by what hangs on it.
func (t *T) withEvents() (*Session, *Link) {
	s := t.watch(PlayOffer())
	return s, t.eventsOf(s)
}

// eventsOf is the link to the events of a session.
func (t *T) eventsOf(s *Session) *Link {
	links := s.Created.linksOf(relEvents)
	if len(links) == 0 {
		t.Skipf("the server announces no events")
	}
	return &links[0]
}

// sends tells whether a type is among those of the link; a link that lists none
// may have any.
func (l *Link) sends(kind string) bool {
	list, ok := l.Params["events"]
	return !ok || slices.Contains(strings.Split(strings.ReplaceAll(list, " ", ""), ","), kind)
}

// postEvents asks for a stream of events.
func (t *T) postEvents(l *Link, types string) *Response {
	return t.Do(Request{Method: http.MethodPost, URL: l.URL, Type: "application/json", Body: types})
}

// subscribe makes a stream and returns its URL.
func (t *T) subscribe(l *Link, types string) string {
	r := t.postEvents(l, types)
	if !t.Want(r, "201", Is(http.StatusCreated)) {
		t.Skipf("no stream was made")
	}
	at := r.Location()
	if at == "" {
		t.Fatalf("expected the Location of the stream, got none")
	}
	return at
}

// reads opens a stream that must be there.
func (t *T) reads(at string, change ...func(*Request)) (*eventStream, *Response) {
	s, r := t.openStream(at, change...)
	if s == nil {
		t.Fatalf("GET of the event stream: expected 200, got %v", r)
	}
	return s, r
}

// whepStreamChecks are those of the streams themselves.
func whepStreamChecks() []Check {
	return []Check{
		{
			ID: "WHEP-SSE-07", Section: "HTML 9.2", Level: Must, Stage: Live,
			What: "GET of the stream is text/event-stream, which nobody may keep, and comes as it happens",
			Run:  whepStreamResponse,
		},
		{
			ID: "WHEP-SSE-08", Section: "WHEP events", Level: Must, Stage: Live,
			What: "the type of an event is in its event field, and its data is JSON in one line",
			Run:  whepEventForm,
		},
		{
			ID: "WHEP-SSE-09", Section: "WHEP events", Level: Must, Stage: Live,
			What: "a stream has no types but those that were chosen",
			Run:  whepChosenTypes,
		},
		{
			ID: "WHEP-SSE-10", Section: "WHEP events", Level: Must, Stage: Live,
			What: "events wait for a reader who is late",
			Run: func(t *T) {
				_, link := t.withEvents()
				at := t.subscribe(link, `["active"]`)
				t.Sleep(1500 * time.Millisecond) // late is what this is about
				s, _ := t.reads(at)
				if _, ok := s.next(eventPatience, "active"); !ok {
					t.Errorf("expected the event active, queued since the POST, got none within %v", eventPatience)
				}
			},
		},
		{
			ID: "WHEP-SSE-11", Section: "WHEP events", Level: May, Stage: Live,
			What: "DELETE ends a stream",
			Run: func(t *T) {
				t.deletedStream()
			},
		},
		{
			ID: "WHEP-SSE-12", Section: "WHEP events", Level: Must, Stage: Live,
			What: "a stream that was ended is 404",
			Run: func(t *T) {
				at := t.deletedStream()
				s, r := t.openStream(at)
				if s != nil || r.Status != http.StatusNotFound {
					t.Errorf("expected 404, got %v", r)
				}
			},
		},
		{
			ID: "WHEP-SSE-13", Section: "WHEP events", Level: Must, Stage: Live,
			What: "the streams end with the session",
			Run:  whepStreamsEnd,
		},
		{
			ID: "WHEP-SSE-14", Section: "WHEP events", Level: MustNot, Stage: Alone,
			What: "a stream does not begin with inactive when nobody is on air",
			Run:  whepNoInactiveFirst,
		},
	}
}

func whepStreamResponse(t *T) {
	_, link := t.withEvents()
	s, r := t.reads(t.subscribe(link, `["active","inactive"]`))
	if got := r.Header.Get("Content-Type"); mediaType(got) != "text/event-stream" {
		t.Errorf("expected Content-Type text/event-stream, got %q", got)
	}
	if kept := listed(r, "Cache-Control"); !slices.Contains(kept, "no-store") {
		if t.Strict() || !slices.Contains(kept, "no-cache") {
			t.Errorf("expected Cache-Control: no-store, got %q", kept)
		}
	}
	if _, ok := s.next(eventPatience); !ok {
		t.Errorf("expected an event while the stream is open, since somebody is on air, got none within %v", eventPatience)
	}
}

func whepEventForm(t *T) {
	_, link := t.withEvents()
	s, _ := t.reads(t.subscribe(link, `["active","inactive"]`))
	e, ok := s.next(eventPatience)
	if !ok {
		t.Fatalf("expected an event, since somebody is on air, got none within %v", eventPatience)
	}
	t.wantEventForm(e)
}

// wantEventForm wants a type and one line of JSON.
func (t *T) wantEventForm(e sseEvent) {
	if !slices.Contains(knownEvents, e.Type) {
		t.Errorf("expected a type of the extension, got %q", e.Type)
	}
	if e.DataLines != 1 {
		t.Errorf("%s: expected one data line, got %d", e.Type, e.DataLines)
	}
	if !json.Valid([]byte(e.Data)) && e.Type != "scte35" {
		t.Errorf("%s: expected JSON, got %q", e.Type, e.Data)
	}
}

// whepChosenTypes reads two streams of one session: what one got of types that
// the other did not choose must not be there.
func whepChosenTypes(t *T) {
	_, link := t.withEvents()
	chosen, _ := t.reads(t.subscribe(link, `["inactive"]`))
	all, _ := t.reads(t.subscribe(link, `["active","inactive"]`))
	if _, ok := all.next(eventPatience, "active"); !ok {
		t.Fatalf("expected the event active, since somebody is on air, got none within %v", eventPatience)
	}
	if e, ok := chosen.next(time.Second); ok && e.Type != "inactive" {
		t.Errorf("expected inactive alone, got %s", e.Type)
	}
}

// deletedStream is the URL of a stream that was ended.
func (t *T) deletedStream() string {
	_, link := t.withEvents()
	at := t.subscribe(link, `["active"]`)
	r := t.Do(Request{Method: http.MethodDelete, URL: at})
	if r.Status == http.StatusMethodNotAllowed || r.Status == http.StatusNotImplemented {
		t.Skipf("the server has no DELETE of streams: %v", r)
	}
	t.WantChoice(r, http.StatusOK, "2xx", Success)
	return at
}

func whepStreamsEnd(t *T) {
	session, link := t.withEvents()
	open := t.subscribe(link, `["active"]`)
	late := t.subscribe(link, `["inactive"]`)
	s, _ := t.reads(open)
	t.Delete(session)
	if !s.ended(eventPatience) {
		t.Errorf("expected the stream to end with the session, got none of it within %v", eventPatience)
	}
	for _, at := range []string{open, late} {
		if s, r := t.openStream(at); s != nil || r.Status != http.StatusNotFound && r.Status != http.StatusGone {
			t.Errorf("GET of a stream afterwards: expected 404, got %v", r)
		}
	}
}

// whepNoInactiveFirst subscribes when nobody is on air: before a publisher came
// where the server lets viewers wait, else after one has left.
func whepNoInactiveFirst(t *T) {
	const types = `["active","inactive"]`
	r := t.PostOffer(t.Room.WHEP, PlayOffer())
	var link *Link
	if r.Status == http.StatusCreated {
		link = t.eventsOf(t.opened(r, ""))
	} else {
		p := t.goOnAir()
		_, link = t.withEvents()
		before, _ := t.reads(t.subscribe(link, types))
		if _, ok := before.next(eventPatience, "active"); !ok {
			t.Fatalf("expected the event active, since somebody is on air, got none within %v", eventPatience)
		}
		p.Close()
		if _, ok := before.next(eventPatience, "inactive"); !ok {
			t.Skipf("viewers are not told within %v that the publisher has left", eventPatience)
		}
	}
	s, _ := t.reads(t.subscribe(link, types))
	if e, ok := s.next(2 * time.Second); ok && e.Type == "inactive" {
		t.Errorf("expected nothing, since nobody was on air at the POST, got inactive")
	}
}
