package auth

import "strings"

// Credentials is what an Authorization header says.
type Credentials uint8

// The kinds of credentials.
const (
	NoCredentials  Credentials = iota // none were sent
	BearerToken                       // a token that can be verified
	BadCredentials                    // something that can never be right
)

// Bearer takes the token out of the Authorization header fields of a request
// (RFC 6750 section 2.1); the scheme is compared without regard to case. Pages
// that have no token send "Bearer undefined", "Bearer null" or "Bearer ": those
// count as none. Other schemes, repeated headers and ill-formed tokens are
// BadCredentials. With bare, one word without a scheme is a token too.
func Bearer(headers []string, bare bool) (token string, c Credentials) {
	switch len(headers) {
	case 0:
		return "", NoCredentials
	case 1:
	default:
		return "", BadCredentials
	}
	header := strings.Trim(headers[0], " \t")
	if header == "" {
		return "", NoCredentials
	}
	scheme, token, more := strings.Cut(header, " ")
	if bare && !more && !strings.EqualFold(scheme, "Bearer") {
		scheme, token = "Bearer", header
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return "", BadCredentials
	}
	token = strings.Trim(token, " \t")
	switch {
	case token == "" || absent(token):
		return "", NoCredentials
	case !legalToken(token):
		return "", BadCredentials
	default:
		return token, BearerToken
	}
}

// absent tells what JavaScript makes of a token that is not there.
func absent(token string) bool { return token == "undefined" || token == "null" }
