//go:build e2e

package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeRoom is the part of a gateway that knows who is in a room, as small as
// fake is: events are what a test says they are.
type fakeRoom struct {
	*fake

	mu       sync.Mutex
	password string
	refusal  *refusal      // of joins
	life     time.Duration // of tokens
	joins    []joinSeen
	log      []roomEvent
	changed  chan struct{} // closed when the log grows or streams are cut
	cut      int           // streams that began before this many cuts end
	streams  []streamSeen
	messages []map[string]any
	refresh  []string // tokens that sessions were given
}

type joinSeen struct {
	Identity, Name, Password string
	Authorization            string `json:"-"`
}

type streamSeen struct{ token, last string }

type roomEvent struct {
	Seq  int    `json:"seq"`
	Time string `json:"time"`
	Room string `json:"room"`
	Type string `json:"type"`
	Data any    `json:"data"`
}

func newFakeRoom(t *testing.T) *fakeRoom {
	t.Helper()
	r := &fakeRoom{life: time.Hour, changed: make(chan struct{})}
	r.fake = newFake(t, func(routes *http.ServeMux) {
		routes.HandleFunc("POST /v1/rooms/{room}/join", r.join)
		routes.HandleFunc("GET /v1/rooms/{room}/events", r.events)
		routes.HandleFunc("POST /v1/rooms/{room}/messages", r.message)
		routes.HandleFunc("POST /s/{id}/refresh", r.renew)
	})
	t.Cleanup(r.cutStreams) // before the server waits for them
	return r
}

// set changes what the room does.
func (r *fakeRoom) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// wake tells the streams to look again. The lock is held.
func (r *fakeRoom) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// say puts an event into the log.
func (r *fakeRoom) say(kind string, data any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, roomEvent{len(r.log) + 1, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "garden", kind, data})
	r.wake()
}

// cutStreams ends every event stream, as a network that goes away does.
func (r *fakeRoom) cutStreams() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut++
	r.wake()
}

func (r *fakeRoom) join(w http.ResponseWriter, req *http.Request) {
	var seen joinSeen
	if err := json.NewDecoder(req.Body).Decode(&seen); err != nil {
		problem(w, http.StatusBadRequest, map[string]string{"type": "/problems/json-malformed"})
		return
	}
	seen.Authorization = req.Header.Get("Authorization")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joins = append(r.joins, seen)
	renewal := strings.HasPrefix(seen.Authorization, "Bearer token-")
	switch {
	case r.refusal != nil:
		problem(w, r.refusal.status, r.refusal.body)
		return
	case !renewal && seen.Password != r.password:
		problem(w, http.StatusForbidden, map[string]string{"type": "/problems/join-refused"})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the browser went away
		"token": fmt.Sprintf("token-%d", len(r.joins)), "expires": time.Now().Add(r.life).UTC().Format(time.RFC3339Nano), "identity": seen.Identity,
		"whip": r.url + "/whip/garden/" + seen.Identity, "whep": []any{}, "events": r.url + "/v1/rooms/garden/events", "ice_servers": []any{},
	})
}

// events begins with a snapshot that is empty, or after the event that the
// reader has.
func (r *fakeRoom) events(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	last := req.Header.Get("Last-Event-ID")
	r.streams = append(r.streams, streamSeen{strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "), last})
	cut, at := r.cut, 0
	if n, err := fmt.Sscanf(last, "life-%d", &at); n != 1 || err != nil {
		at = -1
	}
	r.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_, _ = fmt.Fprint(w, "retry: 100\n\n") // as below
	if at < 0 {
		r.mu.Lock()
		at = len(r.log)
		r.mu.Unlock()
		r.write(w, roomEvent{Seq: at, Room: "garden", Type: "snapshot", Data: map[string]any{"sessions": []any{}, "publications": []any{}, "messages": []any{}}})
	}
	for {
		r.mu.Lock()
		fresh, changed, over := r.log[at:], r.changed, r.cut > cut
		r.mu.Unlock()
		if over {
			return
		}
		for _, e := range fresh {
			r.write(w, e)
		}
		at += len(fresh)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-changed:
		case <-req.Context().Done():
			return
		}
	}
}

func (r *fakeRoom) write(w http.ResponseWriter, e roomEvent) {
	text, err := json.Marshal(e)
	if err != nil {
		return // cannot happen with what tests say
	}
	_, _ = fmt.Fprintf(w, "id: life-%d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, text) // the flush fails, too
}

func (r *fakeRoom) message(w http.ResponseWriter, req *http.Request) {
	var m map[string]any
	if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
		problem(w, http.StatusBadRequest, map[string]string{})
		return
	}
	r.mu.Lock()
	r.messages = append(r.messages, m)
	m["id"] = fmt.Sprintf("m%d", len(r.messages))
	r.mu.Unlock()
	r.say("message", m)
	w.WriteHeader(http.StatusCreated)
}

func (r *fakeRoom) renew(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh = append(r.refresh, strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	_, _ = w.Write([]byte("{}")) // the browser went away
}

// joined returns what the n-th join said, after waiting for it.
func (r *fakeRoom) joined(t *testing.T, n int) joinSeen {
	t.Helper()
	eventually(t, fmt.Sprintf("join %d", n), func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.joins) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.joins[n-1]
}

// onAirAs says that somebody publishes.
func (r *fakeRoom) onAirAs(publication, name string) {
	r.say("session.joined", map[string]any{"session": "s-" + publication, "role": "publisher", "publication": publication, "identity": publication, "name": name})
	r.say("publication.started", map[string]any{
		"publication": publication, "session": "s-" + publication, "identity": publication, "name": name,
		"whep": r.url + "/whep/garden/" + publication, "muted": map[string]bool{"audio": false, "video": false},
	})
}
