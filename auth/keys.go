package auth

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Keys verifies JWTs by the keys of one file, and makes them if it holds a secret or a
// private key. It does not change.
type Keys struct {
	keys   []key
	policy Policy
}

// key is good for one kind of signature.
type key struct {
	alg    string
	public crypto.PublicKey // []byte where it is a secret
	signer any              // what the library signs with; nil: it only verifies
}

// WithPolicy returns the same keys under another policy than that of DefaultMaxLife alone.
func (k *Keys) WithPolicy(p Policy) *Keys { return &Keys{keys: k.keys, policy: p} }

// Verify tells what a JWT allows that one of the keys signed.
func (k *Keys) Verify(_ context.Context, token string) (Grants, error) {
	return verifyJWT(token, &k.policy, func(_, alg string) ([]jwt.VerificationKey, error) {
		var fit []jwt.VerificationKey
		for _, key := range k.keys {
			if key.alg == alg {
				fit = append(fit, key.public)
			}
		}
		return fit, nil
	})
}

// CanMint reports whether there is a key to sign with.
func (k *Keys) CanMint() bool { return k.signing() != nil }

// HasPrivate reports whether there is the private key of a pair: who only verifies needs none.
func (k *Keys) HasPrivate() bool {
	return slices.ContainsFunc(k.keys, func(one key) bool { return one.signer != nil && one.alg != hs256 })
}

func (k *Keys) signing() *key {
	for i := range k.keys {
		if k.keys[i].signer != nil {
			return &k.keys[i]
		}
	}
	return nil
}

// ErrNoKey is returned where there is no key to sign with.
var ErrNoKey = errors.New("auth: no key to sign with: a secret or a private key is needed")

// Mint makes a token that Verify takes. Without an ID and a time of issue, it gets them.
func (k *Keys) Mint(c Claims) (string, error) {
	key := k.signing()
	if key == nil {
		return "", ErrNoKey
	}
	token, _, err := mint(c, &k.policy, key.alg, "", key.signer)
	return token, err
}

// mint also returns what the token will be found to allow.
func mint(c Claims, policy *Policy, alg, kid string, signer any) (string, Grants, error) {
	if c.Issued.IsZero() {
		c.Issued = time.Now()
	}
	// Tokens tell whole seconds.
	c.Issued, c.Expires = c.Issued.UTC().Truncate(time.Second), c.Expires.UTC().Truncate(time.Second)
	if c.ID == "" {
		c.ID = rand.Text()
	}
	wire := c.wire()
	grants, err := policy.judge(wire, c.ID)
	if err != nil {
		return "", Grants{}, err
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(alg), wire)
	if kid != "" {
		t.Header["kid"] = kid
	}
	token, err := t.SignedString(signer)
	if err != nil {
		return "", Grants{}, fmt.Errorf("auth: sign a token: %w", err)
	}
	if len(token) > maxTokenLength {
		return "", Grants{}, fmt.Errorf("auth: the token would be longer than %d bytes", maxTokenLength)
	}
	return token, grants, nil
}
