package conformance

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeWHEP is a WHEP server without media whose room is always on air. It does
// right what requests alone can see, but for one fault.
type fakeWHEP struct {
	fault string
	base  string

	mu       sync.Mutex // guards what follows
	sessions map[string]*fakeSession
}

// fakeSession is a session of a fakeWHEP; Fakes do not restart ICE.
type fakeSession struct {
	patches int
	open    bool // an offer of the server's waits for its answer
	until   time.Time
	streams map[string]chan struct{} // closed when the stream ends
}

// newFakeWHEP starts a server and returns the URL of its endpoint.
func newFakeWHEP(t *testing.T, fault string) string {
	t.Helper()
	f := &fakeWHEP{fault: fault, sessions: map[string]*fakeSession{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.base = server.URL
	return server.URL + "/whep/room"
}

const fakeTag = `"fake"`

func (f *fakeWHEP) is(fault string) bool { return f.fault == fault }

func (f *fakeWHEP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Headers", "authorization, content-type, if-match")
	h.Set("Access-Control-Allow-Methods", "POST, PATCH, DELETE")
	h.Set("Access-Control-Expose-Headers", "Location, ETag, Link")
	if f.is("no-cors") {
		h.Del("Access-Control-Allow-Origin")
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodOptions:
		h.Set("Accept-Post", typeSDP)
	case parts[0] == "whep" && len(parts) == 2 && strings.HasSuffix(r.URL.Path, "room"):
		f.endpoint(w, r)
	case parts[0] == "s" && len(parts) >= 2:
		f.mu.Lock()
		s := f.sessions[parts[1]]
		f.mu.Unlock()
		switch {
		case s == nil && r.Method == http.MethodDelete && f.is("any-deleted"):
		case s == nil || s.open && time.Now().After(s.until) && !f.is("offer-for-ever"):
			w.WriteHeader(http.StatusNotFound)
		case len(parts) == 2:
			f.session(w, r, parts[1], s)
		default:
			f.events(w, r, parts, s)
		}
	case f.is("redirects"):
		http.Redirect(w, r, f.base+"/whep/room", http.StatusMovedPermanently)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (f *fakeWHEP) endpoint(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		f.head(w, r)
	case http.MethodPost:
		f.post(w, r)
	default:
		if !f.is("no-allow") {
			w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		}
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// head writes by hand what net/http would not let a handler write.
func (f *fakeWHEP) head(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && f.is("head-body") {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: 4\r\n\r\nbody") // the client will tell
			_ = conn.Close()                                                                                                 // as above
		}
		return
	}
	if r.Method == http.MethodHead || !f.is("get-type") {
		w.Header().Set("Content-Type", typeSDP)
	}
	if r.Method == http.MethodHead && f.is("head-405") {
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (f *fakeWHEP) post(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what did not come is malformed
	offer := string(body)
	o := describe(offer)
	vp8Alone := !strings.Contains(offer, "H264") && !strings.Contains(offer, "opus")
	own := Offer(opusSection("sendonly"), h264Section("sendonly"))
	switch {
	case mediaType(r.Header.Get("Content-Type")) != typeSDP:
		w.WriteHeader(http.StatusUnsupportedMediaType)
	case len(body) == 0:
		f.create(w, http.StatusCreated, own, true)
	case !strings.Contains(offer, "a=fingerprint:sha-256") || strings.ContainsRune(offer, 0):
		w.WriteHeader(cmp.Or(map[string]int{"malformed-500": 500}[f.fault], http.StatusUnprocessableEntity))
	case vp8Alone && (r.Header.Get("Prefer") != "" || f.is("406-unasked")):
		if f.is("counter-active") {
			own = Edit(own, "a=setup:actpass", "a=setup:active")
		}
		f.create(w, http.StatusNotAcceptable, own, true)
	case vp8Alone || slices.Contains(o.directions(&o.sections[0]), "sendonly"):
		w.WriteHeader(http.StatusUnprocessableEntity)
	case strings.Contains(offer, "a=sendrecv") && f.is("sendrecv-refused"):
		w.WriteHeader(http.StatusUnprocessableEntity)
	default:
		f.create(w, http.StatusCreated, answerTo(offer, "sendonly"), false)
	}
}

// create makes a session.
func (f *fakeWHEP) create(w http.ResponseWriter, status int, text string, open bool) {
	id := randomText(16)
	s := &fakeSession{open: open, streams: map[string]chan struct{}{}, until: time.Now().Add(3 * time.Second)}
	if f.is("offer-too-short") {
		s.until = time.Now()
	}
	f.mu.Lock()
	if f.is("guessable") {
		id = fmt.Sprintf("session%d", len(f.sessions))
	}
	f.sessions[id] = s
	f.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", typeSDP)
	if status == http.StatusNotAcceptable {
		h.Set("Content-Type", fmt.Sprintf(`%s; valid-until="%s"`, typeSDP, time.Now().Add(3*time.Second).UTC().Format(http.TimeFormat)))
		if f.is("valid-until") {
			h.Set("Content-Type", typeSDP+"; valid-until=tomorrow")
		}
	}
	h.Set("ETag", cmp.Or(map[string]string{"weak-tag": "W/" + fakeTag}[f.fault], fmt.Sprintf(`"%s"`, id[:6]+id[len(id)-6:])))
	h.Set("Location", f.base+"/s/"+id)
	h.Add("Link", fmt.Sprintf(`<%s/s/%s/events>; rel="%s"; events="active,inactive"`, f.base, id, relEvents))
	if f.is("unregistered") {
		h.Add("Link", `<https://server.example/x>; rel="urn:ietf:params:whep:ext:made-up"`)
	}
	if f.is("stun-slashes") {
		h.Add("Link", `<stun://stun.example:3478>; rel="ice-server"`)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client will tell
}

func (f *fakeWHEP) session(w http.ResponseWriter, r *http.Request, id string, s *fakeSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodDelete:
		if r.Header.Get("If-Match") != "" && f.is("delete-if-match") {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		for _, end := range s.streams {
			if !f.is("streams-outlive") {
				close(end)
			}
		}
		delete(f.sessions, id)
	case http.MethodPatch:
		f.patch(w, r, s)
	default:
		w.Header().Set("Allow", "GET, HEAD, PATCH, DELETE, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (f *fakeWHEP) patch(w http.ResponseWriter, r *http.Request, s *fakeSession) {
	body, _ := io.ReadAll(r.Body) // what did not come is malformed
	text, match := string(body), r.Header.Get("If-Match")
	kind := mediaType(r.Header.Get("Content-Type"))
	if s.patches++; s.patches > 100 && !f.is("unlimited") || s.patches > 12 && f.is("burst-refused") {
		w.Header().Set("Retry-After", "1")
		s.patches = 0
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	switch {
	case s.open && kind == typeSDP:
		if !strings.Contains(text, "a=recvonly") && (!strings.Contains(text, "m=") || !f.is("sendonly-answer")) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		s.open = f.is("answered-twice")
	case s.open:
		w.WriteHeader(http.StatusConflict)
		return
	case kind == typeSDP && f.is("sdp-taken"):
	case kind != typeFragment:
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	case match == "" && !f.is("if-match-unasked"):
		w.WriteHeader(http.StatusPreconditionRequired)
		return
	case match == `"nope"` || strings.HasPrefix(match, "W/"):
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	case !strings.Contains(text, "a=ice-ufrag:"):
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if f.is("etag-on-204") {
		w.Header().Set("ETag", fakeTag)
	}
	w.WriteHeader(http.StatusNoContent)
}

// events serves the Link URL and the streams.
func (f *fakeWHEP) events(w http.ResponseWriter, r *http.Request, parts []string, s *fakeSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body) // what did not come is unknown
		if strings.Contains(string(body), "bogus") && !f.is("bogus-taken") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		id := strings.ReplaceAll(strings.Trim(string(body), "[]"), `"`, "") + "." + randomText(8)
		s.streams[id] = make(chan struct{})
		w.Header().Set("Location", r.URL.Path+"/"+id)
		w.WriteHeader(http.StatusCreated)
		return
	}
	id := parts[len(parts)-1]
	end := s.streams[id]
	switch {
	case end == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		if !f.is("undeletable") {
			close(end)
			delete(s.streams, id)
		}
	default:
		f.mu.Unlock()
		defer f.mu.Lock()
		f.stream(w, r, id, end)
	}
}

func (f *fakeWHEP) stream(w http.ResponseWriter, r *http.Request, id string, end <-chan struct{}) {
	w.Header().Set("Content-Type", cmp.Or(map[string]string{"stream-type": "text/plain"}[f.fault], "text/event-stream"))
	w.Header().Set("Cache-Control", "no-store")
	event := "id: 1\nevent: active\ndata: {}\n\n"
	switch {
	case f.is("two-lines"):
		event = "event: active\ndata: {\ndata: }\n\n"
	case f.is("no-event"), !strings.Contains(id, ",") && strings.HasPrefix(id, "inactive") && !f.is("all-types"):
		event = ":\n\n"
	}
	_, _ = io.WriteString(w, event) // the client will tell
	_ = http.NewResponseController(w).Flush()
	select {
	case <-end:
	case <-r.Context().Done():
	}
}

// judgeFake runs one check, or those of a group, and returns the results.
func judgeFake(t *testing.T, endpoint string, only ...string) []Result {
	t.Helper()
	report, err := Run(t.Context(), Target{WHEP: endpoint, Only: only})
	if err != nil {
		t.Fatal(err)
	}
	return report.Results
}

// TestFakeIsRight wants nothing that binds to fail on the server without a fault:
// else the next test would prove nothing.
func TestFakeIsRight(t *testing.T) {
	t.Parallel()
	only := []string{"WHEP-CTR-05"}
	for _, c := range Checks() {
		ours := selected(c.ID, []string{
			"WHEP-HTTP", "WHEP-POST", "WHEP-CTR", "WHEP-OLD", "WHEP-PATCH", "WHEP-TRK", "WHEP-DEL",
			"WHEP-LB", "WHEP-EXT", "WHEP-LINK", "WHEP-SEC", "WHEP-SSE",
		})
		if ours && !c.Patient && c.ID != "WHEP-CTR-08" && c.ID != "WHEP-DEL-04" && c.ID != "WHEP-DEL-05" { // those want media
			only = append(only, c.ID)
		}
	}
	passed := 0
	for _, r := range judgeFake(t, newFakeWHEP(t, ""), only...) {
		switch {
		case r.Result == Pass:
			passed++
		case r.Result == Fail && (r.Level.Binding() || r.Level.Advised()):
			t.Errorf("%s: %s", r.ID, r.Detail)
		}
	}
	if passed < 40 {
		t.Errorf("got %d passed, want 40 at least", passed)
	}
}

// TestChecksFindFaults breaks one rule at a time and wants its check to tell.
func TestChecksFindFaults(t *testing.T) {
	for fault, check := range map[string]string{
		"head-405": "WHEP-HTTP-02", "get-type": "WHEP-HTTP-04", "head-body": "WHEP-HTTP-05", "no-allow": "WHEP-HTTP-09",
		"malformed-500": "WHEP-POST-02", "sendrecv-refused": "WHEP-POST-04",
		"weak-tag": "WHEP-PATCH-03", "if-match-unasked": "WHEP-PATCH-04", "etag-on-204": "WHEP-TRK-02", "burst-refused": "WHEP-TRK-06",
		"delete-if-match": "WHEP-DEL-02", "any-deleted": "WHEP-DEL-03", "no-cors": "WHEP-DEL-07", "redirects": "WHEP-LB-01",
		"unregistered": "WHEP-EXT-03", "stun-slashes": "WHEP-LINK-02", "unlimited": "WHEP-SEC-01", "guessable": "WHEP-SEC-02",
		"406-unasked": "WHEP-CTR-17", "counter-active": "WHEP-CTR-07", "valid-until": "WHEP-CTR-04", "answered-twice": "WHEP-CTR-10",
		"sdp-taken": "WHEP-CTR-10", "sendonly-answer": "WHEP-CTR-11", "offer-for-ever": "WHEP-CTR-05", "offer-too-short": "WHEP-CTR-05",
		"bogus-taken": "WHEP-SSE-05", "stream-type": "WHEP-SSE-07", "two-lines": "WHEP-SSE-08", "all-types": "WHEP-SSE-09",
		"no-event": "WHEP-SSE-10", "undeletable": "WHEP-SSE-12", "streams-outlive": "WHEP-SSE-13",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			r := judgeFake(t, newFakeWHEP(t, fault), check)[0]
			if r.Result != Fail {
				t.Errorf("%s: got %s (%s), want a failure", check, r.Result, r.Detail)
			}
		})
	}
}
