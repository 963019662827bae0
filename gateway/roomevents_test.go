package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// roomEvent waits for an event of a type; others before it are fine.
func (s *sse) roomEvent(t *testing.T, kind events.Type) events.Event {
	t.Helper()
	for {
		got := s.next(t)
		if got.kind != string(kind) {
			continue
		}
		var e events.Event
		if err := json.Unmarshal([]byte(got.data), &e); err != nil {
			t.Fatalf("%s: %v", got.data, err)
		}
		return e
	}
}

// TestRoomEvents follows a room by server-sent events, over both versions of HTTP.
func TestRoomEvents(t *testing.T) {
	for name, version := range map[string]over{"HTTP/1.1": http1, "HTTP/2": http2} {
		t.Run(name, func(t *testing.T) {
			n := start(t)
			client := version.client(t)
			s := openStream(t, client, n.LocalURL()+"/v1/rooms/demo/events")
			if got := s.response.Header.Get("Content-Type"); got != "text/event-stream" {
				t.Fatalf("got %d %q", s.response.StatusCode, got)
			}
			s.roomEvent(t, events.Snapshot)
			posted := n.do(t, "POST", "/v1/rooms/demo/messages", []string{"Content-Type", "application/json"}, `{"text":"hello"}`)
			if posted.StatusCode != http.StatusCreated {
				t.Fatalf("got %d %s", posted.StatusCode, posted.Body)
			}
			first := s.next(t)
			if first.kind != string(events.MessageSent) || first.data != posted.Body {
				t.Errorf("got the event %+v, want %s", first, posted.Body)
			}
			s.close()

			n.do(t, "POST", "/v1/rooms/demo/messages", []string{"Content-Type", "application/json"}, `{"kind":"wave","body":{"n":1}}`)
			again := openStream(t, client, n.LocalURL()+"/v1/rooms/demo/events", "Last-Event-ID", first.id)
			second := again.next(t)
			var e events.Event
			var m events.Message
			if err := json.Unmarshal([]byte(second.data), &e); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(e.Data, &m); err != nil {
				t.Fatal(err)
			}
			if e.Seq != 2 || m.Kind != "wave" || string(m.Body) != `{"n":1}` {
				t.Errorf("got %+v after the first event, want the second", second)
			}

			listed := n.do(t, "GET", "/v1/rooms/demo/messages", nil, "")
			if listed.StatusCode != http.StatusOK || strings.Count(listed.Body, `"type":"message"`) != 2 {
				t.Errorf("got %d %s, want both messages", listed.StatusCode, listed.Body)
			}
		})
	}
}

// TestRoomEventsWebSocket talks both ways over one connection.
func TestRoomEventsWebSocket(t *testing.T) {
	n := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, n.LocalURL()+"/v1/rooms/demo/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }() // it may have ended
	read := func() (got struct {
		events.Event
		Ref, ID string
		Problem struct{ Type string }
	},
	) {
		t.Helper()
		_, text, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return got
	}
	say := func(text string) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(); got.Type != events.Snapshot {
		t.Fatalf("got %+v first, want a snapshot", got)
	}
	say(`{"type":"message","text":"hello","ref":"7"}`)
	var seen []events.Type
	for range 2 {
		got := read()
		seen = append(seen, got.Type)
		if got.Seq != 1 || got.Type == "ack" && (got.Ref != "7" || got.ID == "") {
			t.Errorf("got %+v", got)
		}
	}
	if seen[0] == seen[1] {
		t.Errorf("got %v, want the event and its acknowledgement", seen)
	}
	for text, want := range map[string]string{
		`{"type":"dance","ref":"8"}`:   "/problems/json-malformed",
		`{"type":"message","text":""}`: "/problems/field-invalid",
		`no`:                           "/problems/json-malformed",
	} {
		say(text)
		if got := read(); got.Type != "error" || got.Problem.Type != want {
			t.Errorf("%s: got %+v, want %s", text, got, want)
		}
	}
	began := time.Now()
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the node took %v to stop", took)
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("got %v at the end of the node, want 1001", err)
	}
}

