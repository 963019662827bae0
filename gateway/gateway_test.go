package gateway_test

import (
	"context"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// get asks the admin listener, which has no document and no CORS.
func get(t *testing.T, client *http.Client, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestStopEndsSessions(t *testing.T) {
	n := start(t)
	session, _ := n.post(t, "/whip/demo", "", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	if len(n.Sessions().List()) != 1 {
		t.Fatalf("there is no session %s", session)
	}
	began := time.Now()
	if err := n.Stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if left := n.Sessions().List(); len(left) != 0 {
		t.Errorf("%d sessions are left", len(left))
	}
	if _, err := net.DialTimeout("tcp", strings.TrimPrefix(n.LocalURL(), "http://"), time.Second); err == nil {
		t.Error("the node still listens")
	}
}

// TestStopDoesNotWaitForTheIdle keeps a connection open that says nothing, and
// one that is in the middle of a request.
func TestStopDoesNotWaitForTheIdle(t *testing.T) {
	n := gatewaytest.Start(t)
	for _, text := range []string{"", "POST /whip/demo HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\n\r\nv=0"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(n.LocalURL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := n.Stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	if took := time.Since(began); took > gateway.StopTime+time.Second {
		t.Errorf("the stop took %v", took)
	}
}

func TestAdmin(t *testing.T) {
	n := gatewaytest.Start(t)
	eventually(t, "the node is ready", func() bool { // it answers before
		status, _ := get(t, n.Client, n.AdminURL()+"/readyz")
		return status == http.StatusOK
	})
	for _, path := range []string{"/healthz", "/readyz", "/startupz", "/debug/pprof/", "/debug/pprof/goroutine?debug=1"} {
		if status, _ := get(t, n.Client, n.AdminURL()+path); status != http.StatusOK {
			t.Errorf("%s: got %d, want 200", path, status)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/startupz"} {
		if status, _ := get(t, n.Client, n.LocalURL()+path); status != http.StatusNotFound {
			t.Errorf("%s is on the public listener: %d", path, status)
		}
	}
}

func TestNoAdmin(t *testing.T) {
	n := gatewaytest.Start(t, func(c *gateway.Config) { c.Admin = "off" })
	if n.AdminURL() != "" {
		t.Errorf("there is an admin listener: %s", n.AdminURL())
	}
	if status, _ := get(t, n.Client, n.LocalURL()+"/healthz"); status != http.StatusOK {
		t.Errorf("health: got %d", status)
	}
}

func TestMetrics(t *testing.T) {
	n := start(t, withTokens(t))
	n.post(t, "/whip/demo", "publish-key", offer(t, webrtc.RTPTransceiverDirectionSendonly))
	n.do(t, "POST", "/whip/demo", []string{"Authorization", "Bearer wrong-token"}, "")
	n.do(t, "BREW", "/whip/demo", nil, "")
	_, body := get(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, n.AdminURL()+"/metrics")
	for _, want := range []string{
		"sluice_ready 1", "sluice_rooms 1", `sluice_sessions{role="publisher",state="connecting"} 1`,
		"sluice_auth_refused_total 1", `sluice_refused_total{problem="invalid-token"} 1`, "sluice_http_panics_total 0", "sluice_rtp_out_packets_total 0", "sluice_build_info{", "go_goroutines ",
		`sluice_http_request_seconds_count{method="POST",route="/whip/:room",status="201"} 1`,
		`sluice_http_request_seconds_count{method="POST",route="/whip/:room",status="401"} 1`,
		`sluice_http_request_seconds_count{method="other",route="none",status="405"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in /metrics", want)
		}
	}
	if strings.Contains(body, "demo") {
		t.Error("a room has a series of its own: that grows without bound")
	}
	if strings.Contains(body, "An error has occurred") {
		t.Error("a metric could not be collected")
	}
}

func TestNodeIDIsKept(t *testing.T) {
	data := filepath.Join(t.TempDir(), "deep", "data")
	ids := map[string]bool{}
	for range 2 {
		n := gatewaytest.Start(t, func(c *gateway.Config) { c.Data = data })
		if err := n.Stop(); err != nil {
			t.Fatal(err)
		}
		id, err := os.ReadFile(filepath.Join(data, "node-id"))
		if err != nil {
			t.Fatal(err)
		}
		ids[string(id)] = true
	}
	if len(ids) != 1 {
		t.Errorf("the node changed its name: %v", ids)
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[0].Name() != "node-id" || entries[1].Name() != "registry" {
		t.Errorf("there is more than the node id and the registry in the data directory: %v", entries)
	}
}

func TestNewRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("one two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	badData := t.TempDir()
	if err := os.WriteFile(filepath.Join(badData, "node-id"), []byte("a.b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*gateway.Config)
		want   string
	}{
		"unsafe":          {func(c *gateway.Config) { c.HTTP = "0.0.0.0:0" }, "--open"},
		"port in use":     {func(c *gateway.Config) { c.HTTP = taken.Addr().String() }, "http: "},
		"admin in use":    {func(c *gateway.Config) { c.Admin = taken.Addr().String() }, "--admin"},
		"no token file":   {func(c *gateway.Config) { c.AuthTokenFile = bad + "x" }, "auth-token-file: "},
		"bad token file":  {func(c *gateway.Config) { c.AuthTokenFile = bad }, "line 1"},
		"bad certificate": {func(c *gateway.Config) { c.TLSCert, c.TLSKey = bad, bad }, "tls-cert"},
		"bad node id":     {func(c *gateway.Config) { c.Data = badData }, "node-id"},
		"data is a file":  {func(c *gateway.Config) { c.Data = bad }, "data: "},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := defaults(t)
			cfg.HTTP, cfg.Media, cfg.Admin, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
			tc.change(&cfg)
			g, err := gateway.New(cfg, slog.New(slog.DiscardHandler))
			if err == nil {
				_ = g.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %q, want %q in it", err, tc.want)
			}
		})
	}
}

// TestWarnings: what is allowed and may be a mistake is told of at the start.
func TestWarnings(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*gateway.Config)
		want   string // "" none
	}{
		"on loopback":  {func(*gateway.Config) {}, ""},
		"no admin":     {func(c *gateway.Config) { c.Admin = "off" }, ""},
		"public admin": {func(c *gateway.Config) { c.Admin = ":0" }, "admin listener can be reached"},
		"public HTTP":  {func(c *gateway.Config) { c.HTTP, c.Media, c.Open = ":0", ":0", true }, "plain HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, log := onLoopback(t), &journal{}
			tc.change(&cfg)
			g, err := gateway.New(cfg, slog.New(slog.NewTextHandler(log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
			want := 0
			if tc.want != "" {
				want = 1
			}
			if got := log.count("level=WARN"); got != want || log.count(tc.want) == 0 && want > 0 {
				t.Errorf("got %d warnings, want %d with %q", got, want, tc.want)
			}
		})
	}
}

func TestClose(t *testing.T) {
	cfg := defaults(t)
	cfg.HTTP, cfg.Media, cfg.Admin, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	g, err := gateway.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAnnounce(t *testing.T) {
	n := gatewaytest.Start(t)
	var out strings.Builder
	if err := n.Announce(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"http     " + strings.TrimPrefix(n.LocalURL(), "http://"),
		"media    " + n.MediaAddr().String(),
		"admin    " + strings.TrimPrefix(n.AdminURL(), "http://"),
		"publish  " + n.URL() + "/whip/demo  (page " + n.URL() + "/publish/demo)",
		"play     " + n.URL() + "/whep/demo  (page " + n.URL() + "/play/demo)",
		"-f whip -authorization anything " + n.URL() + "/whip/demo",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestWildcard: nobody can go to 0.0.0.0, so no URL says so.
func TestWildcard(t *testing.T) {
	n := gatewaytest.Start(t, func(c *gateway.Config) { c.HTTP, c.Media = "0.0.0.0:0", ":0" })
	if strings.Contains(n.URL(), "0.0.0.0") {
		t.Errorf("the URL is %s", n.URL())
	}
	if status, _ := get(t, n.Client, n.URL()+"/healthz"); status != http.StatusOK {
		t.Errorf("the URL does not lead here: %d", status)
	}
}

// writeCertificate keeps a fresh self-signed certificate in two files.
func writeCertificate(t *testing.T, certFile, keyFile string) (serial string) {
	t.Helper()
	cert, key := selfSigned(t)
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Raw},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		// Renamed into place, as certificate tools do.
		if err := os.WriteFile(file+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	return cert.SerialNumber.String()
}

// eventually polls with a bound.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
