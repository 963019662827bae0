package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/sluicemedia/sluice/events"
)

// TestStreamsEndWithTheRoom reads rooms to their end in every way.
func TestStreamsEndWithTheRoom(t *testing.T) {
	for _, how := range ways {
		t.Run(how.name, func(t *testing.T) {
			h := events.NewHub(events.Config{})
			srv := serve(t, h)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r, err := how.open(ctx, srv.url, "", (&net.Dialer{}).DialContext)
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			if e, err := r.next(); err != nil || e.Type != events.Snapshot {
				t.Fatalf("got %+v, %v", e, err)
			}
			h.End("demo")
			if e, err := r.next(); err != nil || e.Type != events.RoomEnded {
				t.Fatalf("got %+v, %v, want the end of the room", e, err)
			}
			if e, err := r.next(); err == nil {
				t.Errorf("got %+v after the end", e)
			} else if c := websocket.CloseStatus(err); c != -1 && c != websocket.StatusNormalClosure {
				t.Errorf("the WebSocket ended with %v, want 1000", c)
			}
		})
	}
}

// TestStreamsEndWithTheirTime ends the time of readers. A WebSocket is told why.
func TestStreamsEndWithTheirTime(t *testing.T) {
	for _, how := range ways {
		t.Run(how.name, func(t *testing.T) {
			h := events.NewHub(events.Config{})
			srv := serve(t, h)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r, err := how.open(ctx, srv.url, "", (&net.Dialer{}).DialContext)
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			if e, err := r.next(); err != nil || e.Type != events.Snapshot {
				t.Fatalf("got %+v, %v", e, err)
			}
			h.Publish("demo", events.MessageSent, events.Message{Text: "hello"})
			if e, err := r.next(); err != nil || e.Type != events.MessageSent {
				t.Fatalf("got %+v, %v", e, err)
			}
			close(srv.over)
			e, err := r.next()
			if err == nil {
				t.Fatalf("got %+v after the end", e)
			}
			if c := websocket.CloseStatus(err); c != -1 && c != websocket.StatusPolicyViolation || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the stream ended with %v, want 1008 of a WebSocket", err)
			}
			if h.Publish("demo", events.MessageSent, events.Message{Text: "hello"}).Seq != 2 {
				t.Error("the room has ended with its reader")
			}
		})
	}
}

// TestStreamsTellOfTheEnd closes the hub right after the last events, as a node
// does that stops: readers get them all.
func TestStreamsTellOfTheEnd(t *testing.T) {
	for _, how := range ways {
		t.Run(how.name, func(t *testing.T) {
			h := events.NewHub(events.Config{})
			srv := serve(t, h)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r, err := how.open(ctx, srv.url, "", (&net.Dialer{}).DialContext)
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			if e, err := r.next(); err != nil || e.Type != events.Snapshot {
				t.Fatalf("got %+v, %v", e, err)
			}
			const last = 600 // more than one batch
			for range last {
				h.Publish("demo", events.MessageSent, events.Message{Text: "bye"})
			}
			h.Close()
			for i := range last {
				if e, err := r.next(); err != nil || e.Seq != uint64(i+1) {
					t.Fatalf("got %+v, %v, want event %d", e, err, i+1)
				}
			}
			if e, err := r.next(); err == nil {
				t.Errorf("got %+v after the end", e)
			} else if c := websocket.CloseStatus(err); c != -1 && c != websocket.StatusGoingAway {
				t.Errorf("the WebSocket ended with %v, want 1001", c)
			}
		})
	}
}

// TestStuckReadersHoldNobodyUp has readers who take nothing from their
// connections: events flow on, and the end of the hub does not wait for them.
func TestStuckReadersHoldNobodyUp(t *testing.T) {
	h := events.NewHub(events.Config{MaxEvents: 5000, MaxBytes: 64 << 20, History: func(string) int { return 1 }})
	srv := serve(t, h)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(srv.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(patience)
	for h.Stats().Listeners < 2 {
		if time.Now().After(deadline) {
			t.Fatal("the readers do not come")
		}
		time.Sleep(time.Millisecond)
	}
	long := strings.Repeat("x", events.MaxText)
	for range 4000 { // more than sockets hold
		h.Publish("demo", events.MessageSent, events.Message{Text: long})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := ways[0].open(ctx, srv.url, "", (&net.Dialer{}).DialContext)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if e, err := r.next(); err != nil || e.Type != events.Snapshot {
		t.Errorf("a reader beside stuck ones: got %v, %v", e.Type, err)
	}
	// The cleanup of serve ends them all, and does so before their deadlines.
}

// TestSignsOfLife waits in a room in which nothing happens.
func TestSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := events.NewHub(events.Config{})
		l, err := h.Listen("demo", "")
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		w := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			events.ServeSSE(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), l, over)
		}()
		time.Sleep(46 * time.Second)
		close(over) // the token has ended
		<-done
		if got := strings.Count(w.Body.String(), ":\n\n"); got != 3 {
			t.Errorf("got %d signs of life in 46 s, want one in 15 s: %q", got, w.Body)
		}
		if h.Stats().Listeners != 0 {
			t.Error("the listener is still there")
		}
	})
}

// TestEventsShareWrites publishes many events at once.
func TestEventsShareWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := events.NewHub(events.Config{})
		l, err := h.Listen("demo", "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := &flushes{ResponseRecorder: httptest.NewRecorder()}
		done := make(chan struct{})
		go func() {
			defer close(done)
			events.ServeSSE(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), l, nil)
		}()
		synctest.Wait()
		for range 1000 { // in one second
			h.Publish("demo", events.MessageSent, events.Message{Text: "x"})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		cancel()
		<-done
		if got := strings.Count(w.Body.String(), "event: message"); got != 1000 {
			t.Errorf("got %d events, want 1000", got)
		}
		if w.n > 110 {
			t.Errorf("1000 events in a second took %d writes, want about 100", w.n)
		}
	})
}

// flushes counts how often something was sent.
type flushes struct {
	*httptest.ResponseRecorder
	n int
}

func (w *flushes) Flush() {
	w.n++
	w.ResponseRecorder.Flush()
}

// TestFloodOverAWebSocket says more than a client may.
func TestFloodOverAWebSocket(t *testing.T) {
	h := events.NewHub(events.Config{})
	srv := serve(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, srv.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }() // it has ended
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for i := range 100_000 {
			if conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"ping","ref":"%d"}`, i)) != nil {
				return
			}
		}
	}()
	pongs := 0
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			// The end may be seen as a reset, since more was said than was read.
			if c := websocket.CloseStatus(err); c != websocket.StatusPolicyViolation && c != -1 || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			break
		}
		var reply struct{ Type, Ref string }
		if err := json.Unmarshal(text, &reply); err != nil {
			t.Fatal(err)
		}
		if reply.Type == "pong" {
			if reply.Ref != fmt.Sprint(pongs) {
				t.Fatalf("got %s, want the answer to %d", text, pongs)
			}
			pongs++
		}
	}
	<-writing
	if pongs < 100 || pongs > 2000 {
		t.Errorf("%d commands were answered before the end", pongs)
	}
}