// TestRoomEventsAreGuarded asks with all kinds of tokens.
func TestRoomEventsAreGuarded(t *testing.T) {
	n := start(t, withTokens(t))
	for _, c := range []struct {
		headers []string
		want    int
	}{
		{nil, http.StatusUnauthorized},
		{[]string{"Authorization", "Bearer wrong-token"}, http.StatusUnauthorized},
		{[]string{"Authorization", "Bearer other-room-key"}, http.StatusForbidden},
		{[]string{"Authorization", "Bearer record-key-1"}, http.StatusForbidden},
		{[]string{"Authorization", "Bearer moderate-key"}, http.StatusOK},
		{[]string{"Authorization", "Bearer watch-key-1"}, http.StatusOK},
		{[]string{"Sec-WebSocket-Protocol", events.Subprotocol + ", bearer.watch-key-1"}, http.StatusOK},
	} {
		if got := n.do(t, "HEAD", "/v1/rooms/demo/events", c.headers, ""); got.StatusCode != c.want {
			t.Errorf("events with %v: got %d, want %d", c.headers, got.StatusCode, c.want)
		}
		want := c.want
		if want == http.StatusOK {
			want = http.StatusCreated
		}
		got := n.do(t, "POST", "/v1/rooms/demo/messages", append(c.headers, "Content-Type", "application/json"), `{"text":"hello"}`)
		if got.StatusCode != want {
			t.Errorf("messages with %v: got %d, want %d", c.headers, got.StatusCode, want)
		}
	}
}

// TestMessagesAreBounded has one participant send more than he may: he is told
// so and when to come back, and nobody else pays for it.
func TestMessagesAreBounded(t *testing.T) {
	n := start(t, withTokens(t))
	post := func(token string) answer {
		return n.do(t, "POST", "/v1/rooms/demo/messages", append([]string{"Authorization", "Bearer " + token}, asJSON...), `{"text":"hello"}`)
	}
	const flood, workers = 240, 16 // nine seconds' worth
	answers := make(chan answer, flood)
	var sending sync.WaitGroup
	for range workers {
		sending.Go(func() {
			for range flood / workers {
				answers <- post("watch-key-1")
			}
		})
	}
	sending.Wait()
	close(answers)
	sent, refused := 0, 0
	for a := range answers {
		switch {
		case a.StatusCode == http.StatusCreated:
			sent++
		case problemName(t, a) != "too-many-messages" || a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "":
			t.Fatalf("got %d %v %s", a.StatusCode, a.Header, a.Body)
		default:
			refused++
		}
	}
	if sent < 60 || refused == 0 {
		t.Errorf("%d messages were sent and %d refused, want 60 at once and no more than 20 a second", sent, refused)
	}
	if got := post("moderate-key"); got.StatusCode != http.StatusCreated {
		t.Errorf("somebody else: got %d %s", got.StatusCode, got.Body)
	}
	eventually(t, "the flooder may send again", func() bool { return post("watch-key-1").StatusCode == http.StatusCreated })
}

// TestMessagesAreBoundedOverAWebSocket is the same where there is no status.
func TestMessagesAreBoundedOverAWebSocket(t *testing.T) {
	n := start(t, withTokens(t))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, n.LocalURL()+"/v1/rooms/demo/events", &websocket.DialOptions{
		Subprotocols: []string{events.Subprotocol, "bearer.watch-key-1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }() // it may have ended
	conn.SetReadLimit(1 << 20)             // the snapshot has messages
	var writing sync.WaitGroup
	writing.Go(func() {
		for range 200 { // the WebSocket itself is ended by more than 300 at once
			if conn.Write(ctx, websocket.MessageText, []byte(`{"type":"message","text":"hello"}`)) != nil {
				return
			}
		}
	})
	defer writing.Wait()
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Type    string
			Problem struct {
				Type   string
				Status int
			}
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got.Type == "error" {
			if got.Problem.Type != "/problems/too-many-messages" || got.Problem.Status != http.StatusTooManyRequests {
				t.Errorf("got %s", text)
			}
			return
		}
	}
}

// wantOrder reads events until one of each type has come, and holds them
// against the order in which they must come.
func (s *sse) wantOrder(t *testing.T, kinds ...events.Type) []events.Event {
	t.Helper()
	var got []events.Event
	for _, kind := range kinds {
		got = append(got, s.roomEvent(t, kind))
		if n := len(got); n > 1 && got[n-1].Seq <= got[n-2].Seq {
			t.Errorf("%s has the number %d, after %d", kind, got[n-1].Seq, got[n-2].Seq)
		}
	}
	return got
}

func dataOf[T any](t *testing.T, e events.Event) (v T) {
	t.Helper()
	if err := json.Unmarshal(e.Data, &v); err != nil {
		t.Fatalf("%s: %v", e.Data, err)
	}
	return v
}

// TestRoomTellsOfItsSessions lets a publisher and a viewer come and go, and ends
// the room.
func TestRoomTellsOfItsSessions(t *testing.T) {
	n := start(t)
	if resp := n.do(t, "POST", "/v1/rooms", asJSON, `{"name":"demo","wait":true}`); resp.StatusCode != http.StatusCreated {
		t.Fatalf("got %d", resp.StatusCode)
	}
	s := openStream(t, http1.client(t), n.LocalURL()+"/v1/rooms/demo/events")
	s.roomEvent(t, events.Snapshot)

	vp8, opus := codecNamed(t, "VP8"), codecNamed(t, "opus")
	publisher := gatewaytest.Publish(t, n.LocalURL(), "demo", 30, vp8, opus)
	got := s.wantOrder(t, events.SessionJoined, events.PublicationStarted, events.ProgramChanged)
	joined, started := dataOf[events.Session](t, got[0]), dataOf[events.Publication](t, got[1])
	if joined.Role != "publisher" || joined.Publication != "main" || joined.Session == "" {
		t.Errorf("joined: got %+v", joined)
	}
	if started.Session != joined.Session || started.Publication != "main" || started.WHEP != n.URL()+"/whep/demo/main" {
		t.Errorf("started: got %+v, want that of %+v", started, joined)
	}
	viewer := gatewaytest.View(t, n.LocalURL(), "demo", vp8, opus)
	watching := dataOf[events.Session](t, s.roomEvent(t, events.SessionJoined))
	if watching.Role != "viewer" {
		t.Errorf("joined: got %+v, want the viewer", watching)
	}

	late := openStream(t, http1.client(t), n.LocalURL()+"/v1/rooms/demo/events")
	room := dataOf[events.Beginning](t, late.roomEvent(t, events.Snapshot))
	if len(room.Sessions) != 2 || room.Sessions[0] != joined || room.Sessions[1] != watching ||
		len(room.Publications) != 1 || room.Publications[0] != started || room.Program == nil || *room.Program != "main" {
		t.Errorf("got the snapshot %+v", room)
	}

	viewer.Close(t)
	if left := dataOf[events.Session](t, s.roomEvent(t, events.SessionLeft)); left.Session != watching.Session || left.Cause == "" {
		t.Errorf("left: got %+v, want the viewer and why", left)
	}
	publisher.Close(t)
	got = s.wantOrder(t, events.PublicationStopped, events.SessionLeft)
	if left := dataOf[events.Session](t, got[1]); left.Session != joined.Session {
		t.Errorf("left: got %+v, want the publisher", left)
	}

	gatewaytest.Publish(t, n.LocalURL(), "demo", 30, vp8)
	s.roomEvent(t, events.PublicationStarted)
	if resp := n.do(t, "DELETE", "/v1/rooms/demo", nil, ""); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("got %d", resp.StatusCode)
	}
	s.wantOrder(t, events.PublicationStopped, events.SessionLeft, events.RoomEnded)
	s.ends(t)
}

