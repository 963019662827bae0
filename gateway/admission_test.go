package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
	"github.com/sluicemedia/sluice/gateway/load"
)

// burden is a load that a test makes up.
type burden struct {
	percent atomic.Int64 // of the one core there is
	busy    atomic.Int64 // of the shard, percent
	// Of Run's goroutine:
	cpu        time.Duration
	packets    uint64
	last, sent time.Time
}

func (b *burden) source() load.Source {
	return load.Source{
		Process: func() load.Process {
			now := time.Now()
			if !b.last.IsZero() {
				b.cpu += now.Sub(b.last) * time.Duration(b.percent.Load()) / 100
			}
			b.last = now
			return load.Process{CPU: b.cpu, Cores: 1}
		},
		Media: func() load.Media {
			now := time.Now()
			if !b.sent.IsZero() {
				b.packets += uint64(400_000 * now.Sub(b.sent).Seconds()) // however late it is asked
			}
			b.sent = now
			return load.Media{PacketsOut: b.packets, Busy: float64(b.busy.Load()) / 100}
		},
		Census: func() (c load.Census) {
			c.Connected[load.Viewer] = 1000
			return c
		},
	}
}

// loaded is a node that carries what the test says.
func loaded(t *testing.T, log *slog.Logger, options ...func(*gateway.Config)) (node, *burden) {
	t.Helper()
	cfg := onLoopback(t)
	cfg.Open, cfg.OpenAPI = true, gatewaytest.OpenAPI(t)
	for _, o := range options {
		o(&cfg)
	}
	b := &burden{}
	return node{gatewaytest.Run(t, cfg, log, func(g *gateway.Gateway) { g.Watch(b.source()) })}, b
}

// until waits for a line of /metrics.
func (n node) until(t *testing.T, line string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, line, func() bool {
		_, body := get(t, client, n.AdminURL()+"/metrics")
		return strings.Contains(body, line+"\n")
	})
}

func TestOverload(t *testing.T) {
	log := &journal{}
	n, b := loaded(t, slog.New(slog.NewTextHandler(log, nil)), withTokens(t))
	sdp := []string{"Content-Type", "application/sdp"}
	with := func(token string) []string { return append([]string{"Authorization", "Bearer " + token}, sdp...) }
	publish, watch := offer(t, webrtc.RTPTransceiverDirectionSendonly), offer(t, webrtc.RTPTransceiverDirectionRecvonly)
	session, created := n.post(t, "/whip/demo", "publish-key", publish)

	// A shard that is busy refuses viewers, and them alone.
	b.busy.Store(92)
	eventually(t, "viewers are refused", func() bool {
		return n.do(t, "POST", "/whep/demo", with("watch-key-1"), watch).StatusCode == http.StatusServiceUnavailable
	})
	retries := map[string]bool{}
	for range 30 {
		got := n.do(t, "POST", "/whep/demo", with("watch-key-1"), watch)
		after, err := strconv.Atoi(got.Header.Get("Retry-After"))
		if got.StatusCode != http.StatusServiceUnavailable || err != nil || after < 7 || after > 13 {
			t.Fatalf("got %d with Retry-After %q, want 503 and about ten seconds", got.StatusCode, got.Header.Get("Retry-After"))
		}
		if !strings.Contains(got.Body, `"type":"/problems/overloaded"`) || got.Header.Get("Content-Type") != "application/problem+json" {
			t.Fatalf("got %s", got.Body)
		}
		retries[got.Header.Get("Retry-After")] = true
	}
	if len(retries) < 2 {
		t.Error("everybody is told to come back at the same time")
	}
	if got := n.do(t, "POST", "/whip/demo", with("publish-key"), "x"); got.StatusCode == http.StatusServiceUnavailable {
		t.Error("a publisher is refused while only viewers are")
	}
	// Who may not know of the room is told nothing of the load.
	for _, tc := range []struct {
		path, token string
		status      int
	}{
		{"/whep/demo", "wrong-token", 401}, {"/whep/demo", "publish-key", 403}, {"/whep/a~b", "watch-key-1", 404},
	} {
		if got := n.do(t, "POST", tc.path, with(tc.token), watch); got.StatusCode != tc.status {
			t.Errorf("%s as %s: got %d, want %d", tc.path, tc.token, got.StatusCode, tc.status)
		}
	}

	// Then the process, and publishers are refused as well.
	b.percent.Store(100)
	eventually(t, "publishers are refused", func() bool {
		return n.do(t, "POST", "/whip/demo", with("publish-key"), "x").StatusCode == http.StatusServiceUnavailable
	})
	n.until(t, `sluice_admission_open{role="publisher"} 0`)
	if status, _ := get(t, n.Client, n.AdminURL()+"/readyz"); status != http.StatusOK {
		t.Errorf("readiness: got %d, want 200", status)
	}
	// Sessions that there are go on.
	if got := n.do(t, "PATCH", session, append([]string{"If-Match", created.Header.Get("ETag")}, "Content-Type", "application/trickle-ice-sdpfrag"), ""); got.StatusCode == http.StatusServiceUnavailable {
		t.Error("a PATCH is refused for load")
	}
	if got := n.do(t, "DELETE", session, nil, ""); got.StatusCode != http.StatusOK {
		t.Errorf("DELETE: got %d, want 200", got.StatusCode)
	}

	// And when it is over all are let in again, without anybody asking first.
	b.percent.Store(10)
	b.busy.Store(10)
	n.until(t, `sluice_admission_open{role="viewer"} 1`)
	n.until(t, `sluice_admission_open{role="publisher"} 1`)
	n.post(t, "/whip/demo", "publish-key", publish)
	if refused, again := log.count("offers refused for load"), log.count("offers accepted again"); refused != 2 || again != 2 {
		t.Errorf("the log tells %d times that offers are refused and %d times that they are not, want 2 and 2", refused, again)
	}
}

// A refusal does not wait for the offer.
func TestOverloadIsToldBeforeTheOffer(t *testing.T) {
	n, b := loaded(t, slog.New(slog.DiscardHandler))
	b.percent.Store(200) // well above: a sample that comes late must not look like room
	eventually(t, "offers are refused", func() bool {
		return n.do(t, "POST", "/whip/demo", []string{"Content-Type", "application/sdp"}, "x").StatusCode == http.StatusServiceUnavailable
	})
	for _, path := range []string{"/whip/demo", "/whep/demo"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(n.LocalURL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // only the status matters
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got %s, want 503 before anything was read", path, resp.Status)
		}
	}
}

// A node whose machine is busy with something else, such as the tests in this
// process, lets people in.
func TestBusyMachineLocksNobodyOut(t *testing.T) {
	cfg := onLoopback(t)
	busy := load.Source{
		Process: func() load.Process {
			return load.Process{CPU: time.Duration(time.Now().UnixNano()), Cores: 1, Sched: time.Second}
		},
		Media:  func() load.Media { return load.Media{Delay: time.Second} },
		Census: func() load.Census { return load.Census{} },
	}
	n := node{gatewaytest.Run(t, cfg, slog.New(slog.DiscardHandler), func(g *gateway.Gateway) { g.Watch(busy) })}
	n.until(t, `sluice_load_delay_seconds{signal="packets"} 1`)
	for range 5 {
		n.post(t, "/whip/demo", "", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	}
}
