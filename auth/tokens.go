package auth

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of a token file.
const (
	maxTokenLength = 4096    // bytes; also of a token in a header
	minTokenLength = 8       // bytes; shorter ones are guessed
	maxLines       = 10_000  // comments included
	maxFileSize    = 8 << 20 // bytes
)

// Tokens is the set of static tokens of a node. It does not change.
type Tokens struct {
	entries []entry
}

type entry struct {
	digest [sha256.Size]byte
	grants Grants
}

// ParseTokens reads a token file. Errors name the line and never repeat what
// stands on it.
func ParseTokens(r io.Reader) (*Tokens, error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxFileSize+1))
	lines.Buffer(nil, maxTokenLength+512)
	t, byDigest, size, n := &Tokens{}, map[[sha256.Size]byte]int{}, 0, 0
	for lines.Scan() {
		n++
		if size += len(lines.Bytes()) + 1; size > maxFileSize {
			return nil, fmt.Errorf("auth: the token file is larger than %d MiB", maxFileSize>>20)
		}
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if n > maxLines {
			return nil, fmt.Errorf("auth: the token file has more than %d lines", maxLines)
		}
		digest, r, err := parseLine(fields)
		if err != nil {
			return nil, fmt.Errorf("auth: line %d: %w", n, err)
		}
		i, ok := byDigest[digest]
		if !ok {
			i = len(t.entries)
			byDigest[digest] = i
			t.entries = append(t.entries, entry{digest: digest, grants: Grants{Identity: identity(fields[0]), TokenID: tokenID(fields[0])}})
		}
		t.entries[i].grants.rules = append(t.entries[i].grants.rules, r)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("auth: line %d: %w", n+1, err)
	}
	return t, nil
}

func parseLine(fields []string) (digest [sha256.Size]byte, r rule, err error) {
	if len(fields) != 3 {
		return digest, r, fmt.Errorf("want three words, token room-pattern grant,grant, got %d", len(fields))
	}
	token, rooms := fields[0], Pattern(fields[1])
	if !legalToken(token) || len(token) < minTokenLength {
		return digest, r, fmt.Errorf("a token is %d to %d visible ASCII characters", minTokenLength, maxTokenLength)
	}
	if absent(token) {
		return digest, r, errors.New("this token is what pages send when they have none")
	}
	if !rooms.Valid() {
		return digest, r, errors.New("the second word is a room name, or a prefix and an asterisk")
	}
	r = rule{rooms: rooms, grants: map[Grant]bool{}}
	for name := range strings.SplitSeq(fields[2], ",") {
		if !Grant(name).known() {
			return digest, r, errors.New("grants are publish, subscribe, record, moderate and admin, separated by commas")
		}
		r.grants[Grant(name)] = true
	}
	return sha256.Sum256([]byte(token)), r, nil
}

// Len is the number of different tokens.
func (t *Tokens) Len() int { return len(t.entries) }

// Verify returns what the token allows, or ErrInvalid. It looks at every
// token, and compares digests, so that its time tells nothing about any.
func (t *Tokens) Verify(_ context.Context, token string) (Grants, error) {
	digest, found := sha256.Sum256([]byte(token)), -1
	for i := range t.entries {
		equal := subtle.ConstantTimeCompare(digest[:], t.entries[i].digest[:])
		found = subtle.ConstantTimeSelect(equal, i, found)
	}
	if found < 0 {
		return Grants{}, ErrInvalid
	}
	return t.entries[found].grants, nil
}

// What names begin with that are made from tokens.
const (
	keyPrefix = "key-" // of identities
	tokPrefix = "tok-" // of ids of tokens
)

// identity is a name for the bearer of a static token, which carries none: the
// same token is the same identity, on every node and after every start, so
// that an encoder that comes back takes its own publication over. It cannot be
// turned back into the token as long as the token cannot be guessed.
func identity(token string) string {
	sum := sha256.Sum256([]byte("sluice identity\x00" + token))
	return keyPrefix + hex.EncodeToString(sum[:8])
}

// tokenID names a token that has no name of its own, for those who revoke it.
func tokenID(token string) string {
	sum := sha256.Sum256([]byte("sluice token\x00" + token))
	return tokPrefix + hex.EncodeToString(sum[:16])
}

// OfOneToken reports whether an identity or the id of a token was made from the token, since that says nothing of its
// bearer. Such a token is a key of the token file, or may be as lasting as one.
func OfOneToken(name string) bool {
	return strings.HasPrefix(name, keyPrefix) || strings.HasPrefix(name, tokPrefix)
}

func legalToken(token string) bool {
	if token == "" || len(token) > maxTokenLength {
		return false
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
