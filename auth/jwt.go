package auth

import (
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// The signatures that are taken (RFC 7518 section 3.1, RFC 8037). A key is good for one of
// them only, by its kind: what a token says about itself chooses among keys and never
// how a key is used (RFC 8725 section 3.1).
const (
	hs256 = "HS256"
	rs256 = "RS256"
	es256 = "ES256"
	edDSA = "EdDSA"
)

const maxKeyID = 256 // bytes

// finder returns the keys that may have signed a token, by the kid and alg of its header.
type finder func(kid, alg string) ([]jwt.VerificationKey, error)

// parser leaves the claims to Policy.
var parser = jwt.NewParser(
	jwt.WithValidMethods([]string{hs256, rs256, es256, edDSA}),
	jwt.WithoutClaimsValidation(),
	jwt.WithStrictDecoding(), // one way only to write a token
)

// verifyJWT finds a key that made the token's signature and lets the policy judge what
// the token says.
func verifyJWT(token string, policy *Policy, find finder) (Grants, error) {
	if len(token) > maxTokenLength {
		return Grants{}, ErrInvalid
	}
	var claims wireClaims
	var findErr error
	_, err := parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		_, critical := t.Header["crit"]
		if critical || len(kid) > maxKeyID { // RFC 7515 section 4.1.11: no extension is known here
			return nil, ErrInvalid
		}
		var set jwt.VerificationKeySet
		set.Keys, findErr = find(kid, t.Method.Alg())
		return set, findErr
	})
	switch {
	case findErr != nil:
		return Grants{}, findErr
	case err != nil:
		return Grants{}, ErrInvalid // the library's words may repeat the token's
	}
	// The signature is left out of the name: there are two good ones to each of ECDSA, and whoever
	// holds a token can make the other.
	signed := token[:strings.LastIndexByte(token, '.')]
	return policy.judge(&claims, tokenID(signed))
}
