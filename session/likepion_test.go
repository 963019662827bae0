package session

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/pion/stun/v4"
)

// pionResponder is the responder on top of package stun: what ours is held
// against, byte for byte.
type pionResponder struct {
	request, response stun.Message
	// Of the request that was decoded last: USERNAME is local:remote.
	local, remote []byte
}

// decode parses a datagram and finds the ufrag that it is for, before anything
// is computed on its behalf.
func (r *pionResponder) decode(b []byte) error {
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
func (r *pionResponder) judge(g *generation, from netip.AddrPort) (verdict, []byte) {
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
	if pionKey(g).Check(&r.request) != nil {
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
			return checkRoleConflict, r.refuse(stun.CodeRoleConflict, pionKey(g), nil)
		case stun.AttrUsername, stun.AttrPriority, stun.AttrRealm, stun.AttrNonce:
		default:
			if a.Type.Required() {
				unknown = append(unknown, a.Type)
			}
		}
	}
	if len(unknown) > 0 {
		return checkUnknown, r.refuse(stun.CodeUnknownAttribute, pionKey(g), unknown)
	}
	return v, r.build(stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}, pionKey(g), stun.Fingerprint)
}

// refuse writes an error response, protected when the request was.
func (r *pionResponder) refuse(code stun.ErrorCode, key stun.MessageIntegrity, unknown stun.UnknownAttributes) []byte {
	setters := []stun.Setter{stun.BindingError, code}
	if len(unknown) > 0 {
		setters = append(setters, unknown[:min(len(unknown), 8)])
	}
	if key != nil {
		setters = append(setters, key)
	}
	return r.build(append(setters, stun.Fingerprint)...)
}

func (r *pionResponder) build(setters ...stun.Setter) []byte {
	r.response.Reset()
	r.response.TransactionID = r.request.TransactionID
	if err := r.response.Build(setters...); err != nil {
		return nil // cannot happen with attributes of ours; silence is safe
	}
	return r.response.Raw
}

// pionKey is what package stun takes for the password of a generation.
func pionKey(g *generation) stun.MessageIntegrity {
	return stun.NewShortTermIntegrity(g.local.pwd)
}

// asPionDoes fails unless both responders make the same of a datagram, and ours
// leaves it as it was.
func asPionDoes(t *testing.T, g *generation, from netip.AddrPort, b []byte) (v verdict, decoded bool) {
	t.Helper()
	if len(b) > 0 && b[0] >= 4 {
		return 0, false // no STUN; never gets here (RFC 7983 section 7)
	}
	var want pionResponder
	var got responder
	ours := bytes.Clone(b)
	errWant, errGot := want.decode(b), got.decode(ours)
	if (errWant == nil) != (errGot == nil) {
		t.Fatalf("%x: got %v, want %v", b, errGot, errWant)
	}
	if errWant != nil {
		return 0, false
	}
	if !bytes.Equal(got.local, want.local) || !bytes.Equal(got.remote, want.remote) {
		t.Fatalf("%x: got user %q:%q, want %q:%q", b, got.local, got.remote, want.local, want.remote)
	}
	v, reply := got.judge(g, from)
	wantV, wantReply := want.judge(g, from)
	if v != wantV || !bytes.Equal(reply, wantReply) {
		t.Fatalf("%x:\n got verdict %d, reply %x\nwant verdict %d, reply %x", b, v, reply, wantV, wantReply)
	}
	if !bytes.Equal(ours, b) {
		t.Fatalf("the datagram was changed from %x to %x", b, ours)
	}
	return v, true
}

// mixer makes checks at random that are right in most ways.
type mixer struct{ *rand.Rand }

func (r mixer) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// attribute is one that may stand anywhere in a check.
func (r mixer) attribute() stun.Setter {
	kinds := []stun.AttrType{
		stun.AttrUsername, stun.AttrPriority, stun.AttrRealm, stun.AttrNonce, stun.AttrUseCandidate,
		stun.AttrICEControlled, stun.AttrICEControlling, stun.AttrMessageIntegritySHA256, stun.AttrMessageIntegrity,
		stun.AttrFingerprint, stun.AttrXORMappedAddress, 0x8020, 0xC057, 0x7FFF, stun.AttrType(r.Uint32()),
	}
	return stun.RawAttribute{Type: kinds[r.IntN(len(kinds))], Value: r.bytes(r.IntN(10))}
}

