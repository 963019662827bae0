package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Bounds of a key file.
const (
	minSecret  = 32 // bytes: RFC 7518 section 3.2 wants as many as HS256 has
	maxKeyFile = 64 << 10
	maxPEMKeys = 16
	minRSABits = 2048 // RFC 7518 section 3.3
	maxRSABits = 8192 // more only costs time
)

// ParseKeys reads a key file: one or several PEM blocks, public or private keys (RSA, ECDSA on
// P-256, Ed25519), or else a secret, which is the file as it stands without the end of its last
// line. What looks like a public key in another form is refused: as a secret, it would be one that
// everybody knows.
func ParseKeys(file []byte) (*Keys, error) {
	switch {
	case len(file) > maxKeyFile:
		return nil, fmt.Errorf("auth: the key file is larger than %d KiB", maxKeyFile>>10)
	case bytes.Contains(file, []byte("-----BEGIN ")):
		return parsePEM(file)
	}
	if err := mistaken(file); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(file, []byte("\n")), []byte("\r"))
	if len(secret) < minSecret {
		return nil, fmt.Errorf("auth: the secret has %d bytes and needs %d: make one with `openssl rand -hex 32`", len(secret), minSecret)
	}
	secret = bytes.Clone(secret)
	return &Keys{keys: []key{{alg: hs256, public: secret, signer: secret}}}, nil
}

// mistaken tells what a file is that should not be used as a secret.
func mistaken(file []byte) error {
	text := strings.TrimSpace(string(file))
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"} {
		if strings.HasPrefix(text, prefix) {
			return errors.New("this is a key of SSH: turn it into PEM with `ssh-keygen -e -m PKCS8 -f FILE`")
		}
	}
	if strings.HasPrefix(text, "{") && (strings.Contains(text, `"kty"`) || strings.Contains(text, `"keys"`)) {
		return errors.New("this is a JSON Web Key: serve it at a URL and name that as auth-jwks, or turn it into PEM")
	}
	var der asn1.RawValue
	if _, err := asn1.Unmarshal(file, &der); err != nil { // what follows may be the end of a line
		return nil //nolint:nilerr // it is no DER at all
	}
	_, pkix := x509.ParsePKIXPublicKey(der.FullBytes)
	_, pkcs1 := x509.ParsePKCS1PublicKey(der.FullBytes)
	_, cert := x509.ParseCertificate(der.FullBytes)
	if pkix == nil || pkcs1 == nil || cert == nil {
		return errors.New("this is a key in DER: turn it into PEM with `openssl pkey -inform DER`")
	}
	return nil
}

func parsePEM(file []byte) (*Keys, error) {
	k := &Keys{}
	for n := 1; ; n++ {
		block, rest := pem.Decode(file)
		if block == nil {
			break
		}
		file = rest
		if block.Type == "EC PARAMETERS" {
			continue // openssl writes them before a private key, which repeats them
		}
		key, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("auth: PEM block %d: %w", n, err)
		}
		if k.keys = append(k.keys, key); len(k.keys) > maxPEMKeys {
			return nil, fmt.Errorf("auth: the key file has more than %d keys", maxPEMKeys)
		}
	}
	if len(k.keys) == 0 || bytes.Contains(file, []byte("-----BEGIN ")) {
		return nil, errors.New("auth: the key file has a PEM block that cannot be read")
	}
	return k, nil
}

func parseBlock(block *pem.Block) (key, error) {
	var parsed any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	case "CERTIFICATE":
		return key{}, errors.New("a certificate is no key: take its key with `openssl x509 -pubkey -noout -in FILE`")
	case "ENCRYPTED PRIVATE KEY":
		return key{}, errors.New("the key is encrypted: decrypt it with `openssl pkey -in FILE`, or give its public part")
	default:
		return key{}, errors.New("neither a public nor a private key")
	}
	if err != nil {
		return key{}, errors.New("the key cannot be read") // the parser's words may be about its secret parts
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return publicKey(parsed)
	}
	k, err := publicKey(private.Public())
	k.signer = private
	return k, err
}

// publicKey tells what a public key verifies.
func publicKey(public any) (key, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return key{}, fmt.Errorf("an RSA key has %d to %d bits, this one %d", minRSABits, maxRSABits, bits)
		}
		return key{alg: rs256, public: p}, nil
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return key{}, errors.New("of the ECDSA keys, only those on P-256 are taken")
		}
		return key{alg: es256, public: p}, nil
	case ed25519.PublicKey:
		return key{alg: edDSA, public: p}, nil
	default:
		return key{}, errors.New("keys are RSA, ECDSA on P-256 or Ed25519")
	}
}
