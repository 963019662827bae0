package mutant_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/conformance/mutant"
)

// start runs a proxy before a handler and returns its URL.
func start(t *testing.T, fault string, backend http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	p, err := mutant.Start(t.Context(), server.URL, fault)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p.URL
}

func do(t *testing.T, method, url, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestUnknownFault(t *testing.T) {
	if p, err := mutant.Start(t.Context(), "http://127.0.0.1:1", "no-such-fault"); err == nil {
		p.Close()
		t.Error("got no error")
	}
}

// TestSessionStaysBehindTheProxy follows what a 201 names.
func TestSessionStaysBehindTheProxy(t *testing.T) {
	var base string
	seen := make(chan string, 4)
	url := start(t, "etag-weak", func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Method + " " + r.URL.Path + " " + r.Header.Get("If-Match")
		if r.Method == http.MethodPost {
			base = "http://" + r.Host
			w.Header().Set("Location", base+"/s/1")
			w.Header().Set("Link", "<"+base+"/s/1/events>; rel=x")
			w.Header().Set("ETag", `"one"`)
			w.Header().Set("Content-Type", "application/sdp")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "v=0\r\nm=audio 9 x 0\r\na=ice-ufrag:uuuu\r\na=ice-pwd:p\r\na=candidate:1 1 udp 1 127.0.0.1 4 typ host\r\n")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	resp := do(t, http.MethodPost, url+"/whip/room", "v=0\r\n")
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := resp.Header.Get("Location"), url+"/s/1"; got != want {
		t.Errorf("Location: got %s, want %s", got, want)
	}
	if got, want := resp.Header.Get("Link"), "<"+url+"/s/1/events>; rel=x"; got != want {
		t.Errorf("Link: got %s, want %s", got, want)
	}
	if strings.Contains(string(answer), " 127.0.0.1 4 ") || !strings.Contains(string(answer), "a=candidate:1 1 udp 1 127.0.0.1 ") {
		t.Errorf("got the answer %q, want its candidate moved", answer)
	}
	if got, want := resp.Header.Get("ETag"), `W/"one"`; got != want {
		t.Errorf("ETag: got %s, want %s", got, want)
	}
	<-seen
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, url+"/s/1", strings.NewReader("a=x\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("If-Match", `W/"one"`)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	patched, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	patched.Body.Close()
	if got, want := <-seen, `PATCH /s/1 "one"`; got != want {
		t.Errorf("got %s at the backend, want %s: it knows its own tag", got, want)
	}
}

// TestEventsPassAtOnce wants each event before the next one is sent.
func TestEventsPassAtOnce(t *testing.T) {
	next := make(chan struct{})
	url := start(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			_, _ = io.WriteString(w, "data: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	resp := do(t, http.MethodGet, url+"/s/1/events", "")
	lines := bufio.NewReader(resp.Body)
	for range 2 {
		line, err := lines.ReadString('\n')
		if err != nil || line != "data: {}\n" {
			t.Fatalf("got %q, %v, want an event", line, err)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		next <- struct{}{}
	}
}

// TestClosedConnection wants the end of a connection passed on as such.
func TestClosedConnection(t *testing.T) {
	url := start(t, "", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	if resp, err := transport.RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Errorf("got %d, want no response", resp.StatusCode)
	}
}
