package session

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // see stun.go
	"crypto/subtle"
	"errors"
	"net/netip"
)

var (
	errNotBinding = errors.New("session: not a binding request")
	errNoUsername = errors.New("session: check without a ufrag of ours")
)

// verdict is what became of a connectivity check.
type verdict uint8

const (
	checkAccepted     verdict = iota
	checkNominated            // accepted, with USE-CANDIDATE
	checkIntegrity            // wrong password, user name or fingerprint: no reply
	checkMalformed            // no MESSAGE-INTEGRITY: 400
	checkRoleConflict         // the sender claims to be controlled: 487
	checkUnknown              // an attribute that must be understood is not: 420
	verdicts
)

// responder answers connectivity and consent checks as an ICE-lite agent does
// (RFC 8445 section 7.3). It is used by one goroutine, the mux's read loop, and
// keeps its buffers between checks: they cost no allocation.
type responder struct {
	request stunRequest
	// Of the request that was decoded last: USERNAME is local:remote.
	local, remote []byte
	hmac          hmac
	reply         []byte
}

// decode parses a datagram in place and finds the ufrag that it is for, before
// anything is computed on its behalf.
func (r *responder) decode(b []byte) error {
	if !r.request.parse(b) {
		return errNotBinding
	}
	var ok bool
	if r.local, r.remote, ok = bytes.Cut(r.request.username, []byte(":")); !ok {
		return errNoUsername
	}
	return nil
}

// judge checks the decoded request against a generation and writes the reply;
// an empty reply means silence. The reply is valid until the next call.
func (r *responder) judge(g *generation, from netip.AddrPort) (verdict, []byte) {
	q := &r.request
	switch {
	case string(r.remote) != g.remote.ufrag:
		return checkIntegrity, nil
	case q.integrity == 0:
		return checkMalformed, r.end(appendError(r.begin(bindingError), 400, "Bad Request"), nil)
	case !r.authentic(g.integrity) || !q.fingerprinted():
		return checkIntegrity, nil
	case q.controlled:
		// Two agents that both say controlled: a lite agent never controls (RFC 8445
		// section 6.1.1), so the sender has to change over.
		return checkRoleConflict, r.end(appendError(r.begin(bindingError), 487, "Role Conflict"), g.integrity)
	case q.unknowns > 0:
		b := appendError(r.begin(bindingError), 420, "Unknown Attribute")
		return checkUnknown, r.end(appendUnknown(b, q.unknown[:q.unknowns]), g.integrity)
	}
	v := checkAccepted
	if q.nominates {
		v = checkNominated
	}
	return v, r.end(appendXORMapped(r.begin(bindingSuccess), from), g.integrity)
}

// authentic verifies MESSAGE-INTEGRITY. It is computed as if the message ended
// with the attribute (RFC 8489 section 14.5): the length is changed for as long.
func (r *responder) authentic(key integrityKey) bool {
	q := &r.request
	if len(q.mac) != sha1.Size {
		return false
	}
	setLength(q.raw, q.integrity+integritySize)
	sum := r.hmac.of(key, q.raw[:q.integrity])
	setLength(q.raw, len(q.raw))
	return subtle.ConstantTimeCompare(q.mac, sum) == 1
}

// begin starts the reply to the request.
func (r *responder) begin(kind uint16) []byte {
	return appendHeader(r.reply[:0], kind, r.request.transaction())
}

// end completes a reply, protected when there is a key, and keeps its buffer.
func (r *responder) end(b []byte, key integrityKey) []byte {
	if key != nil {
		b = r.hmac.appendIntegrity(b, key)
	}
	r.reply = appendFingerprint(b)
	return r.reply
}