// odds is true once in n times.
func (r mixer) odds(n int) bool { return r.IntN(n) == 0 }

// check is one for g, with this and that before and behind MESSAGE-INTEGRITY,
// and sometimes something broken.
func (r mixer) check(g *generation) []byte {
	m := stun.New()
	m.TransactionID = [12]byte(r.bytes(12))
	m.SetType(stun.BindingRequest)
	m.WriteHeader()
	add := func(s stun.Setter) { _ = s.AddTo(m) } // what cannot be added is left out
	some := func(most int) {
		for range r.IntN(most + 1) {
			add(r.attribute())
		}
	}
	if r.odds(4) {
		some(12)
	}
	if !r.odds(10) {
		add(stun.NewUsername(g.local.ufrag + ":" + g.remote.ufrag))
	}
	if r.odds(2) {
		add(stun.RawAttribute{Type: stun.AttrPriority, Value: r.bytes(4)})
	}
	if r.odds(4) {
		add(stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	if r.odds(4) {
		some(3)
	}
	if !r.odds(8) {
		add(pionKey(g))
	}
	if r.odds(4) {
		some(3)
	}
	if !r.odds(4) {
		add(stun.Fingerprint)
	}
	b := m.Raw
	switch r.IntN(12) {
	case 0:
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	case 1:
		b = b[:r.IntN(len(b)+1)]
	case 2:
		b = append(b, r.bytes(r.IntN(8))...)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-20))
	}
	return b
}

// Checks at random, right and wrong in many ways, get from us what they get from
// a responder on package stun.
func TestChecksLikePion(t *testing.T) {
	r := mixer{rand.New(rand.NewPCG(1, 2))}
	generations := []*generation{
		newGeneration(credentials{"local123", "0123456789abcdef01234567"}, credentials{"remote12", "x"}),
		newGeneration(credentials{"l", string(r.bytes(64))}, credentials{"", "x"}),
		newGeneration(credentials{"longpassword", string(r.bytes(200))}, credentials{"r:r", "x"}),
	}
	addresses := []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::1]:65535"),
		netip.MustParseAddrPort("[::ffff:192.0.2.1]:8000"), netip.MustParseAddrPort("[fe80::1%lo]:8000"),
	}
	var seen [verdicts]int
	refused := 0
	for i := range 60000 {
		v, decoded := asPionDoes(t, generations[i%3], addresses[r.IntN(len(addresses))], r.check(generations[i%3]))
		if decoded {
			seen[v]++
		} else {
			refused++
		}
	}
	for v, n := range seen {
		if n < 100 {
			t.Errorf("verdict %d was reached %d times only", v, n)
		}
	}
	if refused < 100 {
		t.Errorf("%d checks did not parse, want more", refused)
	}
}

// FuzzLikePion: whatever the bytes, with a MESSAGE-INTEGRITY that is right put
// behind the first protected bytes of them, both responders say the same.
func FuzzLikePion(f *testing.F) {
	g := newGeneration(credentials{"local123", "0123456789abcdef01234567"}, credentials{"remote12", "x"})
	plain := request(f, "local123:remote12", stun.RawAttribute{Type: stun.AttrUseCandidate})
	f.Add(plain, uint16(0))
	f.Add(plain[:len(plain)-32], uint16(len(plain)-32))
	f.Add(append(plain[:len(plain)-32:len(plain)-32], 0x80, 0x28, 0, 4, 1, 2, 3, 4), uint16(len(plain)-32))
	from := netip.MustParseAddrPort("192.0.2.1:8000")
	f.Fuzz(func(t *testing.T, b []byte, protected uint16) {
		if len(b) > maxDatagram-integritySize {
			return
		}
		b = bytes.Clone(b)
		if n := int(protected) &^ 3; n >= 20 && n <= len(b) {
			binary.BigEndian.PutUint16(b[2:], uint16(n-20+integritySize))
			var h hmac
			mac := append([]byte{0, attrIntegrity, 0, 20}, h.of(g.integrity, b[:n])...)
			b = append(b[:n:n], append(mac, b[n:]...)...)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)-20))
		}
		asPionDoes(t, g, from, b)
	})
}