// TestRoomTellsOfTheEndOfTheNode stops the node under a publisher: who listens
// is told that it left, and why, before the stream ends.
func TestRoomTellsOfTheEndOfTheNode(t *testing.T) {
	n := start(t)
	s := openStream(t, http1.client(t), n.LocalURL()+"/v1/rooms/demo/events")
	s.roomEvent(t, events.Snapshot)
	gatewaytest.Publish(t, n.LocalURL(), "demo", 30, codecNamed(t, "VP8"))
	s.roomEvent(t, events.PublicationStarted)
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	got := s.wantOrder(t, events.PublicationStopped, events.SessionLeft)
	if left := dataOf[events.Session](t, got[1]); left.Cause != "drained" {
		t.Errorf("got %+v, want the cause drained", left)
	}
	s.ends(t)
}

// TestNodesEndIsNotTheRooms stops a node under somebody who listens to a room
// that was made: the room is there again after the node, and so it has not ended.
func TestNodesEndIsNotTheRooms(t *testing.T) {
	n := start(t)
	n.create(t, "", `{"name":"demo","locked":true}`)
	s := openStream(t, http1.client(t), n.LocalURL()+"/v1/rooms/demo/events")
	s.roomEvent(t, events.Snapshot)
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	limit := time.After(patience)
	for {
		select {
		case got, more := <-s.events:
			if !more {
				return
			}
			if got.kind == string(events.RoomEnded) {
				t.Error("the room has ended with the node")
			}
		case <-limit:
			t.Fatal("the stream goes on")
		}
	}
}

// TestUnmadeRoomsEnd deletes a room that nobody made.
func TestUnmadeRoomsEnd(t *testing.T) {
	n := start(t)
	s := openStream(t, http1.client(t), n.LocalURL()+"/v1/rooms/demo/events")
	s.roomEvent(t, events.Snapshot)
	gatewaytest.Publish(t, n.LocalURL(), "demo", 30, codecNamed(t, "VP8"))
	s.roomEvent(t, events.PublicationStarted)
	if resp := n.do(t, "DELETE", "/v1/rooms/demo", nil, ""); resp.StatusCode != http.StatusNoContent {
		t.Fatalf("got %d", resp.StatusCode)
	}
	s.wantOrder(t, events.PublicationStopped, events.SessionLeft, events.RoomEnded)
	s.ends(t)
}
