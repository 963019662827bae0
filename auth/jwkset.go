package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of a JSON Web Key Set.
const (
	maxJWKSet  = 256 << 10 // bytes
	maxSetKeys = 50
)

// jwk is a key of a set: the kid that tokens name it by, which may be missing.
type jwk struct {
	kid string
	key
}

// jwkUse is what has to be known of a key before it is worth reading (RFC 7517 section 4).
type jwkUse struct {
	Kty  string   `json:"kty"`
	Use  string   `json:"use"`
	Ops  []string `json:"key_ops"`
	Alg  string   `json:"alg"`
	Kid  string   `json:"kid"`
	D, K string
}

// public tells keys that verify signatures and that everybody may know.
func (u *jwkUse) public() bool {
	return u.Kty != "oct" && u.D == "" && u.K == "" &&
		(u.Use == "" || u.Use == "sig") &&
		(len(u.Ops) == 0 || slices.Contains(u.Ops, "verify")) &&
		len(u.Kid) <= maxKeyID
}

// parseJWKSet reads the keys of a set that verify signatures of a kind that is taken. The others
// are left out, as RFC 7517 section 5 wants it: a set may serve more purposes than ours. A set
// without any that could be used is an error.
func parseJWKSet(body []byte) ([]jwk, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("this is not a JSON Web Key Set")
	}
	if len(set.Keys) > maxSetKeys {
		return nil, fmt.Errorf("the set has %d keys, more than %d", len(set.Keys), maxSetKeys)
	}
	var keys []jwk
	for _, raw := range set.Keys {
		if k, ok := parseJWK(raw); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("the set has %d keys, and none for RS256, ES256 or EdDSA", len(set.Keys))
	}
	return keys, nil
}

func parseJWK(raw []byte) (jwk, bool) {
	var use jwkUse
	if json.Unmarshal(raw, &use) != nil || !use.public() {
		return jwk{}, false
	}
	var parsed jose.JSONWebKey
	if parsed.UnmarshalJSON(raw) != nil || !parsed.Valid() {
		return jwk{}, false
	}
	k, err := publicKey(parsed.Key)
	if err != nil || use.Alg != "" && use.Alg != k.alg {
		return jwk{}, false
	}
	return jwk{kid: use.Kid, key: k}, true
}
