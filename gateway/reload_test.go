package gateway_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// journal is a log that a test can read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), text)
}

// reloading runs a node whose configuration the test changes by set.
func reloading(t *testing.T, cfg gateway.Config) (n *gatewaytest.Node, log *journal, hangup chan<- os.Signal, set func(gateway.Config, error)) {
	t.Helper()
	log = &journal{}
	var mu sync.Mutex
	var loadErr error
	now := cfg
	load := func() (gateway.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		return now, loadErr
	}
	ask := make(chan os.Signal, 1)
	n = gatewaytest.Run(t, cfg, slog.New(slog.NewTextHandler(log, nil)), func(g *gateway.Gateway) { g.ReloadOn(load, ask) })
	return n, log, ask, func(c gateway.Config, err error) {
		mu.Lock()
		defer mu.Unlock()
		now, loadErr = c, err
	}
}

func onLoopback(t *testing.T) gateway.Config {
	t.Helper()
	cfg := defaults(t)
	cfg.HTTP, cfg.Media, cfg.Admin, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	return cfg
}

// status asks for the list of rooms with a token.
func status(t *testing.T, n *gatewaytest.Node, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.LocalURL()+"/v1/rooms", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := n.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // only the status matters
	return resp.StatusCode
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTokenFileIsFollowed(t *testing.T) {
	cfg := onLoopback(t)
	cfg.AuthTokenFile = filepath.Join(t.TempDir(), "tokens")
	write(t, cfg.AuthTokenFile, "first-token * admin\n")
	n, log, _, _ := reloading(t, cfg)
	if got := status(t, n, "first-token"); got != http.StatusOK {
		t.Fatalf("got %d", got)
	}
	// Written until it is seen, since the watch may begin after the first time;
	// but not all the time, since files are read when they are left alone.
	var written time.Time
	eventually(t, "the new token counts", func() bool {
		if time.Since(written) > 2*time.Second {
			written = time.Now()
			write(t, cfg.AuthTokenFile, "second-token * admin\n# "+written.String()+"\n")
		}
		return status(t, n, "second-token") == http.StatusOK
	})
	if log.count("configuration reloaded") == 0 {
		t.Error("the log does not tell of it")
	}
	if got := status(t, n, "first-token"); got != http.StatusUnauthorized {
		t.Errorf("the old token: got %d, want 401", got)
	}
	// A broken file changes nothing, and is told.
	write(t, cfg.AuthTokenFile, "second-token\n")
	eventually(t, "the broken file is told of", func() bool { return log.count("configuration not reloaded") > 0 })
	if got := status(t, n, "second-token"); got != http.StatusOK {
		t.Errorf("after a broken file: got %d, want 200", got)
	}
	if log.count("second-token") > 0 {
		t.Error("the log has a token in it")
	}
}

func TestSIGHUP(t *testing.T) {
	cfg := onLoopback(t)
	_, log, hangup, set := reloading(t, cfg)
	changed := cfg
	changed.URL, changed.MaxRooms, changed.DrainDeadline = "https://elsewhere.example", 1, time.Second
	set(changed, nil)
	hangup <- syscall.SIGHUP
	eventually(t, "the reload", func() bool { return log.count("configuration reloaded") == 1 })
	for setting, want := range map[string]int{"url": 1, "max-rooms": 1, "drain-deadline": 0, "http": 0} {
		if got := log.count(`msg="setting needs a restart" setting=` + setting + "\n"); got != want {
			t.Errorf("%s: told %d times that it needs a restart, want %d", setting, got, want)
		}
	}
	set(cfg, errors.New("config: line 3 is odd"))
	hangup <- syscall.SIGHUP
	eventually(t, "the error", func() bool { return log.count("line 3 is odd") == 1 })
	unsafe := cfg
	unsafe.HTTP = "0.0.0.0:80"
	set(unsafe, nil)
	hangup <- syscall.SIGHUP
	eventually(t, "the refusal", func() bool { return log.count("--open") == 1 })
}

func TestAuthenticationCannotBeLostByAReload(t *testing.T) {
	cfg := onLoopback(t)
	cfg.AuthTokenFile = filepath.Join(t.TempDir(), "tokens")
	write(t, cfg.AuthTokenFile, "first-token * admin\n")
	n, log, hangup, _ := reloading(t, cfg)
	if err := os.Remove(cfg.AuthTokenFile); err != nil {
		t.Fatal(err)
	}
	hangup <- syscall.SIGHUP
	eventually(t, "the missing file is told of", func() bool { return log.count("configuration not reloaded") > 0 })
	if got := status(t, n, "other-token"); got != http.StatusUnauthorized {
		t.Errorf("without the file: got %d, want 401", got)
	}
}

// TestReloadKeepsAPublicNodeGuarded: a new file without tokens is right for the
// loopback address that stands in it, but the node listens where it did.
func TestReloadKeepsAPublicNodeGuarded(t *testing.T) {
	cfg := onLoopback(t)
	cfg.HTTP, cfg.Media = "0.0.0.0:0", ":0"
	cfg.AuthTokenFile = filepath.Join(t.TempDir(), "tokens")
	write(t, cfg.AuthTokenFile, "first-token * admin\n")
	n, log, hangup, set := reloading(t, cfg)
	changed := cfg
	changed.HTTP, changed.AuthTokenFile = "127.0.0.1:0", ""
	set(changed, nil)
	hangup <- syscall.SIGHUP
	eventually(t, "the reload ended", func() bool {
		return log.count("configuration not reloaded")+log.count("configuration reloaded") > 0
	})
	if got := status(t, n, "other-token"); got != http.StatusUnauthorized {
		t.Errorf("without a token: got %d, want 401", got)
	}
	if log.count("--open") != 1 {
		t.Error("the log does not say what is wrong")
	}
}

func TestCertificateIsFollowed(t *testing.T) {
	cfg, dir := onLoopback(t), t.TempDir()
	cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	first := writeCertificate(t, cfg.TLSCert, cfg.TLSKey)
	n, _, hangup, _ := reloading(t, cfg)
	if !strings.HasPrefix(n.URL(), "https://127.0.0.1:") {
		t.Errorf("the URL is %s", n.URL())
	}
	serial := func() string {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
		conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(n.LocalURL(), "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	if got := serial(); got != first {
		t.Errorf("got the certificate %s, want %s", got, first)
	}
	second := writeCertificate(t, cfg.TLSCert, cfg.TLSKey)
	hangup <- syscall.SIGHUP
	eventually(t, "the new certificate", func() bool { return serial() == second })
}

func selfSigned(t *testing.T) (*x509.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pkcs8
}

// TestPrivateKeyFile: a node takes a private key for what it verifies, and says that it needs less.
func TestPrivateKeyFile(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		kind   string
		der    []byte
		warned int
	}{{"PRIVATE KEY", pkcs8, 1}, {"PUBLIC KEY", pkix, 0}} {
		cfg := defaults(t)
		cfg.HTTP, cfg.Media, cfg.Admin, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
		cfg.AuthKeyFile = filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(cfg.AuthKeyFile, pem.EncodeToMemory(&pem.Block{Type: tc.kind, Bytes: tc.der}), 0o600); err != nil {
			t.Fatal(err)
		}
		log := &journal{}
		gatewaytest.Run(t, cfg, slog.New(slog.NewTextHandler(log, nil)))
		if got := log.count("holds a private key"); got != tc.warned {
			t.Errorf("%s: got %d warnings, want %d", tc.kind, got, tc.warned)
		}
	}
}
