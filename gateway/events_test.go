package gateway_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
	"github.com/sluicemedia/sluice/whep"
)

// sseEvent is one event of a stream.
type sseEvent struct{ id, kind, data string }

// sse is an open event stream.
type sse struct {
	response *http.Response
	events   chan sseEvent // closed when the stream has ended
	stop     context.CancelFunc
	reading  sync.WaitGroup
	err      error // why it ended, nil: as it should; read when events is closed

	mu    sync.Mutex // guards lines
	lines []string   // all that came
}

// over is how a test speaks HTTP.
type over int

const (
	http1 over = iota
	http2
)

// client speaks HTTP of one version; its connections end with the test.
func (o over) client(t *testing.T) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(o == http1)
	protocols.SetUnencryptedHTTP2(o == http2)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// openStream reads an event stream until the test or the stream ends.
func openStream(t *testing.T, client *http.Client, url string, headers ...string) *sse {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	s := &sse{events: make(chan sseEvent, 256), stop: cancel}
	if s.response, err = client.Do(request); err != nil {
		cancel()
		t.Fatal(err)
	}
	s.reading.Go(s.read)
	t.Cleanup(s.close)
	return s
}

func (s *sse) close() {
	s.stop()
	s.reading.Wait()
}

func (s *sse) read() {
	defer close(s.events)
	defer s.response.Body.Close()
	lines := bufio.NewScanner(s.response.Body)
	var e sseEvent
	for lines.Scan() {
		line := lines.Text()
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && e.kind != "":
			s.events <- e
			e = sseEvent{}
		case field == "id":
			e.id = value
		case field == "event":
			e.kind = value
		case field == "data":
			e.data += value
		}
	}
	s.err = lines.Err()
}

// next waits for an event.
func (s *sse) next(t *testing.T) sseEvent {
	t.Helper()
	select {
	case e, ok := <-s.events:
		if !ok {
			t.Fatal("the stream has ended")
		}
		return e
	case <-time.After(patience):
		t.Fatal("no event came")
	}
	return sseEvent{}
}

// want waits for an event of a type, and for no other before it but counts of viewers.
func (s *sse) want(t *testing.T, kind whep.EventType) sseEvent {
	t.Helper()
	for {
		e := s.next(t)
		if e.kind == string(kind) {
			return e
		}
		if e.kind != string(whep.EventViewerCount) {
			t.Fatalf("got the event %+v, want %s", e, kind)
		}
	}
}

// ends waits for the end of the stream; events before it are fine.
func (s *sse) ends(t *testing.T) {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case _, ok := <-s.events:
			if !ok {
				return
			}
		case <-limit:
			t.Fatal("the stream goes on")
		}
	}
}

// links are the Links of a response by relation.
func links(t *testing.T, h http.Header) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, line := range h.Values("Link") {
		url, rest, ok := strings.Cut(strings.TrimPrefix(line, "<"), `>; rel="`)
		rel, parameters, quoted := strings.Cut(rest, `"`)
		if !ok || !quoted || strings.Contains(parameters, "<") {
			t.Fatalf("Link %q is not one link", line)
		}
		out[rel] = url
		out[rel+parameters] = url
	}
	return out
}

const relEvents = "urn:ietf:params:whep:ext:core:server-sent-events"

// watch opens a viewer's session and returns its path and its events URL.
func (n node) watch(t *testing.T, path string) (session, events string) {
	t.Helper()
	session, resp := n.post(t, path, "", offer(t, webrtc.RTPTransceiverDirectionRecvonly))
	got := links(t, resp.Header)
	if events = got[relEvents]; events != n.URL()+session+"/events" {
		t.Fatalf("the Link of the events is %q", events)
	}
	if _, ok := got[relEvents+`; events="active,inactive,layers,viewercount,reconnect"`]; !ok {
		t.Errorf("the Links are %q", got)
	}
	for rel := range got {
		if strings.HasPrefix(rel, "urn:ietf:params:whep:ext:") && !strings.HasPrefix(rel, "urn:ietf:params:whep:ext:core:") {
			t.Errorf("the relation %q is not registered", rel)
		}
	}
	return session, strings.TrimPrefix(events, n.URL())
}

// subscribe opens a stream and returns its path.
func (n node) subscribe(t *testing.T, events, body string) string {
	t.Helper()
	var headers []string
	if body != "" {
		headers = []string{"Content-Type", "application/json"}
	}
	resp := n.do(t, "POST", events, headers, body)
	if resp.StatusCode != http.StatusCreated || resp.Body != "" {
		t.Fatalf("POST %s %s: got %d %q, want 201", events, body, resp.StatusCode, resp.Body)
	}
	stream, ok := strings.CutPrefix(resp.Header.Get("Location"), n.URL())
	if !ok || !strings.HasPrefix(stream, events+"/") || len(stream)-len(events) < 40 {
		t.Fatalf("Location is %q", resp.Header.Get("Location"))
	}
	return stream
}

