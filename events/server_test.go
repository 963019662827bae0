package events_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sluicemedia/sluice/events"
)

// server serves the rooms of a hub by HTTP, as a gateway does.
type server struct {
	hub  *events.Hub
	url  string
	over chan struct{} // closed: the time of all readers is over
}

func serve(t *testing.T, h *events.Hub) *server {
	t.Helper()
	over := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lastID := r.Header.Get("Last-Event-ID")
		if lastID == "" {
			lastID = r.URL.Query().Get("last_event_id")
		}
		l, err := h.Listen("demo", lastID)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		if events.IsWebSocket(r) {
			events.ServeWebSocket(w, r, l, events.Socket{
				Over:    over,
				Send:    func(d events.Draft) (events.Event, error) { return h.Send("demo", d) },
				Problem: func(err error) any { return err.Error() },
			})
			return
		}
		events.ServeSSE(w, r, l, over)
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(func() {
		h.Close()
		srv.Close()
		h.Wait()
	})
	return &server{h, srv.URL, over}
}

// dialer makes connections to a server.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// reader gets events, one after the other, until an error.
type reader interface {
	next() (events.Event, error)
	close()
}

// way is how a reader is connected.
type way struct {
	name string
	open func(ctx context.Context, url, lastID string, dial dialer) (reader, error)
}

var ways = []way{
	{"SSE over HTTP/1.1", func(ctx context.Context, url, lastID string, dial dialer) (reader, error) {
		return openSSE(ctx, url, lastID, dial, false)
	}},
	{"SSE over HTTP/2", func(ctx context.Context, url, lastID string, dial dialer) (reader, error) {
		return openSSE(ctx, url, lastID, dial, true)
	}},
	{"WebSocket", openWebSocket},
}

type sseReader struct {
	transport *http.Transport
	body      io.ReadCloser
	lines     *bufio.Reader
}

func openSSE(ctx context.Context, url, lastID string, dial dialer, two bool) (reader, error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!two)
	protocols.SetUnencryptedHTTP2(two)
	transport := &http.Transport{DialContext: dial, Protocols: protocols}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, errors.New(response.Status)
	}
	return &sseReader{transport, response.Body, bufio.NewReader(response.Body)}, nil
}

// next waits for the empty line that ends an event: what was cut off is no event.
func (r *sseReader) next() (e events.Event, err error) {
	var id, kind, data string
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case field == "id":
			id = value
		case field == "event":
			kind = value
		case field == "data":
			data = value
		case field == "" && kind != "":
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return e, err
			}
			if !strings.HasSuffix(id, fmt.Sprint("-", e.Seq)) || kind != string(e.Type) {
				return e, errors.New("the lines of an event do not agree: " + id + " " + kind + " " + data)
			}
			return e, nil
		}
	}
}

func (r *sseReader) close() {
	r.body.Close()
	r.transport.CloseIdleConnections()
}

type socketReader struct {
	ctx       context.Context
	conn      *websocket.Conn
	transport *http.Transport
}

func openWebSocket(ctx context.Context, url, lastID string, dial dialer) (reader, error) {
	transport := &http.Transport{DialContext: dial}
	conn, _, err := websocket.Dial(ctx, url+"?last_event_id="+lastID, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	conn.SetReadLimit(1 << 20)
	return &socketReader{ctx, conn, transport}, nil
}

func (r *socketReader) next() (e events.Event, err error) {
	_, text, err := r.conn.Read(r.ctx)
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(text, &e)
}

func (r *socketReader) close() {
	_ = r.conn.CloseNow() // it may have ended
	r.transport.CloseIdleConnections()
}

const patience = 20 * time.Second
