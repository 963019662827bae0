package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

const tokenSecret = "0123456789abcdef0123456789abcdef"

func keyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pemFile(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return keyFile(t, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

// TestToken makes tokens with every kind of key and verifies them with what a node would be given.
func TestToken(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := func(kind string) func([]byte, error) string {
		return func(der []byte, err error) string { t.Helper(); return pemFile(t, kind, der, err) }
	}
	private, public := file("PRIVATE KEY"), file("PUBLIC KEY")
	secretFile := keyFile(t, tokenSecret+"\n")
	for alg, files := range map[string][2]string{
		"HS256": {secretFile, secretFile},
		"RS256": {private(x509.MarshalPKCS8PrivateKey(rsaKey)), public(x509.MarshalPKIXPublicKey(rsaKey.Public()))},
		"ES256": {private(x509.MarshalPKCS8PrivateKey(ecKey)), public(x509.MarshalPKIXPublicKey(ecKey.Public()))},
		"EdDSA": {private(x509.MarshalPKCS8PrivateKey(edKey)), public(x509.MarshalPKIXPublicKey(edKey.Public()))},
	} {
		t.Run(alg, func(t *testing.T) {
			var out strings.Builder
			err := run(t.Context(), []string{
				"token", "--key-file", files[0], "--room", "studio,event-*", "--room", "other", "--publish", "--moderate",
				"--identity", "ann", "--name", "Ann B.", "--ttl", "24h", "--issuer", "me", "--audience", "sluice",
			}, &out, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			token, found := strings.CutSuffix(out.String(), "\n")
			if !found || strings.ContainsAny(token, " \n") {
				t.Errorf("printed %q, want the token and the end of the line", out.String())
			}
			keys, err := readKeys(files[1])
			if err != nil {
				t.Fatal(err)
			}
			g, err := keys.WithPolicy(auth.Policy{Issuer: "me", Audience: "sluice"}).Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			for grant, want := range map[auth.Grant]bool{auth.Publish: true, auth.Moderate: true, auth.Subscribe: false, auth.Record: false, auth.Admin: false} {
				for _, room := range []string{"studio", "event-9", "other"} {
					if g.Allows(room, grant) != want {
						t.Errorf("%s in %s: got %t, want %t", grant, room, !want, want)
					}
				}
			}
			if g.Allows("elsewhere", auth.Publish) || g.Identity != "ann" || g.Name != "Ann B." || g.TokenID == "" {
				t.Errorf("got %+v", g)
			}
			if left := time.Until(g.Expires); left > 24*time.Hour || left < 24*time.Hour-time.Minute {
				t.Errorf("good for %v, want 24 h", left)
			}
		})
	}
}

// TestTokenRefuses: exit status 2, nothing on stdout, and what to do about it.
func TestTokenRefuses(t *testing.T) {
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(ecKey.Public())
	public := pemFile(t, "PUBLIC KEY", der, err)
	secretFile, missing := keyFile(t, tokenSecret), filepath.Join(t.TempDir(), "missing")
	with := func(more ...string) []string {
		return append([]string{"--key-file", secretFile, "--identity", "ann", "--room", "studio", "--publish"}, more...)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no room":           {[]string{"--key-file", secretFile, "--identity", "ann", "--publish"}, "--room"},
		"no grant":          {[]string{"--key-file", secretFile, "--identity", "ann", "--room", "studio"}, "--subscribe"},
		"no identity":       {[]string{"--key-file", secretFile, "--room", "studio", "--publish"}, "--identity"},
		"bad room":          {with("--room", "a/b"), "a/b"},
		"asterisk inside":   {with("--room", "a*b"), "asterisk"},
		"empty room":        {[]string{"--key-file", secretFile, "--identity", "ann", "--room", "", "--publish"}, "--room"},
		"too long":          {with("--ttl", "24h1s"), "24h"},
		"no time":           {with("--ttl", "0s"), "--ttl"},
		"time past":         {with("--ttl=-1h"), "--ttl"},
		"control character": {with("--name", "a\nb"), "name"},
		"long identity":     {with("--identity", strings.Repeat("a", 129)), "128"},
		"no such file":      {append(with(), "--key-file", missing), missing},
		"public key":        {append(with(), "--key-file", public), "private key"},
		"short secret":      {append(with(), "--key-file", keyFile(t, "short")), "openssl rand"},
		"a directory":       {append(with(), "--key-file", t.TempDir()), "--key-file"},
		"large":             {append(with(), "--key-file", keyFile(t, strings.Repeat("x", 1<<17))), "64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := run(t.Context(), append([]string{"token"}, tc.args...), &out, io.Discard)
			status, ok := errors.AsType[*statusError](err)
			if !ok || status.status != statusNotRun || !strings.Contains(err.Error(), tc.want) || out.Len() != 0 {
				t.Errorf("got %v and %q, want status 2 and a word about %q", err, out.String(), tc.want)
			}
			if err != nil && strings.Contains(err.Error(), tokenSecret) {
				t.Errorf("%q repeats the secret", err)
			}
		})
	}
	for _, args := range [][]string{{}, with("--ttl", "long"), with("--fly")} {
		if err := run(t.Context(), append([]string{"token"}, args...), io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// TestTokenAtNode: what was made for one room and one grant opens just that at a node that has the public key.
func TestTokenAtNode(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	verifies := pemFile(t, "PUBLIC KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(private)
	signs := pemFile(t, "PRIVATE KEY", der, err)
	other := keyFile(t, tokenSecret)
	node := gatewaytest.Start(t, func(c *gateway.Config) { c.AuthKeyFile = verifies })
	for _, tc := range []struct {
		key, room, grant string
		want             int
	}{
		{signs, "demo", "--publish", http.StatusBadRequest}, // let in: there is no offer
		{signs, "de*", "--publish", http.StatusBadRequest},
		{signs, "other", "--publish", http.StatusForbidden},
		{signs, "demo", "--subscribe", http.StatusForbidden},
		{other, "demo", "--publish", http.StatusUnauthorized},
	} {
		var token strings.Builder
		if err := run(t.Context(), []string{"token", "--key-file", tc.key, "--room", tc.room, tc.grant, "--identity", "ann"}, &token, io.Discard); err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, node.URL()+"/whip/demo", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token.String()))
		req.Header.Set("Content-Type", "application/sdp")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.want {
			t.Errorf("%s in %s: got %d, want %d", tc.grant, tc.room, resp.StatusCode, tc.want)
		}
	}
}
