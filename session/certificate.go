package session

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"time"

	"github.com/pion/dtls/v3"
)

// newCertificate makes the certificate that a Table shows to all its peers.
// They compare its fingerprint with the answer's, nothing else in it counts.
func newCertificate() (cert tls.Certificate, fingerprint string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("session: make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("session: make a serial number: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "sluice"},
		NotBefore:    now.AddDate(0, 0, -1), // clocks differ
		NotAfter:     now.AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("session: make a certificate: %w", err)
	}
	sum := sha256.Sum256(der)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, strings.Join(pairs, ":"), nil
}

// dtlsOptions are the DTLS options of a Table.
type dtlsOptions struct{ shared []dtls.Option }

func newDTLSOptions(cert tls.Certificate, log *slog.Logger) dtlsOptions {
	return dtlsOptions{shared: []dtls.Option{
		dtls.WithCertificates(cert),
		// As server our order decides, and GCM costs less than half. As client the
		// viewer decides: Chromium then takes AES_CM. A list without it would make
		// GCM sure there, but a viewer that knows AES_CM only refuses such a list with
		// a fatal alert, and there is no second attempt after that.
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true), // self-signed: the fingerprint decides
		dtls.WithFlightInterval(flight),
		dtls.WithLoggerFactory(pionLogs{log}),
	}}
}

// server adds what only the server role needs: a certificate is demanded,
// because the fingerprint check is skipped for who shows none, and there is no
// cookie round trip, because the connectivity check has proven the address.
func (d dtlsOptions) server(verify dtls.Option) []dtls.ServerOption {
	o := []dtls.ServerOption{verify, dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithInsecureSkipVerifyHello(true)}
	for _, s := range d.shared {
		o = append(o, s)
	}
	return o
}

func (d dtlsOptions) client(verify dtls.Option) []dtls.ClientOption {
	o := []dtls.ClientOption{verify}
	for _, s := range d.shared {
		o = append(o, s)
	}
	return o
}
