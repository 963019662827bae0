package auth

import (
	"context"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxRoomLife is how long a room token may be good for.
const MaxRoomLife = 12 * time.Hour

// ownIssuer is the iss of room tokens.
const ownIssuer = "sluice"

// Key is a secret that signs room tokens.
type Key struct {
	ID      string // kid
	Secret  []byte // at least 32 bytes
	Created time.Time
	Expires time.Time // from then on it neither signs nor verifies; zero: never
}

// Issuer makes and verifies room tokens: those that `join` gives. All nodes that have the same keys
// take each other's.
type Issuer struct {
	keys   func() []Key
	policy Policy
}

// NewIssuer returns an issuer that asks for the present keys each time. The newest signs; all
// verify, so that tokens outlive a change of keys.
func NewIssuer(keys func() []Key) *Issuer {
	return &Issuer{keys: keys, policy: Policy{Issuer: ownIssuer, MaxLife: MaxRoomLife}}
}

// Mint makes a token and tells what it allows. Issuer is not for the caller to choose, and no token outlives
// the key that signs it.
func (i *Issuer) Mint(c Claims) (string, Grants, error) {
	k, ok := i.newest()
	if !ok {
		return "", Grants{}, ErrNoKey
	}
	c.Issuer = ownIssuer
	if !k.Expires.IsZero() && c.Expires.After(k.Expires) {
		c.Expires = k.Expires
	}
	return mint(c, &i.policy, hs256, k.ID, k.Secret)
}

// Verify tells what a token allows that Mint made.
func (i *Issuer) Verify(_ context.Context, token string) (Grants, error) {
	return verifyJWT(token, &i.policy, func(kid, alg string) ([]jwt.VerificationKey, error) {
		if alg != hs256 {
			return nil, ErrInvalid
		}
		for _, k := range i.keys() {
			if k.ID == kid && k.usable(time.Now()) {
				return []jwt.VerificationKey{k.Secret}, nil
			}
		}
		return nil, ErrInvalid
	})
}

func (i *Issuer) newest() (newest Key, ok bool) {
	now := time.Now()
	for _, k := range i.keys() {
		if k.usable(now) && (!ok || k.Created.After(newest.Created)) {
			newest, ok = k, true
		}
	}
	return newest, ok
}

func (k *Key) usable(now time.Time) bool {
	return k.ID != "" && len(k.Secret) >= minSecret && (k.Expires.IsZero() || now.Before(k.Expires))
}