// TestEvents follows a session from before its publisher to its end.
func TestEvents(t *testing.T) {
	for name, version := range map[string]over{"HTTP/1.1": http1, "HTTP/2": http2} {
		t.Run(name, func(t *testing.T) {
			n := start(t)
			client := version.client(t)
			if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
				t.Fatal(err)
			}
			session, events := n.watch(t, "/whep/demo")
			chosen := openStream(t, client, n.URL()+n.subscribe(t, events, `["active","inactive"]`))
			all := openStream(t, client, n.URL()+n.subscribe(t, events, ""))
			if r := chosen.response; r.StatusCode != http.StatusOK || r.ProtoMajor != int(version)+1 || r.Header.Get("Content-Type") != "text/event-stream" || r.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("got %s %d %v", r.Proto, r.StatusCode, r.Header)
			}
			if e := all.next(t); e.kind != "viewercount" || e.data != `{"viewercount":1}` {
				t.Errorf("got %+v, want one viewer and no word that nobody is on air", e)
			}
			publisher := gatewaytest.Publish(t, n.URL(), "demo", 30, codecNamed(t, "VP8"))
			for _, s := range []*sse{chosen, all} {
				if e := s.want(t, whep.EventActive); e.data != "{}" || e.id == "" {
					t.Errorf("got %+v", e)
				}
			}
			late := openStream(t, client, n.URL()+n.subscribe(t, events, `["active","active"]`))
			if e := late.next(t); e.kind != "active" {
				t.Errorf("a late stream begins with %+v", e)
			}
			publisher.Close(t)
			for _, s := range []*sse{chosen, all} {
				if e := s.want(t, whep.EventInactive); e.data != "{}" {
					t.Errorf("got %+v", e)
				}
			}
			if err := n.Emit(session, whep.EventReconnect, whep.Reconnect{URL: "https://other.example/whep/demo"}); err != nil {
				t.Fatal(err)
			}
			if e := all.want(t, whep.EventReconnect); e.data != `{"url":"https://other.example/whep/demo"}` {
				t.Errorf("got %+v", e)
			}
			n.do(t, "DELETE", session, nil, "")
			for _, s := range []*sse{chosen, all, late} {
				s.ends(t)
			}
			if resp := n.do(t, "GET", strings.TrimPrefix(chosen.response.Request.URL.String(), n.URL()), nil, ""); resp.StatusCode != http.StatusNotFound {
				t.Errorf("a stream of a session that has ended: got %d", resp.StatusCode)
			}
			if chosen.lines[0] != "retry: 2000" {
				t.Errorf("the stream begins with %q", chosen.lines[0])
			}
		})
	}
}

// TestEventsOutliveTheWriteTimeout: the server's own deadlines are for requests
// that end.
func TestEventsOutliveTheWriteTimeout(t *testing.T) {
	t.Parallel()
	n := start(t)
	if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	session, events := n.watch(t, "/whep/demo")
	var streams []*sse
	for _, version := range []over{http1, http2} {
		streams = append(streams, openStream(t, version.client(t), n.URL()+n.subscribe(t, events, `["reconnect"]`)))
	}
	for _, s := range streams {
		limit := time.After(patience)
		for quiet := true; quiet; {
			select {
			case e, ok := <-s.events:
				t.Fatalf("got %+v, %t", e, ok)
			case <-limit:
				t.Fatal("no keepalive came")
			case <-time.After(100 * time.Millisecond):
				s.mu.Lock()
				quiet = s.lines[len(s.lines)-1] == "" && len(s.lines) < 4
				s.mu.Unlock()
			}
		}
		if s.lines[2] != ":" {
			t.Errorf("got %q, want a comment", s.lines)
		}
	}
	if err := n.Emit(session, whep.EventReconnect, whep.Reconnect{}); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		if e := s.next(t); e.kind != "reconnect" || e.data != "{}" {
			t.Errorf("got %+v", e)
		}
	}
}

