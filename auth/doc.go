// Package auth turns bearer tokens into grants: who may do what in which room.
//
// [Tokens] is the set of static tokens of a token file, one a line:
//
//	# token        rooms      grants
//	s3cr3t-key     studio     publish,subscribe
//	other-key      event-*    publish
//	operator-key   *          publish,subscribe,record,moderate,admin
//
// Rooms are a name or a prefix followed by an asterisk. A token may stand on
// several lines; its grants add up. Tokens are kept as SHA-256 digests only.
// What no grant allows is not allowed: no grant contains another.
//
// [Keys] verifies JWTs by a secret or by public keys, and makes them where it can sign; [Issuer]
// makes and verifies those that `join` gives, with keys that all nodes share. [JWKS] verifies by the
// keys that a URL serves, [Webhook] by asking a service of the operator's. [HashPassword] and [CheckPassword] are for passwords of rooms. [Chain] asks several
// verifiers, and [Policy] says what a JWT must say besides what it allows. Every refusal is one
// of the errors of this package, and none repeats what it was given.
//
// The package serves no HTTP: it knows the text of an Authorization header, and asks the URLs that an
// operator named. What has goroutines has a Close that waits for them.
package auth
