package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/cluster"
)

// maxIdempotencyKey is in bytes.
const maxIdempotencyKey = 255

// idempotent names a request by its Idempotency-Key, so that it has one effect
// however often it comes. Keys are the caller's own: another's with the same key is another request.
// The registry keeps a digest of the body, which may hold a password; with
// the key as the secret of the digest nobody who reads the disk can try
// passwords on it.
func idempotent(r *http.Request, grants auth.Grants, body []byte) (cluster.Request, error) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return cluster.Request{}, nil
	}
	key := strings.Trim(keys[0], `" `) // a string of structured fields, or bare
	wrong := strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' })
	if len(keys) != 1 || key == "" || len(key) > maxIdempotencyKey || wrong {
		return cluster.Request{}, &problemError{name: "idempotency-key-malformed"}
	}
	digest := func(text ...string) (sum [sha256.Size]byte) {
		mac := hmac.New(sha256.New, []byte(key))
		for _, t := range text {
			_, _ = io.WriteString(mac, t+"\x00") // a hash takes everything
		}
		return [sha256.Size]byte(mac.Sum(nil))
	}
	id := digest("id", grants.Identity)
	return cluster.Request{
		ID:     hex.EncodeToString(id[:16]),
		Digest: digest("request", r.Method, r.URL.Path, string(body)),
	}, nil
}
