package whep

import (
	"cmp"
	"net/http"
	"time"

	"github.com/sluicemedia/sluice/session"
)

const (
	relEvents = "urn:ietf:params:whep:ext:core:server-sent-events"

	retry        = "retry: 2000\n\n" // ms until a reader who lost the stream comes back
	keepalive    = ":\n\n"
	keepaliveGap = 15 * time.Second
	countGap     = 5 * time.Second
	// writeMax is how long a reader may block the stream, above the gap between
	// two writes: HTTP/2 has one deadline for the stream, not one for each write.
	writeMax = 10 * time.Second
)

// addLinks announces the extensions of a session in the header of its 201, each
// in a line of its own.
func (e *Endpoint) addLinks(h http.Header, id string) {
	session.AddLink(h, e.eventsURL(id), relEvents, "events", eventNames(","))
	session.AddLink(h, e.layerURL(id), relLayer)
}

func (e *Endpoint) eventsURL(id string) string { return e.Sessions.SessionURL(id) + "/events" }

// Emit sends an event of a viewer's session to all streams that want it; data
// is written as JSON. Streams that are opened later begin with the newest
// EventLayers. session.ErrNotFound when there is no such viewer.
func (e *Endpoint) Emit(id string, kind EventType, data any) error {
	v, err := e.viewers.find(id)
	if err != nil {
		return err
	}
	return v.emit(kind, data)
}

// PostEvents opens an event stream: 201, its URL in Location. Errors are those
// of [session.ReadJSON], session.ErrNotFound, ErrTooManyStreams and
// *session.OfferError.
func (e *Endpoint) PostEvents(w http.ResponseWriter, r *http.Request, id string) error {
	v, err := e.viewers.find(id)
	if err != nil {
		return err
	}
	body, err := session.ReadJSON(w, r)
	if err != nil {
		return err
	}
	types, err := parseTypes(body)
	if err != nil {
		return err
	}
	secret, err := v.open(types)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Location", e.eventsURL(id)+"/"+secret)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
	return nil
}

// GetEvents streams all events, without a POST before: players exist that know
// no other way. session.ErrNotFound.
func (e *Endpoint) GetEvents(w http.ResponseWriter, r *http.Request, id string) error {
	v, err := e.viewers.find(id)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		writeStreamHeader(w)
		return nil
	}
	s, err := v.openLink()
	if err != nil {
		return err
	}
	e.serve(w, r, s)
	return nil
}

// GetStream is the event stream of a POST before. A reader who comes while
// another is there takes the stream over. session.ErrNotFound, ErrNoStream.
func (e *Endpoint) GetStream(w http.ResponseWriter, r *http.Request, id, secret string) error {
	v, err := e.viewers.find(id)
	if err != nil {
		return err
	}
	s, err := v.stream(secret)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		writeStreamHeader(w)
		return nil
	}
	e.serve(w, r, s)
	return nil
}

// DeleteStream ends an event stream. session.ErrNotFound, ErrNoStream.
func (e *Endpoint) DeleteStream(w http.ResponseWriter, _ *http.Request, id, secret string) error {
	v, err := e.viewers.find(id)
	if err != nil {
		return err
	}
	if err := v.closeStream(secret); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func writeStreamHeader(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would collect the events
	w.WriteHeader(http.StatusOK)
}

// serve sends a stream until the reader leaves, another comes, or it ends.
func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request, s *stream) {
	t := s.take(r.Header.Get("Last-Event-ID"))
	defer s.release(t)
	keepaliveGap, countGap := cmp.Or(e.keepaliveGap, keepaliveGap), cmp.Or(e.countGap, countGap)
	control := http.NewResponseController(w)
	// The server's deadline is for requests that are read to an end; without
	// word from it, net/http takes a silent reader for a slow one.
	_ = control.SetReadDeadline(time.Time{}) // a writer without deadlines has none to lift
	send := func(text []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(keepaliveGap + writeMax)) // as above
		_, err := w.Write(text)
		return err == nil && control.Flush() == nil
	}
	writeStreamHeader(w)
	if !send([]byte(retry)) {
		return
	}
	quiet := time.NewTimer(keepaliveGap)
	defer quiet.Stop()
	var counting <-chan time.Time
	if s.wants(EventViewerCount) {
		ticker := time.NewTicker(countGap)
		defer ticker.Stop()
		counting = ticker.C
		_ = s.tellCount() // a number can be written
	}
	for {
		text, upTo, last := s.next(t)
		if len(text) > 0 {
			quiet.Reset(keepaliveGap)
			if !send(text) {
				return
			}
			s.wrote(t, upTo)
		}
		if last {
			return
		}
		select {
		case <-t.wake:
		case <-counting:
			_ = s.tellCount() // as above
		case <-quiet.C:
			quiet.Reset(keepaliveGap)
			if !send([]byte(keepalive)) {
				return
			}
		case <-t.over:
			return
		case <-r.Context().Done():
			return
		}
	}
}
