package conformance

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// What a record and a handshake message begin with.
const (
	recordAlert     = 21
	recordHandshake = 22
	serverHello     = 2
	helloVerify     = 3
)

// helloDTLS10 is the ClientHello of a client that knows nothing newer than
// DTLS 1.0 (RFC 4347), with suites of that time and use_srtp.
func helloDTLS10(sequence byte, cookie []byte) []byte {
	body := []byte{0xfe, 0xff}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	body = append(body, random...)
	body = append(body, 0, byte(len(cookie)))
	body = append(body, cookie...)
	body = append(body, 0, 8, 0xc0, 0x09, 0xc0, 0x0a, 0xc0, 0x13, 0x00, 0x2f) // ECDHE and RSA with AES-CBC
	body = append(body, 1, 0)                                                 // no compression
	extensions := []byte{
		0, 10, 0, 4, 0, 2, 0, 23, // P-256
		0, 11, 0, 2, 1, 0, // uncompressed points
		0, 14, 0, 5, 0, 2, 0, 1, 0, // use_srtp: AES128_CM_HMAC_SHA1_80
	}
	body = binary.BigEndian.AppendUint16(body, uint16(len(extensions)))
	body = append(body, extensions...)
	message := []byte{1, 0, byte(len(body) >> 8), byte(len(body)), 0, sequence, 0, 0, 0, 0, byte(len(body) >> 8), byte(len(body))}
	message = append(message, body...)
	record := []byte{recordHandshake, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, sequence, byte(len(message) >> 8), byte(len(message))}
	return append(record, message...)
}

// verifyCookie is the cookie of a HelloVerifyRequest, nil when the record is none.
func verifyCookie(record []byte) []byte {
	const at = 13 + 12 + 2 // record and handshake headers, version
	if len(record) <= at || record[0] != recordHandshake || record[13] != helloVerify {
		return nil
	}
	n := int(record[at])
	if len(record) < at+1+n {
		return nil
	}
	return record[at+1 : at+1+n]
}

// offerDTLS10 begins a handshake of DTLS 1.0 and tells whether the server goes
// along: with a ServerHello. A cookie is given back, since asking for one is
// not yet to agree (RFC 6347 section 4.2.1).
func (a *Agent) offerDTLS10(patience time.Duration) bool {
	a.send(helloDTLS10(0, nil))
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case record := <-a.pipe.in:
			switch {
			case record[0] == recordAlert:
				return false
			case len(record) > 13 && record[13] == serverHello:
				return true
			default:
				if cookie := verifyCookie(record); cookie != nil {
					a.send(helloDTLS10(1, cookie))
				}
			}
		case <-limit.C:
			return false
		case <-a.t.ctx.Done():
			return false
		}
	}
}
