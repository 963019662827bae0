package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/bench"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// small is a load that a busy machine bears.
func small(url string) bench.Config {
	c := bench.DefaultConfig()
	c.WHIP, c.WHEP = url+"/whip/demo", url+"/whep/demo"
	c.Viewers, c.Duration, c.Settle = []int{6}, 1500*time.Millisecond, 300*time.Millisecond
	c.Bitrate, c.Sample = 300_000, 2
	return c
}

// TestRun measures a node of this process, viewer by viewer and packet by packet.
func TestRun(t *testing.T) {
	node := gatewaytest.Start(t)
	c := small(node.URL())
	c.Viewers, c.Settle = []int{3, 6}, time.Second // in which everybody gets a keyframe
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Served() || len(report.Steps) != 2 {
		t.Fatalf("not everybody was served: %+v", report)
	}
	for i, s := range report.Steps {
		v, m := s.Viewers, s.Media
		if v.Connected != c.Viewers[i] || v.Asked != c.Viewers[i] || v.Refused != 0 || v.Failed != 0 {
			t.Errorf("step %d: got %+v", i, v)
		}
		if m.Stamps == 0 || m.Packets <= m.Stamps || m.Undecryptable != 0 {
			t.Errorf("step %d: %d stamps in %d packets, %d undecryptable", i, m.Stamps, m.Packets, m.Undecryptable)
		}
		if m.Latency == nil || m.Latency.P50 <= 0 || m.Latency.P99 < m.Latency.P50 || m.Latency.Max < m.Latency.P99 {
			t.Errorf("step %d: latency %+v", i, m.Latency)
		}
		var bars uint64
		for _, b := range s.Histogram {
			bars += b.Packets
		}
		// The stamps of a picture's parameter sets and of viewers who came with the step count alike.
		if bars != m.Stamps {
			t.Errorf("step %d: the histogram has %d packets, the viewers %d", i, bars, m.Stamps)
		}
		if s.Join.Post == nil || s.Join.FirstMedia == nil || s.Join.FirstKeyframe == nil || s.Join.Tried != 3 {
			t.Errorf("step %d: joins %+v", i, s.Join)
		}
	}
	if o := report.Steps[1].Join.Others; o == nil || o.Viewers != 3 {
		t.Errorf("got %+v, want what the first three got while the others joined", o)
	}
	var text, out bytes.Buffer
	if err := report.WriteText(&text); err != nil || !bytes.Contains(text.Bytes(), []byte("viewers connected")) {
		t.Errorf("got %v and\n%s", err, text.String())
	}
	if err := report.WriteJSON(&out); err != nil || !json.Valid(out.Bytes()) {
		t.Errorf("got %v and\n%s", err, out.String())
	}
}

// TestRefusals: the figures of those who were let in are theirs alone.
func TestRefusals(t *testing.T) {
	const takes = 4
	full := newGuard(t, gatewaytest.Start(t), func(n int) bool { return n <= takes })
	c := small(full.URL)
	c.Viewers = []int{3 * takes}
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s := report.Steps[0]
	if v := s.Viewers; v.Connected != takes || v.Refused != 2*takes || v.Failed != 0 || v.Silent != 0 {
		t.Errorf("got %+v", v)
	}
	if s.Join.RetryAfter != 2*takes || s.Join.Refusal == nil || s.Join.Refusal.Max <= 0 {
		t.Errorf("got %+v", s.Join)
	}
	// They would make it 67; what is on its way at the end is less.
	if s.Media.Short == nil || *s.Media.Short > 50 || s.Media.Stamps == 0 {
		t.Errorf("got %+v: refused viewers must not count as missing", s.Media)
	}
	if !report.Served() {
		t.Error("everybody who was let in was served")
	}
}

// TestFindLimitOfRefusals: a server that refuses says itself what its limit is.
func TestFindLimitOfRefusals(t *testing.T) {
	const takes = 5
	full := newGuard(t, gatewaytest.Start(t), func(n int) bool { return n <= takes })
	c := small(full.URL)
	c.Viewers, c.FindLimit, c.MaxLatency = []int{2}, true, time.Minute
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if l := report.Limit; l == nil || l.Viewers != takes || l.Generator || len(report.Steps) != 2 {
		t.Errorf("got %+v after %d steps, want %d viewers after 2", l, len(report.Steps), takes)
	}
	var text bytes.Buffer
	if err := report.WriteText(&text); err != nil || !bytes.Contains(text.Bytes(), []byte("this machine serves 5 viewers of this stream")) {
		t.Errorf("got %v and\n%s", err, text.String())
	}
}

// TestInterrupt: a run that is ended early leaves no session behind, and tells of
// the steps it has measured.
func TestInterrupt(t *testing.T) {
	node := gatewaytest.Start(t)
	makeRoom(t, node) // the room that a publisher makes ends with it
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c := small(node.URL())
	c.Viewers, c.Duration = []int{2, 5}, time.Second
	c.Progress = func(text string) {
		if strings.HasPrefix(text, "2 of 2 viewers") {
			stop()
		}
	}
	report, err := bench.Run(ctx, c)
	if err != nil || !report.Interrupted || len(report.Steps) != 1 || report.Served() {
		t.Errorf("got %+v, %v", report, err)
	}
	// The viewers of the first step and the publisher, and perhaps some of the second.
	var ended, living struct {
		Items []struct{ Cause string }
	}
	get(t, node, "/v1/rooms/demo/sessions?state=ended", &ended)
	get(t, node, "/v1/rooms/demo/sessions", &living)
	if len(ended.Items) < 3 || len(living.Items) != 0 {
		t.Errorf("got %+v and %+v, want three sessions that have ended and none that lives", ended.Items, living.Items)
	}
	for _, s := range ended.Items {
		if s.Cause != "deleted" {
			t.Errorf("a session ended by %q, want its DELETE", s.Cause)
		}
	}
}

