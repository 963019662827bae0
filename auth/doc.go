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
// The package knows no HTTP beyond the text of an Authorization header and
// starts no goroutines.
package auth
