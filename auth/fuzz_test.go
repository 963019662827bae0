package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var fuzzSecret = []byte("0123456789abcdef0123456789abcdef")

// FuzzToken: whatever a token is, nothing panics, and nobody without the key makes one that is taken.
func FuzzToken(f *testing.F) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	keys := &Keys{keys: []key{{alg: hs256, public: secret}, {alg: es256, public: &ec.PublicKey}, {alg: edDSA, public: ed}}}
	issuer := NewIssuer(func() []Key { return []Key{{ID: "1", Secret: secret}} })
	encode := base64.RawURLEncoding.EncodeToString
	for _, head := range []string{
		`{"alg":"none"}`, `{"alg":"HS256","kid":"1"}`, `{"alg":"ES256"}`, `{"alg":"EdDSA","crit":["x"]}`, `{"alg":7}`, `[]`, `null`, `{"alg":"HS256","kid":{}}`,
	} {
		f.Add(encode([]byte(head)) + "." + encode([]byte(`{"iss":"sluice","exp":1e99,"rooms":["*"],"can":["admin"]}`)) + "." + encode(make([]byte, 64)))
	}
	f.Add("..")
	f.Add("")
	f.Add(strings.Repeat("a.", 3000))
	f.Fuzz(func(t *testing.T, token string) {
		for _, v := range []Verifier{keys, issuer, Chain(issuer, keys)} {
			g, err := v.Verify(t.Context(), token)
			if !errors.Is(err, ErrInvalid) || g.AllowsSomewhere(Admin) {
				t.Errorf("%q: got %+v, %v", token, g, err)
			}
			if err != nil && len(token) > 8 && strings.Contains(err.Error(), token) {
				t.Errorf("%q repeats the token", err)
			}
		}
	})
}

// FuzzClaims: whatever a token says that is signed, what is taken of it is within bounds.
func FuzzClaims(f *testing.F) {
	now := time.Now().Unix()
	f.Add([]byte(`{"alg":"HS256"}`), fmt.Appendf(nil, `{"sub":"a","exp":%d,"rooms":["a","b*"],"can":["publish"]}`, now+60))
	f.Add([]byte(`{"alg":"HS256","kid":"x"}`), fmt.Appendf(nil, `{"exp":%d.5,"iat":-1e300,"nbf":1e300,"rooms":"a","can":null,"aud":[]}`, now+60))
	f.Add([]byte(`{"alg":"HS256"}`), []byte(`{"exp":"1","exp":9223372036854775807}`))
	f.Add([]byte(`{"alg":"HS256"}`), []byte(`{"EXP":9e18,"rooms":[null]}`))
	keys, err := ParseKeys(fuzzSecret)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		encode := base64.RawURLEncoding.EncodeToString
		signed := encode(header) + "." + encode(claims)
		mac := hmac.New(sha256.New, fuzzSecret)
		mac.Write([]byte(signed))
		g, err := keys.Verify(t.Context(), signed+"."+encode(mac.Sum(nil)))
		if err == nil {
			withinBounds(t, g, true)
		}
	})
}

func withinBounds(t *testing.T, g Grants, ends bool) {
	t.Helper()
	left := time.Until(g.Expires)
	switch {
	case ends && (left < -time.Second || left > DefaultMaxLife+leeway):
		t.Errorf("taken, and good until %v", g.Expires)
	case len(g.Identity) > maxIdentity || len(g.Name) > maxIdentity || len(g.TokenID) > maxIdentity || g.TokenID == "":
		t.Errorf("taken, with %q, %q, %q", g.Identity, g.Name, g.TokenID)
	case len(g.rules) > maxRooms:
		t.Errorf("taken, with %d rooms", len(g.rules))
	}
	for _, r := range g.rules {
		if !r.rooms.Valid() {
			t.Errorf("taken, with the room %q", r.rooms)
		}
		for grant := range r.grants {
			if !grant.known() {
				t.Errorf("taken, with the grant %q", grant)
			}
		}
	}
}

// FuzzJWKS: whatever a URL serves, keys are public, strong and for one kind of signature.
func FuzzJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"oct","k":"AAAA"},null,7,{"kty":"RSA","e":"","n":""}]}`))
	f.Add([]byte(`{"keys":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseJWKSet(body)
		if (err == nil) != (len(keys) > 0) || len(keys) > maxSetKeys {
			t.Fatalf("got %d keys and %v", len(keys), err)
		}
		for _, k := range keys {
			if k.signer != nil || len(k.kid) > maxKeyID {
				t.Errorf("got %+v", k)
			}
			fits := false
			switch p := k.public.(type) {
			case *rsa.PublicKey:
				fits = k.alg == rs256 && p.N.BitLen() >= minRSABits && p.N.BitLen() <= maxRSABits
			case *ecdsa.PublicKey:
				fits = k.alg == es256 && p.Curve == elliptic.P256()
			case ed25519.PublicKey:
				fits = k.alg == edDSA && len(p) == ed25519.PublicKeySize
			}
			if !fits {
				t.Errorf("%T is for %s", k.public, k.alg)
			}
		}
	})
}

// FuzzKeyFile: what is taken has a key, and PEM is never taken for a secret.
func FuzzKeyFile(f *testing.F) {
	f.Add(fuzzSecret)
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----"))
	f.Add([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUFdmBmQPFXd5jB1zIjnGbZSqLZR7m4x7+dNgKvHqRV me"))
	f.Add([]byte(`{"kty":"EC","crv":"P-256"}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, err := ParseKeys(file)
		if err != nil {
			if len(file) > 16 && strings.Contains(err.Error(), string(file)) {
				t.Errorf("%q repeats the file", err)
			}
			return
		}
		if len(k.keys) == 0 || len(k.keys) > maxPEMKeys {
			t.Errorf("%d keys", len(k.keys))
		}
		for _, key := range k.keys {
			if secret, ok := key.public.([]byte); ok != (key.alg == hs256) || ok && (len(secret) < minSecret || bytes.Contains(file, []byte("-----BEGIN "))) {
				t.Errorf("%s with %d bytes", key.alg, len(secret))
			}
		}
	})
}

// FuzzVerdict: whatever a webhook answers, what is taken of it is within bounds.
func FuzzVerdict(f *testing.F) {
	f.Add([]byte(`{"identity":"ann","name":"Ann","rooms":["studio"],"can":["publish"],"expires":"2030-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"rooms":"*","can":"admin","id":"7","issued":"0001-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"expires":""}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := parseAnswer(body, "token-1")
		switch {
		case err != nil || v.err != nil:
			if v.grants.AllowsSomewhere(Admin) {
				t.Errorf("%v, %v, and yet %+v", err, v.err, v.grants)
			}
		case json.Valid(body):
			withinBounds(t, v.grants, false)
		default:
			t.Error("what is no JSON was taken")
		}
	})
}
