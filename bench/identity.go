package bench

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// digests is the hash functions of RFC 8122 that are of this century.
var digests = map[string]func([]byte) []byte{
	"sha-256": func(der []byte) []byte { sum := sha256.Sum256(der); return sum[:] },
	"sha-384": func(der []byte) []byte { sum := sha512.Sum384(der); return sum[:] },
	"sha-512": func(der []byte) []byte { sum := sha512.Sum512(der); return sum[:] },
}

var errFingerprint = errors.New("the server's certificate does not match the fingerprint of its answer")

// check tells whether the first of a row of certificates is the one announced.
func (f fingerprint) check(certs [][]byte, _ [][]*x509.Certificate) error {
	if len(certs) == 0 || !bytes.Equal(digests[f.hash](certs[0]), f.sum) {
		return errFingerprint
	}
	return nil
}

// identity is the certificate that all viewers share: making one for each would
// only cost the generator.
type identity struct {
	cert        tls.Certificate
	fingerprint string // as in an offer
}

func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("bench: make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(7 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return identity{}, fmt.Errorf("bench: make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, fmt.Errorf("bench: read the certificate: %w", err)
	}
	sum := sha256.Sum256(der)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return identity{
		cert:        tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		fingerprint: "sha-256 " + strings.Join(pairs, ":"),
	}, nil
}

// randomText is n random bytes as letters and digits, for ICE credentials.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
