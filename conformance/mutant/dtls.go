package mutant

import "encoding/binary"

// DTLS, as far as it is in the clear.
const (
	contentAlert     = 21
	contentHandshake = 22
	recordHeader     = 13
	handshakeHeader  = 12
	clientHello      = 1
	serverHello      = 2
	extensionUseSRTP = 14

	profileCM80 = 0x0001 // SRTP_AES128_CM_HMAC_SHA1_80
)

// record is one of a DTLS datagram.
type record struct {
	content byte
	epoch   uint16
	body    []byte
}

// records reads the records of a datagram, as far as they are whole.
func records(b []byte) []record {
	var list []record
	for len(b) >= recordHeader {
		length := int(binary.BigEndian.Uint16(b[11:]))
		if len(b) < recordHeader+length {
			break
		}
		list = append(list, record{b[0], binary.BigEndian.Uint16(b[3:]), b[recordHeader : recordHeader+length]})
		b = b[recordHeader+length:]
	}
	return list
}

// closes tells whether a datagram holds an alert of the encrypted epoch: that
// of an end, as nothing else is said by alerts once a handshake is over.
func closes(b []byte) bool {
	for _, r := range records(b) {
		if r.content == contentAlert && r.epoch > 0 {
			return true
		}
	}
	return false
}

// srtpProfiles are those that a ClientHello in the datagram offers, or the one
// that a ServerHello has chosen; nil when neither is in it.
func srtpProfiles(b []byte) []uint16 {
	for _, r := range records(b) {
		if r.content != contentHandshake || r.epoch != 0 || len(r.body) < handshakeHeader {
			continue
		}
		if list := helloProfiles(r.body[0], r.body[handshakeHeader:]); list != nil {
			return list
		}
	}
	return nil
}

// helloProfiles reads the body of a hello (RFC 6347 section 4.2.1, RFC 5764
// section 4.1.1).
func helloProfiles(handshake byte, b []byte) []uint16 {
	c := cursor{b}
	c.skip(2 + 32) // version, random
	c.skip(c.size8())
	switch handshake {
	case clientHello:
		c.skip(c.size8())  // cookie
		c.skip(c.size16()) // suites
		c.skip(c.size8())  // compression
	case serverHello:
		c.skip(2 + 1)
	default:
		return nil
	}
	c.size16() // of all extensions
	for len(c.rest) >= 4 {
		id, body := c.size16(), cursor{}
		body.rest = c.take(c.size16())
		if id != extensionUseSRTP {
			continue
		}
		list := cursor{body.take(body.size16())}
		var profiles []uint16
		for len(list.rest) >= 2 {
			profiles = append(profiles, uint16(list.size16()))
		}
		return profiles
	}
	return nil
}

// cursor reads bytes that may be too few: what is missing is zero.
type cursor struct{ rest []byte }

func (c *cursor) take(n int) []byte {
	n = min(n, len(c.rest))
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) skip(n int) { c.take(n) }

func (c *cursor) size8() int {
	if b := c.take(1); len(b) == 1 {
		return int(b[0])
	}
	return 0
}

func (c *cursor) size16() int { return c.size8()<<8 | c.size8() }

// oldHello tells whether a datagram begins with a ClientHello of DTLS 1.0.
func oldHello(b []byte) bool {
	for _, r := range records(b) {
		if r.content == contentHandshake && r.epoch == 0 && len(r.body) > handshakeHeader+2 && r.body[0] == clientHello {
			return r.body[handshakeHeader] == 0xfe && r.body[handshakeHeader+1] == 0xff
		}
	}
	return false
}

// oldAnswer is the beginning of a ServerHello of DTLS 1.0.
var oldAnswer = append([]byte{
	contentHandshake, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, handshakeHeader + 38,
	serverHello, 0, 0, 38, 0, 0, 0, 0, 0, 0, 0, 38, 0xfe, 0xff,
}, make([]byte, 36)...)
