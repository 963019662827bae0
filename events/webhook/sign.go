package webhook

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

const (
	secretPrefix = "whsec_"
	// Standard Webhooks: a secret is 24 to 64 random bytes.
	minSecret, maxSecret = 24, 64
	maxSecrets           = 16 // each makes the signature header longer
	maxSecretLine        = 4096
)

// Secret signs what is sent.
type Secret []byte

// ParseSecrets reads secrets, a line each: whsec_ and base64. Empty lines and
// those that begin with # are left out. Errors name the line, not what is in it.
func ParseSecrets(r io.Reader) ([]Secret, error) {
	var secrets []Secret
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxSecretLine)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		text, ok := strings.CutPrefix(line, secretPrefix)
		if !ok {
			return nil, fmt.Errorf("line %d: a secret begins with %s", n, secretPrefix)
		}
		secret, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: what follows %s is not base64", n, secretPrefix)
		}
		if len(secret) < minSecret || len(secret) > maxSecret {
			return nil, fmt.Errorf("line %d: a secret has %d to %d bytes, this one has %d", n, minSecret, maxSecret, len(secret))
		}
		if len(secrets) == maxSecrets {
			return nil, fmt.Errorf("line %d: there are more than %d secrets", n, maxSecrets)
		}
		secrets = append(secrets, secret)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	if len(secrets) == 0 {
		return nil, errors.New("there is no secret")
	}
	return secrets, nil
}

// sign is the value of webhook-signature: one signature for each secret, so
// that a receiver that knows either of two is satisfied.
func sign(secrets []Secret, id string, at time.Time, body []byte) string {
	var header strings.Builder
	for i, secret := range secrets {
		if i > 0 {
			header.WriteByte(' ')
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + ".")) // a hash takes everything
		mac.Write(body)
		header.WriteString("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return header.String()
}
