package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// MaxPassword is the longest password, in bytes.
const MaxPassword = 1024

// The cost of a password: what OWASP's cheat sheet on password storage names first for argon2id with
// little parallelism. One takes 19 MiB and some tens of milliseconds.
const (
	costMemory  = 19 << 10 // KiB
	costPasses  = 2
	costThreads = 1
	saltSize    = 16
	digestSize  = 32
)

// The most that a stored hash may ask for: it comes from a file or from another node.
const (
	maxMemory  = 64 << 10 // KiB
	maxPasses  = 8
	maxThreads = 4
	maxHash    = 256 // characters
)

// atOnce bounds the memory of all passwords under way, and leaves processors to the media. More of them wait.
var atOnce = make(chan struct{}, 2)

// ErrPassword is returned for a password that cannot be set.
var ErrPassword = fmt.Errorf("auth: a password has 1 to %d bytes", MaxPassword)

var errHash = errors.New("auth: this is not the hash of a password")

// phc is a hash in PHC string format: $argon2id$v=19$m=...,t=...,p=...$salt$digest.
type phc struct {
	memory, passes uint32
	threads        uint8
	salt, digest   []byte
}

// HashPassword returns what to keep of a password. It waits for its turn as long as ctx lasts.
func HashPassword(ctx context.Context, password string) (string, error) {
	if password == "" || len(password) > MaxPassword {
		return "", ErrPassword
	}
	h := ownCost()
	_, _ = rand.Read(h.salt) // never fails
	digest, err := h.compute(ctx, password)
	if err != nil {
		return "", err
	}
	h.digest = digest
	return h.String(), nil
}

// CheckPassword reports whether a hash was made of the password. Where there is no hash (""), the answer
// is no after as much work, so that its time does not tell whether there is one. It waits for its turn as
// long as ctx lasts; the error is that of ctx, or about a hash that is none.
func CheckPassword(ctx context.Context, hash, password string) (bool, error) {
	h, possible := ownCost(), hash != "" && password != "" && len(password) <= MaxPassword
	if hash != "" {
		var err error
		if h, err = parsePHC(hash); err != nil {
			return false, err
		}
	}
	digest, err := h.compute(ctx, password[:min(len(password), MaxPassword)])
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(digest, h.digest) == 1 && possible, nil
}

// ownCost is a hash, not yet filled in, that costs what those of HashPassword cost.
func ownCost() phc {
	return phc{memory: costMemory, passes: costPasses, threads: costThreads, salt: make([]byte, saltSize), digest: make([]byte, digestSize)}
}

// compute does the work, when it is its turn.
func (h *phc) compute(ctx context.Context, password string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("auth: hash a password: %w", err)
	}
	select {
	case atOnce <- struct{}{}:
		defer func() { <-atOnce }()
	case <-ctx.Done():
		return nil, fmt.Errorf("auth: hash a password: %w", ctx.Err())
	}
	return argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.threads, uint32(len(h.digest))), nil
}

func (h *phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.digest))
}

// parsePHC takes hashes as String writes them, and no other text for the same.
func parsePHC(text string) (h phc, err error) {
	fields := strings.Split(text, "$")
	if len(text) > maxHash || len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errHash
	}
	if _, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.threads); err != nil {
		return phc{}, errHash
	}
	encoding := base64.RawStdEncoding.Strict()
	var saltErr, digestErr error
	h.salt, saltErr = encoding.DecodeString(fields[4])
	h.digest, digestErr = encoding.DecodeString(fields[5])
	if saltErr != nil || digestErr != nil || !h.bounded() || h.String() != text {
		return phc{}, errHash
	}
	return h, nil
}

func (h *phc) bounded() bool {
	return h.threads >= 1 && h.threads <= maxThreads &&
		h.passes >= 1 && h.passes <= maxPasses &&
		h.memory >= 8*uint32(h.threads) && h.memory <= maxMemory &&
		len(h.salt) >= 8 && len(h.salt) <= 64 && len(h.digest) >= 16 && len(h.digest) <= 64
}
