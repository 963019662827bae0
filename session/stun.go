package session

import (
	"crypto/sha1" //nolint:gosec // RFC 8489 section 14.5: MESSAGE-INTEGRITY is HMAC-SHA1
	"encoding"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"net/netip"
)

// As much of STUN (RFC 8489) as an agent needs that answers checks.
const (
	stunHeader = 20
	stunCookie = 0x2112A442

	bindingRequest    = 0x0001
	bindingIndication = 0x0011
	bindingSuccess    = 0x0101
	bindingError      = 0x0111
)

// Attributes. Those below 0x8000 must be understood (RFC 8489 section 14).
const (
	attrUsername          = 0x0006
	attrIntegrity         = 0x0008 // MESSAGE-INTEGRITY
	attrErrorCode         = 0x0009
	attrUnknownAttributes = 0x000A
	attrRealm             = 0x0014
	attrNonce             = 0x0015
	attrIntegritySHA256   = 0x001C
	attrXORMappedAddress  = 0x0020
	attrPriority          = 0x0024
	attrUseCandidate      = 0x0025
	attrOldXORMapped      = 0x8020 // XOR-MAPPED-ADDRESS of a draft of RFC 5389
	attrFingerprint       = 0x8028
	attrControlled        = 0x8029 // ICE-CONTROLLED

	attributeHeader = 4
	integritySize   = attributeHeader + sha1.Size
	fingerprintSize = attributeHeader + 4
	fingerprintXOR  = 0x5354554E
	// maxUnknown is how many attributes a 420 names: a reply shall not be much
	// longer than what it answers.
	maxUnknown = 8
)

// stunRequest is a Binding request taken apart in place: its slices point into
// the datagram.
type stunRequest struct {
	raw       []byte
	username  []byte // of the first USERNAME
	integrity int    // where the attribute that counts begins; 0: there is none
	mac       []byte // its value
	printed   bool   // there is a FINGERPRINT
	print     []byte // value of the first
	// Of the attributes that MESSAGE-INTEGRITY covers.
	nominates, controlled bool
	unknown               [maxUnknown]uint16
	unknowns              int // of them in use
}

// parse takes a datagram apart; false when it is no Binding request or not well
// formed. What MESSAGE-INTEGRITY says is not looked at.
func (q *stunRequest) parse(b []byte) bool {
	*q = stunRequest{raw: b}
	if len(b) < stunHeader || binary.BigEndian.Uint16(b) != bindingRequest ||
		int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return false
	}
	covered := true
	for at := stunHeader; at < len(b); {
		if len(b)-at < attributeHeader {
			return false
		}
		kind, size := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		value := at + attributeHeader
		next := value + (size+3)&^3
		if next > len(b) {
			return false
		}
		switch {
		case kind == attrFingerprint:
			if !q.printed {
				q.printed, q.print = true, b[value:value+size]
			}
		case !covered:
			// RFC 8489 section 14.5: attributes behind MESSAGE-INTEGRITY are not covered
			// by it and do not count, but for FINGERPRINT.
		case kind == attrIntegrity:
			q.integrity, q.mac = at, b[value:value+size]
			covered = false
		case kind == attrIntegritySHA256:
			// We speak SHA-1 only. What follows counts as little as behind the other,
			// MESSAGE-INTEGRITY itself, too (RFC 8489 section 14.6).
			q.note(kind)
			covered = false
		case kind == attrUsername && q.username == nil:
			q.username = b[value : value+size]
		default:
			q.note(kind)
		}
		at = next
	}
	return true
}

// note takes note of an attribute by its type alone.
func (q *stunRequest) note(kind uint16) {
	switch kind {
	case attrUseCandidate:
		q.nominates = true
		return
	case attrControlled:
		q.controlled = true
		return
	case attrUsername, attrPriority, attrRealm, attrNonce:
		return
	case attrOldXORMapped:
		kind = attrXORMappedAddress
	}
	if kind < 0x8000 && q.unknowns < maxUnknown {
		q.unknown[q.unknowns] = kind
		q.unknowns++
	}
}

// fingerprinted tells whether FINGERPRINT is right or absent (RFC 8489 section
// 14.7). It is the last attribute.
func (q *stunRequest) fingerprinted() bool {
	if !q.printed {
		return true
	}
	return len(q.print) == 4 &&
		binary.BigEndian.Uint32(q.print) == crc32.ChecksumIEEE(q.raw[:len(q.raw)-fingerprintSize])^fingerprintXOR
}

// transaction is the transaction id.
func (q *stunRequest) transaction() []byte { return q.raw[8:stunHeader] }

