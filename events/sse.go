package events

import (
	"net/http"
	"time"
)

const (
	retry        = "retry: 2000\n\n" // ms until a reader who lost the stream comes back
	keepalive    = ":\n\n"
	keepaliveGap = 15 * time.Second
	// writeMax is how long a reader may block the stream, above the gap between
	// two writes: HTTP/2 has one deadline for the stream, not one for each write.
	writeMax = 10 * time.Second
	// writeGap is the least time between two writes to a reader: events that come
	// closer together share one. A room of a thousand messages a second costs
	// each reader no more than a hundred writes.
	writeGap = 10 * time.Millisecond
)

// WriteSSEHeader begins the answer that ServeSSE goes on with.
func WriteSSEHeader(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would collect the events
	w.WriteHeader(http.StatusOK)
}

// ServeSSE sends a listener's events until the reader leaves, the room or the
// hub ends, or over is closed, and closes the listener.
func ServeSSE(w http.ResponseWriter, r *http.Request, l *Listener, over <-chan struct{}) {
	defer l.Close()
	control := http.NewResponseController(w)
	// The server's deadline is for requests that are read to an end; without
	// word from it, net/http takes a silent reader for a slow one.
	_ = control.SetReadDeadline(time.Time{}) // a writer without deadlines has none to lift
	send := func(texts ...[]byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(keepaliveGap + writeMax)) // as above
		for _, text := range texts {
			if _, err := w.Write(text); err != nil {
				return false
			}
		}
		return control.Flush() == nil
	}
	WriteSSEHeader(w)
	if !send([]byte(retry)) {
		return
	}
	p := pump{
		listener: l, gone: r.Context().Done(), over: over,
		alive: func() bool { return send([]byte(keepalive)) },
		send: func(frames []*frame) bool {
			texts := make([][]byte, len(frames))
			for i, f := range frames {
				texts[i] = f.text
			}
			return send(texts...)
		},
	}
	p.run()
}
