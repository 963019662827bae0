package conformance

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestSSEReader(t *testing.T) {
	r := newSSEReader(strings.NewReader("retry: 2000\n\n:\n\n: a word\nid: 7\r\nevent: active\r\ndata: {}\r\n\r\n" +
		"data:one\ndata: two\nfuture: x\nnothing\n\n\n\nevent: cut\ndata: {"))
	for i, want := range []string{
		"false,,,,0,2000,[]", "true,,,,0,,[]", "true,,,a word,0,,[]",
		"false,active,7,{},1,,[]", "false,,,one\ntwo,2,,[future nothing]",
	} {
		e, err := r.read()
		got := fmt.Sprintf("%v,%s,%s,%s,%d,%s,%v", e.Comment, e.Type, e.ID, e.Data, e.DataLines, e.Retry, e.Other)
		if err != nil || got != want {
			t.Errorf("%d: got %q, %v, want %q", i, got, err, want)
		}
	}
	if e, err := r.read(); !errors.Is(err, io.EOF) {
		t.Errorf("what was broken off: got %+v, %v, want the end", e, err)
	}
}

// newT is a check under way outside of a suite.
func newT(t *testing.T, id string) *T {
	t.Helper()
	c := Check{ID: id, Run: func(*T) {}}
	ct := &T{check: &c, suite: &suite{target: &Target{Strict: true}}, ctx: t.Context(), client: &http.Client{}}
	t.Cleanup(ct.client.CloseIdleConnections)
	t.Cleanup(ct.clean)
	return ct
}

func TestEventStream(t *testing.T) {
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			http.Error(w, "no such stream", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, ":\n\nid: 1\nevent: layers\ndata: {}\n\nid: 2\nevent: active\ndata: %q\n\n", r.Header.Get("Last-Event-ID"))
		_ = http.NewResponseController(w).Flush()
		<-end
	}))
	t.Cleanup(server.Close)
	ct := newT(t, "WHEP-SSE-07")
	if s, r := ct.openStream(server.URL + "/gone"); s != nil || r.Status != http.StatusNotFound || r.Body != "no such stream" {
		t.Errorf("got %v, %v, want 404 and no stream", s, r)
	}
	s, r := ct.openStream(server.URL, header("Last-Event-ID", "41"))
	if s == nil || r.Status != http.StatusOK {
		t.Fatalf("got %v, want a stream", r)
	}
	e, ok := s.next(5*time.Second, "active")
	if !ok || e.ID != "2" || e.Data != `"41"` {
		t.Errorf("got %+v, %v, want the event active with the id that was sent", e, ok)
	}
	if e, ok := s.next(20 * time.Millisecond); ok {
		t.Errorf("got %+v, want nothing yet", e)
	}
	close(end)
	if !s.ended(5 * time.Second) {
		t.Error("the stream did not end")
	}
}
