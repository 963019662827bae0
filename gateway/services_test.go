package gateway_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicemedia/sluice/gateway"
)

// keyServer serves one public key, which can be changed.
type keyServer struct {
	*httptest.Server
	mu      sync.Mutex
	kid     string
	private ed25519.PrivateKey
	fetched int
}

func newKeyServer(t *testing.T) *keyServer {
	t.Helper()
	s := &keyServer{}
	s.rotate(t, "one")
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fetched++
		public, _ := s.private.Public().(ed25519.PublicKey)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{ // the node may be gone
			"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": s.kid, "x": base64.RawURLEncoding.EncodeToString(public),
		}}})
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) rotate(t *testing.T, kid string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kid, s.private = kid, private
}

func (s *keyServer) sign(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["kid"] = s.kid
	text, err := token.SignedString(s.private)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestKeysOfAURL lets a node verify JWTs by the keys of a URL.
func TestKeysOfAURL(t *testing.T) {
	keys := newKeyServer(t)
	n := start(t, func(c *gateway.Config) { c.AuthJWKS, c.AuthAudience = keys.URL+"/keys", "sluice" })
	status := func(token string) answer { return n.do(t, "GET", "/v1/rooms", bearerOf(token), "") }
	good := keys.sign(t, claimsFor("admin", "aud", "sluice"))
	if resp := status(good); resp.StatusCode != http.StatusOK {
		t.Errorf("got %d %s, want 200", resp.StatusCode, resp.Body)
	}
	for name, token := range map[string]string{
		"another audience":  keys.sign(t, claimsFor("admin", "aud", "somebody else")),
		"no audience":       keys.sign(t, claimsFor("admin")),
		"a secret's":        sign(t, claimsFor("admin", "aud", "sluice")),
		"another signature": good[:len(good)-8] + "AAAAAAAA",
	} {
		if resp := status(token); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: got %d %s, want 401", name, resp.StatusCode, resp.Body)
		}
	}
	// Tokens that name keys which nobody has are no way to make the node fetch.
	for range 50 {
		forged := keys.sign(t, claimsFor("admin", "aud", "sluice"))
		head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"` + forged[len(forged)-10:] + `"}`))
		_, rest, _ := strings.Cut(forged, ".")
		if resp := status(head + "." + rest); resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("an unknown kid: got %d %s", resp.StatusCode, resp.Body)
		}
	}
	n.shows(t, "sluice_auth_jwks_failures_total 0", "sluice_auth_jwks_keys 1")
	n.hides(t, "sluice_auth_webhook_")
	keys.mu.Lock()
	defer keys.mu.Unlock()
	if keys.fetched > 2 {
		t.Errorf("the keys were fetched %d times, want once at the start and once for what is unknown", keys.fetched)
	}
}

const (
	hookSecret  = "whsec_c2l4dGVlbi1ieXRlcy1pcy1ub3QtZW5vdWdoLWhlcmU="
	otherSecret = "whsec_YW5vdGhlci1zZWNyZXQtd2hpY2gtaXMtYXMtbG9uZy1hcy1pdA=="
)

// judge is a service that knows tokens, and who asks.
type judge struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	asked  int
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	j := &judge{secret: hookSecret}
	j.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.asked++
		verifier, err := standardwebhooks.NewWebhook(j.secret)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		switch {
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError) // it is out of order for the one who asks
		case strings.Contains(string(body), `"token":"known-`):
			_, _ = w.Write([]byte(`{"identity":"ann","rooms":["demo"],"can":["admin"]}`)) // the node may be gone
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(j.Close)
	return j
}

// TestTokensOfAService asks a service about tokens, with secrets that are
// rotated while the node runs.
func TestTokensOfAService(t *testing.T) {
	service := newJudge(t)
	file := filepath.Join(t.TempDir(), "secrets")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(hookSecret)
	cfg := onLoopback(t)
	cfg.AuthWebhook, cfg.AuthWebhookSecretFile = service.URL, file
	running, log, hangup, _ := reloading(t, cfg)
	n := node{running}
	want := func(name, token string, status int) {
		t.Helper()
		if resp := n.do(t, "GET", "/v1/rooms", bearerOf(token), ""); resp.StatusCode != status {
			t.Errorf("%s: got %d %s, want %d", name, resp.StatusCode, resp.Body, status)
		}
	}
	for range 5 {
		want("a known token", "known-1", http.StatusOK)
	}
	want("an unknown one", "unknown-1", http.StatusUnauthorized)
	want("none", "", http.StatusUnauthorized)
	service.mu.Lock()
	asked := service.asked
	service.mu.Unlock()
	if asked != 2 {
		t.Errorf("the service was asked %d times about two tokens", asked)
	}
	write("too short")
	hangup <- syscall.SIGHUP
	eventually(t, "a file that is wrong is refused", func() bool { return log.count("configuration not reloaded") == 1 })
	want("with the old secret", "known-2", http.StatusOK)
	write(otherSecret + "\n" + hookSecret)
	hangup <- syscall.SIGHUP
	eventually(t, "the secrets are reloaded", func() bool { return log.count("configuration reloaded") >= 1 })
	service.mu.Lock()
	service.secret = otherSecret
	service.mu.Unlock()
	want("with the new secret", "known-3", http.StatusOK)
	service.Close()
	resp := n.do(t, "GET", "/v1/rooms", bearerOf("known-4"), "")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(resp.Body, "/problems/auth-unavailable") {
		t.Errorf("nobody answers: got %d %s, want 503", resp.StatusCode, resp.Body)
	}
	want("what is remembered", "known-1", http.StatusOK)
	n.shows(t, "sluice_auth_webhook_questions_total 5", "sluice_auth_webhook_failures_total 1", "sluice_auth_webhook_out 0")
	n.hides(t, "sluice_auth_jwks_")
}

// metrics is what a scrape gets, every line with a line break before and after it.
func (n node) metrics(t *testing.T) string {
	t.Helper()
	_, body := get(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, n.AdminURL()+"/metrics")
	return "\n" + body
}

func (n node) shows(t *testing.T, lines ...string) {
	t.Helper()
	body := n.metrics(t)
	for _, line := range lines {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("%q is not in /metrics", line)
		}
	}
}

func (n node) hides(t *testing.T, prefix string) {
	t.Helper()
	if strings.Contains(n.metrics(t), "\n"+prefix) {
		t.Errorf("%s… is in /metrics", prefix)
	}
}