// TestChurn: who leaves and who comes do not disturb the figures of the others.
func TestChurn(t *testing.T) {
	c := small(gatewaytest.Start(t).URL())
	c.Churn, c.Duration = 5, 2*time.Second
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s := report.Steps[0]
	if s.Viewers.Replaced < 3 || s.Viewers.Connected != 6 || s.Viewers.Closed != 0 || s.Viewers.Silent != 0 || s.Media.Loss != 0 {
		t.Errorf("got %+v and %+v", s.Viewers, s.Media)
	}
	if s.Media.Short != nil {
		t.Error("with churn nobody knows how many packets there should have been")
	}
}

// TestChurnIsRefused: a server that lets nobody come for those who leave is told of.
func TestChurnIsRefused(t *testing.T) {
	full := newGuard(t, gatewaytest.Start(t), func(n int) bool { return n <= 6 })
	c := small(full.URL)
	c.Churn = 2
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s := report.Steps[0]
	if s.Viewers.Connected != 6 || s.Viewers.Refused == 0 || s.Viewers.Replaced != 0 || s.Viewers.Failed != 0 || s.Join.RetryAfter != s.Viewers.Refused {
		t.Errorf("got %+v and %+v", s.Viewers, s.Join)
	}
}

// TestAccounts: the process and the core of the server are accounted for.
func TestAccounts(t *testing.T) {
	c := small(gatewaytest.Start(t).URL())
	c.ServerPID, c.ServerCore, c.Spacing = os.Getpid(), 0, 300*time.Microsecond
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s := report.Steps[0]
	r := s.Server
	if r == nil || r.Cores <= 0 || r.CPUPerPacket <= 0 || r.ViewersPerCore <= 0 || r.RSS == 0 || r.PeakRSS < r.RSS || r.CoreBusy == nil || report.BeforeRSS == 0 {
		t.Fatalf("got %+v", r)
	}
	// The server is this process: so is the generator.
	if d := r.Cores - s.Generator.Cores; d < -.1 || d > .1 {
		t.Errorf("the server used %.3f cores, the generator %.3f", r.Cores, s.Generator.Cores)
	}
	if s.Join.ServerCPU == nil || *s.Join.ServerCPU <= 0 {
		t.Errorf("got %+v", s.Join)
	}
}

// TestIPv6 measures over the other family, where there is one.
func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal("this machine has no IPv6")
	}
	l.Close()
	c := small(gatewaytest.StartOn(t, "::1").URL())
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Steps[0]; s.Viewers.Connected != 6 || s.Viewers.Silent != 0 || s.Media.Stamps == 0 {
		t.Errorf("got %+v", s)
	}
}

// TestPublishOnly: without viewers the publisher alone is measured.
func TestPublishOnly(t *testing.T) {
	c := small(gatewaytest.Start(t).URL())
	c.WHEP = ""
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Steps[0]; s.Viewers.Connected != 0 || s.Media.Published <= 0 || s.Media.Packets != 0 || s.Generator.Late == nil {
		t.Errorf("got %+v", s)
	}
}

// TestNotRun: what keeps a run from beginning is told at once.
func TestNotRun(t *testing.T) {
	node := gatewaytest.Start(t)
	busy := newGuard(t, node, func(int) bool { return false })
	for _, tc := range []struct {
		name   string
		change func(*bench.Config)
		want   string
	}{
		{"nobody there", func(c *bench.Config) { c.WHIP = "http://127.0.0.1:1/whip/demo" }, "connection refused"},
		{"no such room", func(c *bench.Config) { c.WHIP = node.URL() + "/whip/.demo" }, "404"},
		{"full", func(c *bench.Config) { c.WHIP = busy.URL + "/whep/demo" }, "refused: 503"},
		{"no process", func(c *bench.Config) { c.ServerPID = 1 << 30 }, "the server's process"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := small(node.URL())
			tc.change(&c)
			if report, err := bench.Run(t.Context(), c); err == nil || report != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %+v, %v; want %q", report, err, tc.want)
			}
		})
	}
}

// newGuard is a server before a node that refuses some viewers.
func newGuard(t *testing.T, node *gatewaytest.Node, admit func(n int) bool) *httptest.Server {
	t.Helper()
	to, err := url.Parse(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: transport}
	var viewers atomic.Int64
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/whep/") && !admit(int(viewers.Add(1))) {
			w.Header().Set("Retry-After", "10")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		guard.Close()
		transport.CloseIdleConnections()
	})
	return guard
}

func makeRoom(t *testing.T, node *gatewaytest.Node) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, node.URL()+"/v1/rooms", strings.NewReader(`{"name":"demo"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := node.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("the room was answered with %s", resp.Status)
	}
}

func get(t *testing.T, node *gatewaytest.Node, path string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := node.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
}