// TestEventRequests: what is refused, and what a stream is after its end.
func TestEventRequests(t *testing.T) {
	n := start(t)
	if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	session, events := n.watch(t, "/whep/demo")
	publisher, created := n.post(t, "/whip/demo", "", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	for rel := range links(t, created.Header) {
		if strings.HasPrefix(rel, "urn:ietf:params:whip:ext") {
			t.Errorf("the relation %q is not registered", rel)
		}
	}
	stream := n.subscribe(t, events, `["active"]`)
	asJSON := []string{"Content-Type", "application/json"}
	for _, tc := range []struct {
		name, method, path string
		headers            []string
		body               string
		status             int
		problem, detail    string
	}{
		{"an unknown type", "POST", events, asJSON, `["active","bogus","scte35"]`, 400, "events-unknown", `"bogus", "scte35"`},
		{"an object", "POST", events, asJSON, `{}`, 400, "json-malformed", "array"},
		{"no types", "POST", events, asJSON, `[]`, 400, "json-malformed", "array"},
		{"no JSON", "POST", events, asJSON, `[`, 400, "json-malformed", "array"},
		{"numbers", "POST", events, asJSON, `[1]`, 400, "json-malformed", "array"},
		{"another media type", "POST", events, []string{"Content-Type", "text/plain"}, `["active"]`, 415, "media-type", ""},
		{"too much", "POST", events, asJSON, strings.Repeat(" ", 65<<10), 413, "too-large", ""},
		{"no such session", "POST", "/s/n1.nothing/events", asJSON, `["active"]`, 404, "session-not-found", ""},
		{"a publisher", "POST", publisher + "/events", nil, "", 404, "session-not-found", ""},
		{"no such stream", "GET", events + "/nothing", nil, "", 404, "stream-not-found", ""},
		{"the end of no such stream", "DELETE", events + "/nothing", nil, "", 404, "stream-not-found", ""},
		{"a method", "PATCH", stream, nil, "", 405, "method-not-allowed", ""},
	} {
		resp := n.do(t, tc.method, tc.path, tc.headers, tc.body)
		got := decode[problem](t, resp)
		if resp.StatusCode != tc.status || got.Type != "/problems/"+tc.problem || !strings.Contains(got.Detail, tc.detail) {
			t.Errorf("%s: got %d %+v, want %d %s", tc.name, resp.StatusCode, got, tc.status, tc.problem)
		}
	}
	if resp := n.do(t, "HEAD", stream, nil, ""); resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: got %d %v", resp.StatusCode, resp.Header)
	}
	if resp := n.do(t, "HEAD", events, nil, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("HEAD of the Link URL: got %d", resp.StatusCode)
	}
	if resp := n.do(t, "OPTIONS", events, []string{"Origin", "https://player.example"}, ""); resp.StatusCode != http.StatusOK || resp.Header.Get("Accept-Post") != "application/json" || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("OPTIONS: got %d %v", resp.StatusCode, resp.Header)
	}
	open := openStream(t, http1.client(t), n.URL()+stream)
	if resp := n.do(t, "DELETE", stream, nil, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("DELETE: got %d", resp.StatusCode)
	}
	open.ends(t)
	for _, method := range []string{"GET", "DELETE"} {
		if resp := n.do(t, method, stream, nil, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s after DELETE: got %d", method, resp.StatusCode)
		}
	}
	for range 4 {
		n.subscribe(t, events, "")
	}
	if resp := n.do(t, "POST", events, nil, ""); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the fifth stream: got %d", resp.StatusCode)
	}
	if resp := n.do(t, "GET", session, nil, ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("the session: got %d", resp.StatusCode)
	}
}

// TestEventsNeedNoToken: EventSource cannot send one. A wrong one is refused.
func TestEventsNeedNoToken(t *testing.T) {
	n := start(t, withTokens(t))
	if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	session, _ := n.post(t, "/whep/demo", "watch-key-1", offer(t, webrtc.RTPTransceiverDirectionRecvonly))
	stream := n.subscribe(t, session+"/events", "")
	s := openStream(t, http1.client(t), n.URL()+stream)
	if s.response.StatusCode != http.StatusOK {
		t.Errorf("without a token: got %d", s.response.StatusCode)
	}
	for _, path := range []string{stream, session + "/events"} {
		if resp := n.do(t, "GET", path, []string{"Authorization", "Bearer wrong-token"}, ""); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("with a wrong token: got %d", resp.StatusCode)
		}
	}
}

// TestLinkURLStreams: a GET of the Link URL opens a stream too, one for the
// session: who comes back goes on where he left.
func TestLinkURLStreams(t *testing.T) {
	n := start(t)
	if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	session, events := n.watch(t, "/whep/demo")
	client := http1.client(t)
	emit := func(url string) {
		t.Helper()
		if err := n.Emit(session, whep.EventReconnect, whep.Reconnect{URL: url}); err != nil {
			t.Fatal(err)
		}
	}
	first := openStream(t, client, n.URL()+events)
	emit("1")
	last := first.want(t, whep.EventReconnect)
	second := openStream(t, client, n.URL()+events)
	first.ends(t)
	second.close()
	emit("2")
	again := openStream(t, client, n.URL()+events, "Last-Event-ID", last.id)
	if e := again.want(t, whep.EventReconnect); e.data != `{"url":"2"}` {
		t.Errorf("after Last-Event-ID %s: got %+v", last.id, e)
	}
}

// TestEventsDoNotHoldUpTheStop: streams are requests that do not end by themselves.
func TestEventsDoNotHoldUpTheStop(t *testing.T) {
	n := start(t)
	if _, err := n.Rooms().Create("demo", gatewaytest.Waiting()); err != nil {
		t.Fatal(err)
	}
	_, events := n.watch(t, "/whep/demo")
	var streams []*sse
	for _, version := range []over{http1, http2} {
		streams = append(streams, openStream(t, version.client(t), n.URL()+n.subscribe(t, events, "")))
	}
	began := time.Now()
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	// An idle connection of HTTP/2 takes a second of its own to go.
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the stop took %v", took)
	}
	for _, s := range streams {
		s.ends(t)
		if s.err != nil { // it was cut off: the stop waited for it
			t.Errorf("%s: the stream ended with %v", s.response.Proto, s.err)
		}
	}
}