// integrityKey is a password made ready for MESSAGE-INTEGRITY: the states of
// SHA-1 after the first block of the inner and of the outer hash of HMAC (RFC
// 2104 section 4), one half each. It spares two of seven blocks of a check.
type integrityKey []byte

// newIntegrityKey is the key of a short-term credential.
func newIntegrityKey(pwd string) integrityKey {
	h := newDigest()
	key := []byte(pwd)
	if len(key) > sha1.BlockSize {
		h.Write(key)
		key = h.Sum(nil)
	}
	var states []byte
	for _, pad := range []byte{0x36, 0x5C} {
		var block [sha1.BlockSize]byte
		copy(block[:], key)
		for i := range block {
			block[i] ^= pad
		}
		h.Reset()
		h.Write(block[:])
		states, _ = h.AppendBinary(states) // never fails
	}
	return states
}

// digest is SHA-1, whose state can be kept and set.
type digest interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// newDigest makes one. That it can do this is documented of crypto/sha1.
func newDigest() digest { return sha1.New().(digest) } //nolint:gosec // see the import

// hmac computes HMAC-SHA1 again and again without allocating.
type hmac struct {
	digest digest // made with the first use
	sum    [sha1.Size]byte
}

// of is the HMAC of b; it is valid until the next call. It is nil when the key
// is none, which compares equal to nothing that parses.
func (h *hmac) of(key integrityKey, b []byte) []byte {
	if h.digest == nil {
		h.digest = newDigest()
	}
	inner, outer := key[:len(key)/2], key[len(key)/2:]
	if h.digest.UnmarshalBinary(inner) != nil {
		return nil
	}
	h.digest.Write(b)
	sum := h.digest.Sum(h.sum[:0])
	if h.digest.UnmarshalBinary(outer) != nil {
		return nil
	}
	h.digest.Write(sum)
	return h.digest.Sum(h.sum[:0])
}

// appendHeader begins a message. Its length is set by what ends it.
func appendHeader(b []byte, kind uint16, transaction []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(kind)<<16)
	b = binary.BigEndian.AppendUint32(b, stunCookie)
	return append(b, transaction...)
}

// appendAttributeHeader begins an attribute.
func appendAttributeHeader(b []byte, kind uint16, size int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, kind), uint16(size))
}

// appendXORMapped adds XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
func appendXORMapped(b []byte, a netip.AddrPort) []byte {
	message, ip := b, a.Addr().Unmap()
	mask := message[4:stunHeader] // the cookie and the transaction id
	port := a.Port() ^ stunCookie>>16
	if ip.Is4() {
		b = appendAttributeHeader(b, attrXORMappedAddress, 8)
		b = append(b, 0, 1, byte(port>>8), byte(port))
		for i, c := range ip.As4() {
			b = append(b, c^mask[i])
		}
		return b
	}
	b = appendAttributeHeader(b, attrXORMappedAddress, 20)
	b = append(b, 0, 2, byte(port>>8), byte(port))
	for i, c := range ip.As16() {
		b = append(b, c^mask[i])
	}
	return b
}

// appendError adds ERROR-CODE (RFC 8489 section 14.8).
func appendError(b []byte, code int, reason string) []byte {
	b = appendAttributeHeader(b, attrErrorCode, 4+len(reason))
	b = append(b, 0, 0, byte(code/100), byte(code%100))
	return pad(append(b, reason...))
}

// appendUnknown adds UNKNOWN-ATTRIBUTES (RFC 8489 section 14.13).
func appendUnknown(b []byte, unknown []uint16) []byte {
	b = appendAttributeHeader(b, attrUnknownAttributes, 2*len(unknown))
	for _, kind := range unknown {
		b = binary.BigEndian.AppendUint16(b, kind)
	}
	return pad(b)
}

// pad fills up to a multiple of four.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// appendIntegrity adds MESSAGE-INTEGRITY (RFC 8489 section 14.5).
func (h *hmac) appendIntegrity(b []byte, key integrityKey) []byte {
	setLength(b, len(b)+integritySize)
	sum := h.of(key, b)
	return append(appendAttributeHeader(b, attrIntegrity, sha1.Size), sum...)
}

// appendFingerprint adds FINGERPRINT (RFC 8489 section 14.7), the last attribute.
func appendFingerprint(b []byte) []byte {
	setLength(b, len(b)+fingerprintSize)
	sum := crc32.ChecksumIEEE(b) ^ fingerprintXOR
	return binary.BigEndian.AppendUint32(appendAttributeHeader(b, attrFingerprint, 4), sum)
}

// setLength says in the header how long the message is.
func setLength(b []byte, n int) { binary.BigEndian.PutUint16(b[2:], uint16(n-stunHeader)) }
