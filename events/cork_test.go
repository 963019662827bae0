package events_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluicemedia/sluice/events"
)

// countingListener counts the writes to its connections.
type countingListener struct {
	net.Listener
	writes atomic.Int64
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{conn, &l.writes}, nil
}

func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// TestWebSocketSharesWrites has events that came together, small and large,
// read over a WebSocket: they arrive as they are, in few writes.
func TestWebSocketSharesWrites(t *testing.T) {
	h := events.NewHub(events.Config{MaxBytes: 64 << 20, History: func(string) int { return 0 }})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &countingListener{Listener: inner}
	// All events are there before the listener is served.
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, err := h.Listen("demo", "0")
		if err != nil {
			t.Error(err)
			return
		}
		events.ServeWebSocket(w, r, l, events.Socket{})
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(counted) // ends by Close
	}()
	t.Cleanup(func() {
		h.Close()
		srv.Close()
		h.Wait()
		<-served
	})

	var want []string
	for i := range 200 {
		text := fmt.Sprint("message ", i)
		if i%50 == 49 { // more than is held back at once
			text = strings.Repeat("x", 40<<10)
		}
		want = append(want, text)
		h.Publish("demo", events.MessageSent, events.Message{Text: text})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := openWebSocket(ctx, "http://"+inner.Addr().String(), "", (&net.Dialer{}).DialContext)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for i, text := range want {
		e, err := r.next()
		if err != nil || e.Seq != uint64(i+1) || !bytes.Contains(e.Data, []byte(`"`+text+`"`)) {
			t.Fatalf("event %d: got %d, %.60q, %v", i+1, e.Seq, e.Data, err)
		}
	}
	if got := counted.writes.Load(); got > 20 {
		t.Errorf("200 events took %d writes", got)
	}
}
