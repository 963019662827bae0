package session

import (
	"bytes"
	"errors"
	"net/netip"

	"github.com/pion/stun/v4"
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
// (RFC 8445 section 7.3). It is used by the mux's read loop only and keeps its
// buffers between checks.
type responder struct {
	request, response stun.Message
	// Of the request that was decoded last: USERNAME is local:remote.
	local, remote []byte
}

// decode parses a datagram and finds the ufrag that it is for, before anything
// is computed on its behalf.
func (r *responder) decode(b []byte) error {
	r.request.Raw = append(r.request.Raw[:0], b...)
	if err := r.request.Decode(); err != nil {
		return err
	}
	if r.request.Type != stun.BindingRequest || len(b) != 20+int(r.request.Length) {
		return errNotBinding
	}
	user, err := r.request.Get(stun.AttrUsername)
	if err != nil {
		return err
	}
	var ok bool
	if r.local, r.remote, ok = bytes.Cut(user, []byte(":")); !ok {
		return errNoUsername
	}
	return nil
}

// judge checks the decoded request against a generation and writes the reply;
// an empty reply means silence.
func (r *responder) judge(g *generation, from netip.AddrPort) (verdict, []byte) {
	// RFC 8489 section 14.5: attributes behind MESSAGE-INTEGRITY are not covered by
	// it and do not count, but for FINGERPRINT.
	covered := r.request.Attributes
	protected := false
	for i, a := range covered {
		if a.Type == stun.AttrMessageIntegrity {
			covered, protected = covered[:i], true
			break
		}
	}
	if string(r.remote) != g.remote.ufrag {
		return checkIntegrity, nil
	}
	if !protected {
		return checkMalformed, r.refuse(stun.CodeBadRequest, nil, nil)
	}
	if g.integrity.Check(&r.request) != nil {
		return checkIntegrity, nil
	}
	if r.request.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(&r.request) != nil {
		return checkIntegrity, nil
	}
	v := checkAccepted
	var unknown stun.UnknownAttributes
	for _, a := range covered {
		switch a.Type {
		case stun.AttrUseCandidate:
			v = checkNominated
		case stun.AttrICEControlled:
			// Two agents that both say controlled: a lite agent never controls (RFC 8445
			// section 6.1.1), so the sender has to change over.
			return checkRoleConflict, r.refuse(stun.CodeRoleConflict, g.integrity, nil)
		case stun.AttrUsername, stun.AttrPriority, stun.AttrRealm, stun.AttrNonce:
		default:
			if a.Type.Required() {
				unknown = append(unknown, a.Type)
			}
		}
	}
	if len(unknown) > 0 {
		return checkUnknown, r.refuse(stun.CodeUnknownAttribute, g.integrity, unknown)
	}
	return v, r.build(stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}, g.integrity, stun.Fingerprint)
}

// refuse writes an error response, protected when the request was.
func (r *responder) refuse(code stun.ErrorCode, key stun.MessageIntegrity, unknown stun.UnknownAttributes) []byte {
	setters := []stun.Setter{stun.BindingError, code}
	if len(unknown) > 0 {
		setters = append(setters, unknown[:min(len(unknown), 8)])
	}
	if key != nil {
		setters = append(setters, key)
	}
	return r.build(append(setters, stun.Fingerprint)...)
}

func (r *responder) build(setters ...stun.Setter) []byte {
	r.response.Reset()
	r.response.TransactionID = r.request.TransactionID
	if err := r.response.Build(setters...); err != nil {
		return nil // cannot happen with attributes of ours; silence is safe
	}
	return r.response.Raw
}
