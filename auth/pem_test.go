package auth_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/auth"
)

func block(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// TestPEMForms: the ways in which tools write one key are one key.
func TestPEMForms(t *testing.T) {
	rsaKey, ecKey := signers()["RS256"].(*rsa.PrivateKey), signers()["ES256"].(*ecdsa.PrivateKey)
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	parameters := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	for name, tc := range map[string]struct {
		file, alg string
		signs     bool
	}{
		"PKCS #1 private":     {block(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil), "RS256", true},
		"PKCS #1 public":      {block(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey), nil), "RS256", false},
		"PKCS #8":             {privatePEM(t, rsaKey), "RS256", true},
		"PKIX":                {publicPEM(t, rsaKey.Public()), "RS256", false},
		"SEC 1":               {block(t, "EC PRIVATE KEY", sec1, err), "ES256", true},
		"SEC 1 as by openssl": {parameters + block(t, "EC PRIVATE KEY", sec1, err), "ES256", true},
		"words around it":     {"# the key of 2026\n" + publicPEM(t, ecKey.Public()) + "the end\n", "ES256", false},
		"line ends of DOS":    {strings.ReplaceAll(publicPEM(t, ecKey.Public()), "\n", "\r\n"), "ES256", false},
		"two keys":            {publicPEM(t, rsaKey.Public()) + publicPEM(t, ecKey.Public()), "ES256", false},
		"public and private":  {publicPEM(t, rsaKey.Public()) + privatePEM(t, ecKey), "ES256", true},
	} {
		t.Run(name, func(t *testing.T) {
			k := keys(t, tc.file)
			if k.CanMint() != tc.signs {
				t.Errorf("can sign: got %t, want %t", k.CanMint(), tc.signs)
			}
			if k.HasPrivate() != tc.signs {
				t.Errorf("has a private key: got %t, want %t", k.HasPrivate(), tc.signs)
			}
			token := sign(t, tc.alg, signers()[tc.alg], nil, good())
			if _, err := k.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
			if !tc.signs {
				return
			}
			token, err := k.Mint(auth.Claims{Expires: time.Now().Add(time.Minute)})
			if err != nil || header(t, token)["alg"] != tc.alg {
				t.Errorf("got %s, %v", token, err)
			}
		})
	}
}

// TestKeyFileRefuses: above all, what looks like a public key never becomes a secret.
func TestKeyFileRefuses(t *testing.T) {
	rsaKey, edKey := signers()["RS256"].(*rsa.PrivateKey), signers()["EdDSA"]
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 16384), E: 65537}
	huge.N.SetBit(huge.N, 0, 1)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, edKey.Public(), edKey)
	if err != nil {
		t.Fatal(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	one := publicPEM(t, edKey.Public())
	for name, tc := range map[string]struct{ file, want string }{
		"empty":                    {"", "openssl rand"},
		"short secret":             {secret[:31], "openssl rand"},
		"short secret, line end":   {secret[:31] + "\n", "31 bytes"},
		"too large":                {strings.Repeat("x", 64<<10+1), "64 KiB"},
		"RSA 1024":                 {publicPEM(t, weak.Public()), "1024"},
		"RSA 16385":                {publicPEM(t, huge), "16385"},
		"P-384":                    {publicPEM(t, p384.Public()), "P-256"},
		"X25519":                   {privatePEM(t, x25519), "Ed25519"},
		"certificate":              {block(t, "CERTIFICATE", certificate, nil), "openssl x509"},
		"encrypted":                {block(t, "ENCRYPTED PRIVATE KEY", []byte("x"), nil), "decrypt"},
		"request":                  {block(t, "CERTIFICATE REQUEST", []byte("x"), nil), "neither"},
		"PEM of nothing":           {block(t, "PUBLIC KEY", nil, nil), "block 1"},
		"PEM of something else":    {block(t, "PRIVATE KEY", pkix, nil), "cannot be read"},
		"the second is bad":        {one + block(t, "PUBLIC KEY", []byte("x"), nil), "block 2"},
		"cut":                      {one[:len(one)-20], "PEM block"},
		"the second is cut":        {one + one[:len(one)-20], "PEM block"},
		"begins and never ends":    {strings.Repeat("x", 64) + "-----BEGIN PUBLIC KEY-----", "PEM block"},
		"17 keys":                  {strings.Repeat(one, 17), "16 keys"},
		"public key of SSH":        {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUFdmBmQPFXd5jB1zIjnGbZSqLZR7m4x7+dNgKvHqRV me", "ssh-keygen"},
		"ECDSA key of SSH":         {"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTY= me", "ssh-keygen"},
		"JWK":                      {` {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, "auth-jwks"},
		"JWK set":                  {`{"keys":[{"crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, "auth-jwks"},
		"DER":                      {string(pkix), "-inform DER"},
		"DER of PKCS #1":           {string(x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)), "-inform DER"},
		"DER of a certificate":     {string(certificate), "-inform DER"},
		"DER, saved with line end": {string(pkix) + "\n", "-inform DER"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := auth.ParseKeys([]byte(tc.file))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want a word about %q", err, tc.want)
			}
			if len(tc.file) > 16 && strings.Contains(err.Error(), tc.file[:16]) {
				t.Errorf("%q repeats the file", err)
			}
		})
	}
}

// TestSecretFile: one end of a line is not part of a secret; everything else is.
func TestSecretFile(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		same bool
	}{
		"as it is":         {secret, true},
		"line end":         {secret + "\n", true},
		"line end of DOS":  {secret + "\r\n", true},
		"two line ends":    {secret + "\n\n", false},
		"space at the end": {secret + " ", false},
		"space before":     {" " + secret, false},
	} {
		token := sign(t, "HS256", []byte(secret), nil, good())
		_, err := keys(t, tc.file).Verify(t.Context(), token)
		if (err == nil) != tc.same || err != nil && !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: got %v, want the same secret: %t", name, err, tc.same)
		}
	}
}
