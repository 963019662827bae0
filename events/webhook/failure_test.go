package webhook_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events/webhook"
)

// TestAnswers: what each status does to the event and to the other rooms.
func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		status int
		class  string
		away   bool // else the event is refused, and only its room waits
	}{
		{301, "3xx", false},
		{304, "3xx", false},
		{400, "4xx", false},
		{401, "4xx", false},
		{404, "4xx", false},
		{408, "busy", true},
		{410, "410", true},
		{425, "busy", true},
		{429, "busy", true},
		{500, "5xx", false},
		{501, "5xx", false},
		{502, "5xx", true},
		{503, "busy", true},
		{504, "5xx", true},
	} {
		t.Run(http.StatusText(tc.status), func(t *testing.T) {
			r := newReceiver(t)
			cfg := quick(t, r.server.URL)
			cfg.MinWait, cfg.MaxWait, cfg.GoneWait, cfg.Workers = time.Hour, time.Hour, time.Hour, 1
			r.does(func(w http.ResponseWriter, g got) {
				if g.event.Room == "ill" {
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(tc.status)
				}
			})
			o := open(t, cfg)
			o.Put(event("ill", 1))
			eventually(t, "the failure is counted", func() bool { return only(t, o).Failed[tc.class] == 1 })
			o.Put(event("well", 1))
			if err := o.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tc.away {
				if s := only(t, o); s.State != webhook.StateAway || time.Until(s.Next) < 25*time.Minute || s.Backlog != 2 {
					t.Errorf("got %+v, want it away", s)
				}
			} else {
				eventually(t, "the other room goes on", func() bool { return r.has() == 1 })
				if s := only(t, o); s.State != webhook.StateWell {
					t.Errorf("got %+v, want it well", s)
				}
			}
			if n := len(r.requests()); tc.away && n != 1 || n > 2 {
				t.Errorf("got %d requests", n)
			}
			if s := only(t, o); !strings.HasPrefix(s.LastError, "the receiver answered ") || s.LastFailure.IsZero() {
				t.Errorf("the failure is told as %q at %v", s.LastError, s.LastFailure)
			}
		})
	}
}

// raw is a server that writes what it likes.
func raw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close() // the test is over for it
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close() // only ends Accept
		<-done
	})
	return "http://" + ln.Addr().String()
}

// request reads a request to its end.
func request(conn net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err == nil {
		_, _ = io.Copy(io.Discard, req.Body) // whatever it is
	}
}

// TestNoAnswer: what is no answer at all leaves the event where it is.
func TestNoAnswer(t *testing.T) {
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	untrusted.StartTLS()
	defer untrusted.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	plain := newReceiver(t)
	for name, tc := range map[string]struct{ url, class string }{
		"nobody listens": {closed.URL, "unreachable"},
		"no such host":   {"http://nothing.invalid/", "unreachable"},
		"untrusted":      {untrusted.URL, "tls"},
		"plain for TLS":  {strings.Replace(plain.server.URL, "http:", "https:", 1), "garbage"},
		"hangs up":       {raw(t, request), "unreachable"},
		"garbage":        {raw(t, func(c net.Conn) { request(c); _, _ = io.WriteString(c, "\x00\xffno HTTP\r\n\r\n") }), "garbage"},
		"endless header": {raw(t, func(c net.Conn) {
			request(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 200<<10))
		}), "garbage"},
		"too slow":         {raw(t, func(c net.Conn) { request(c); _, _ = c.Read(make([]byte, 1)) }), "timeout"},
		"broken half way":  {raw(t, func(c net.Conn) { request(c); _, _ = io.WriteString(c, "HTTP/1.1 2") }), "garbage"},
		"early hints only": {raw(t, func(c net.Conn) { request(c); _, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n") }), "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := quick(t, tc.url)
			if cfg.Timeout = 10 * time.Second; tc.class == "timeout" {
				cfg.Timeout = 300 * time.Millisecond
			}
			o := open(t, cfg)
			o.Put(event("a", 1))
			eventually(t, "it is tried twice", func() bool {
				failed := only(t, o).Failed
				if len(failed) > 0 && failed[tc.class] == 0 {
					t.Fatalf("the failures are %v, want %s: %s", failed, tc.class, only(t, o).LastError)
				}
				return failed[tc.class] >= 2
			})
			s := only(t, o)
			if s.Backlog != 1 || s.Dead != 0 || s.State != webhook.StateAway || s.LastError == "" || strings.Contains(s.LastError, "Post ") {
				t.Errorf("got %+v", s)
			}
		})
	}
}

