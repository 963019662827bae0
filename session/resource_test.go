package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemedia/sluice/session"
)

func TestReadOffer(t *testing.T) {
	type body struct {
		io.Reader // hides the length: chunked
	}
	big := strings.Repeat("x", 64<<10+1)
	cases := []struct {
		name, mediaType string
		body            io.Reader
		want            error
	}{
		{"plain", "application/sdp", strings.NewReader("v=0"), nil},
		{"capitals", "Application/SDP", strings.NewReader("v=0"), nil},
		{"parameter", "application/sdp; charset=utf-8", strings.NewReader("v=0"), nil},
		{"broken parameter", "application/sdp; charset", strings.NewReader("v=0"), nil},
		{"chunked", "application/sdp", body{strings.NewReader("v=0")}, nil},
		{"the largest", "application/sdp", strings.NewReader(big[1:]), nil},
		{"no type", "", strings.NewReader("v=0"), session.ErrMediaType},
		{"text", "text/plain", strings.NewReader("v=0"), session.ErrMediaType},
		{"fragment", "application/trickle-ice-sdpfrag", strings.NewReader("v=0"), session.ErrMediaType},
		{"prefix", "application/sdpx", strings.NewReader("v=0"), session.ErrMediaType},
		{"too large", "application/sdp", strings.NewReader(big), session.ErrTooLarge},
		{"too large in chunks", "application/sdp", body{strings.NewReader(big)}, session.ErrTooLarge},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/whip/demo", c.body)
			if c.mediaType != "" {
				r.Header.Set("Content-Type", c.mediaType)
			}
			w := httptest.NewRecorder()
			got, err := session.ReadOffer(w, r)
			if !errors.Is(err, c.want) || (err == nil) != (len(got) > 0) {
				t.Errorf("got %d bytes, %v, want %v", len(got), err, c.want)
			}
			if accept := w.Header().Get("Accept-Post"); (accept == "application/sdp") != errors.Is(c.want, session.ErrMediaType) {
				t.Errorf("Accept-Post is %q", accept)
			}
		})
	}
}

func TestReadOfferBrokenOff(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", io.MultiReader(strings.NewReader("v=0"), failingReader{}))
	r.Header.Set("Content-Type", "application/sdp")
	_, err := session.ReadOffer(httptest.NewRecorder(), r)
	if problem(t, err) != session.ProblemMalformed {
		t.Errorf("got %v", err)
	}
}

// TestReadOfferAnnouncedTooLarge is refused before any of it is asked for.
func TestReadOfferAnnouncedTooLarge(t *testing.T) {
	body := strings.NewReader("v=0")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
	r.Header.Set("Content-Type", "application/sdp")
	r.ContentLength = 64<<10 + 1
	if _, err := session.ReadOffer(httptest.NewRecorder(), r); !errors.Is(err, session.ErrTooLarge) || body.Len() != 3 {
		t.Errorf("got %v with %d bytes left", err, body.Len())
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestReadOfferSlow drips a body into a real server, in the time of a bubble.
func TestReadOfferSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan error, 1)
		var took time.Duration
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begin := time.Now()
			_, err := session.ReadOffer(w, r)
			took = time.Since(begin)
			got <- err
			w.WriteHeader(http.StatusRequestTimeout)
		})}
		pipe := &pipeListener{conns: make(chan net.Conn, 1), done: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(pipe) }()
		client, far := net.Pipe()
		pipe.conns <- far
		dripped := make(chan struct{})
		go func() {
			defer close(dripped)
			if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 100\r\n\r\n"); err != nil {
				return
			}
			for {
				time.Sleep(time.Second)
				if _, err := client.Write([]byte("v")); err != nil {
					return // the server hung up, as it should
				}
			}
		}()
		answer, err := io.ReadAll(client)
		if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) {
			t.Errorf("the answer is %q, %v", answer, err)
		}
		if err := <-got; !errors.Is(err, session.ErrTimeout) || took != 5*time.Second {
			t.Errorf("got %v after %v", err, took)
		}
		<-dripped
		if err := server.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// pipeListener hands out connections that are in memory.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.done)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
