package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/sluicemedia/sluice/auth"
)

// TestJWKSContents: keys that are not for verifying signatures, or too weak, are as if they were not there.
func TestJWKSContents(t *testing.T) {
	signer := signers()["ES256"]
	public := jose.JSONWebKey{Key: signer.Public(), KeyID: "k"}
	one := func(change func(fields map[string]any)) string {
		raw, err := public.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]any{}
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatal(err)
		}
		change(fields)
		raw, err = json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": "unheard-of"}, fields}})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	field := func(name string, value any) string { return one(func(f map[string]any) { f[name] = value }) }
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	many := `{"keys":[` + strings.Repeat(`{"kty":"x"},`, 50) + strings.TrimPrefix(field("use", "sig"), `{"keys":[`)
	for name, tc := range map[string]struct {
		body string
		want error
	}{
		"as it is":       {one(func(map[string]any) {}), nil},
		"use sig":        {field("use", "sig"), nil},
		"right alg":      {field("alg", "ES256"), nil},
		"key_ops verify": {field("key_ops", []string{"verify"}), nil},
		"unknown field":  {field("color", "red"), nil},

		"use enc":          {field("use", "enc"), auth.ErrUnavailable},
		"key_ops encrypt":  {field("key_ops", []string{"encrypt"}), auth.ErrUnavailable},
		"other alg":        {field("alg", "RS256"), auth.ErrUnavailable},
		"alg of ECDH":      {field("alg", "ECDH-ES"), auth.ErrUnavailable},
		"kty oct":          {`{"keys":[{"kty":"oct","kid":"k","k":"` + base64.RawURLEncoding.EncodeToString([]byte(secret)) + `"}]}`, auth.ErrUnavailable},
		"private":          {set(t, map[string]crypto.PublicKey{"k": signer}), auth.ErrUnavailable},
		"not on the curve": {field("x", base64.RawURLEncoding.EncodeToString(make([]byte, 32))), auth.ErrUnavailable},
		"P-384":            {set(t, map[string]crypto.PublicKey{"k": p384.Public()}), auth.ErrUnavailable},
		"RSA 1024":         {set(t, map[string]crypto.PublicKey{"k": weak.Public()}), auth.ErrUnavailable},
		"long kid":         {field("kid", strings.Repeat("k", 257)), auth.ErrUnavailable},
		"too many":         {many, auth.ErrUnavailable},
		"too large":        {field("color", strings.Repeat("r", 256<<10)), auth.ErrUnavailable},
		"a list":           {`[]`, auth.ErrUnavailable},
		"HTML":             {`<html>`, auth.ErrUnavailable},
		"empty":            {``, auth.ErrUnavailable},
		"null keys":        {`{"keys":[null]}`, auth.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			source := &keySet{status: 200, body: tc.body}
			j := jwks(t, auth.JWKSConfig{URL: "https://keys.test/", Transport: source})
			token := sign(t, "ES256", signer, kid("k"), good())
			g, err := j.Verify(t.Context(), token)
			check(t, token, g, err, tc.want)
			if strings.HasPrefix(name, "kty oct") {
				if _, err := j.Verify(t.Context(), sign(t, "HS256", []byte(secret), kid("k"), good())); !errors.Is(err, auth.ErrInvalid) {
					t.Errorf("a secret at a URL signs: %v", err)
				}
			}
		})
	}
}

// TestJWKSRedirect: keys come from where the operator said.
func TestJWKSRedirect(t *testing.T) {
	source := &keySet{status: 200, body: set(t, map[string]crypto.PublicKey{"k": signers()["ES256"].Public()})}
	elsewhere := httptest.NewServer(source)
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer server.Close()
	j := jwks(t, auth.JWKSConfig{URL: server.URL})
	if _, err := j.Verify(t.Context(), sign(t, "ES256", signers()["ES256"], kid("k"), good())); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if n := len(source.times()); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
}

func TestURLs(t *testing.T) {
	for raw, want := range map[string]bool{
		"https://idp.example/keys":          true,
		"https://idp.example:8443/k?a=b":    true,
		"http://127.0.0.1:8080/keys":        true,
		"http://127.9.9.9/keys":             true,
		"http://[::1]:8080/keys":            true,
		"http://localhost/keys":             true,
		"http://idp.example/keys":           false,
		"http://10.0.0.1/keys":              false,
		"http://127.0.0.1.idp.example/keys": false,
		"http://localhost.idp.example/keys": false,
		"https://user:pass@idp.example/":    false,
		"https://user@idp.example/":         false,
		"https:///keys":                     false,
		"https://idp.example/#keys":         false,
		"ftp://idp.example/":                false,
		"file:///etc/passwd":                false,
		"idp.example/keys":                  false,
		"https://idp.example/%zz":           false,
		"":                                  false,
	} {
		source := &keySet{status: 404}
		j, err := auth.NewJWKS(t.Context(), auth.JWKSConfig{URL: raw, Transport: source})
		if (err == nil) != want {
			t.Errorf("%s: got %v, want taken %t", raw, err, want)
		}
		if err == nil {
			j.Close()
		} else if strings.Contains(err.Error(), "pass@") {
			t.Errorf("%q repeats the password", err)
		}
	}
}