// TestLongAnswer: a receiver that took the event may say what it likes, and
// not for ever.
func TestLongAnswer(t *testing.T) {
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			n, err := w.Write(make([]byte, 4096))
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	o := open(t, quick(t, server.URL))
	o.Put(event("a", 1))
	eventually(t, "it counts as taken", func() bool { return only(t, o).Sent == 1 })
	// Buffers of the kernel hold some megabytes at most.
	if n := sent.Load(); n > 32<<20 {
		t.Errorf("%d bytes of the answer went out", n)
	}
}

// TestNoProxy: the environment does not decide where events go.
func TestNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	cfg := quick(t, "http://nothing.invalid/")
	o := open(t, cfg)
	o.Put(event("a", 1))
	eventually(t, "the host is looked for", func() bool { return only(t, o).Failed["unreachable"] > 0 })
}

// TestRetryAfter: the receiver's wish counts where it is longer than ours, up to an hour.
func TestRetryAfter(t *testing.T) {
	for name, tc := range map[string]struct {
		header   string
		from, to time.Duration
	}{
		"seconds":  {"90", 85 * time.Second, 90 * time.Second},
		"a date":   {time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat), 4 * time.Minute, 5 * time.Minute},
		"the past": {time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 0, 50 * time.Millisecond},
		"for ever": {"4000000000", 59 * time.Minute, time.Hour},
		"negative": {"-5", 0, 50 * time.Millisecond},
		"no time":  {"soon", 0, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			r.does(func(w http.ResponseWriter, _ got) {
				w.Header().Set("Retry-After", tc.header)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			o := open(t, quick(t, r.server.URL))
			o.Put(event("a", 1))
			eventually(t, "it is away", func() bool { return only(t, o).State == webhook.StateAway })
			s := only(t, o)
			if wait := s.Next.Sub(s.LastFailure); wait < tc.from || wait > tc.to {
				t.Errorf("it waits %v, want %v to %v", wait, tc.from, tc.to)
			}
		})
	}
}

// TestAPingEndsTheWait: who mended the receiver need not wait for the next try.
func TestAPingEndsTheWait(t *testing.T) {
	r := newReceiver(t)
	r.does(status(http.StatusGone))
	cfg := quick(t, r.server.URL)
	cfg.GoneWait = time.Hour
	o := open(t, cfg)
	o.Put(event("a", 1))
	eventually(t, "it is away", func() bool { return only(t, o).State == webhook.StateAway })
	if pongs, err := o.Ping(t.Context()); err != nil || len(pongs) != 1 || pongs[0].OK || pongs[0].Class != "410" {
		t.Errorf("got %+v, %v", pongs, err)
	}
	if only(t, o).State != webhook.StateAway {
		t.Error("a ping that failed ended the wait")
	}
	r.does(nil)
	if pongs, err := o.Ping(t.Context()); err != nil || len(pongs) != 1 || !pongs[0].OK || pongs[0].Took <= 0 {
		t.Errorf("got %+v, %v", pongs, err)
	}
	eventually(t, "the event follows", func() bool { return only(t, o).Sent == 1 })
	if last := r.requests()[len(r.requests())-1]; last.event.Room != "a" {
		t.Errorf("the last request is %+v", last)
	}
}

// TestOneTriesForAll: many rooms of a receiver that is away do not each knock.
func TestOneTriesForAll(t *testing.T) {
	r := newReceiver(t)
	r.does(status(http.StatusServiceUnavailable))
	cfg := quick(t, r.server.URL)
	cfg.MinWait, cfg.MaxWait = 20*time.Millisecond, 20*time.Millisecond
	o := open(t, cfg)
	for room := range 500 {
		o.Put(event("room-"+string(rune('a'+room%26))+strings.Repeat("x", room/26), 1))
	}
	eventually(t, "it is tried six times", func() bool { return len(r.requests()) >= cfg.Workers+6 })
	all := r.requests()
	// The first went out together, before anybody knew.
	for i := cfg.Workers + 1; i < len(all); i++ {
		if gap := all[i].at.Sub(all[i-1].at); gap < 9*time.Millisecond {
			t.Errorf("request %d came %v after the one before", i, gap)
		}
	}
	r.does(nil)
	eventually(t, "all arrive", func() bool { return r.has() == 500 })
	r.inOrder()
}
