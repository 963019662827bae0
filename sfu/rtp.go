package sfu

import "encoding/binary"

// rtpHeader is what forwarding needs of an RTP packet (RFC 3550 section 5.1).
// Its slices point into the datagram.
type rtpHeader struct {
	marker      bool
	payloadType uint8
	sequence    uint16
	timestamp   uint32
	profile     uint16 // of the header extension
	extension   []byte // its elements; nil: none
	payload     []byte // without padding
}

const (
	oneByteProfile = 0xBEDE // RFC 8285 section 4.2
	twoByteProfile = 0x1000 // section 4.3; the low four bits belong to the application
)

// parseRTP reads a datagram; false: it is no RTP packet.
func parseRTP(b []byte) (h rtpHeader, ok bool) {
	if len(b) < 12 || b[0]>>6 != 2 {
		return h, false
	}
	h.marker = b[1]&0x80 != 0
	h.payloadType = b[1] & 0x7f
	h.sequence = binary.BigEndian.Uint16(b[2:])
	h.timestamp = binary.BigEndian.Uint32(b[4:])
	rest := 12 + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 { // header extension
		if len(b) < rest+4 {
			return h, false
		}
		h.profile = binary.BigEndian.Uint16(b[rest:])
		start := rest + 4
		rest = start + 4*int(binary.BigEndian.Uint16(b[rest+2:]))
		if len(b) < rest {
			return h, false
		}
		h.extension = b[start:rest]
	}
	end := len(b)
	if b[0]&0x20 != 0 && end > rest { // padding, counted by the last octet
		end -= int(b[end-1])
		if b[len(b)-1] == 0 {
			return h, false
		}
	}
	if end < rest {
		return h, false
	}
	h.payload = b[rest:end]
	return h, true
}

// nextExtension takes one element off the front of b. It returns id 0 when
// there is none left, also when the rest makes no sense.
func nextExtension(profile uint16, b []byte) (id uint8, value, rest []byte) {
	for len(b) > 0 {
		if b[0] == 0 { // padding between elements
			b = b[1:]
			continue
		}
		head, size := 1, int(b[0]&0x0f)+1 // one-byte form
		switch {
		case profile == oneByteProfile:
			if id = b[0] >> 4; id == 15 || id == 0 { // reserved: stop (RFC 8285 section 4.2)
				return 0, nil, nil
			}
		case profile&0xfff0 == twoByteProfile && len(b) >= 2:
			id, head, size = b[0], 2, int(b[1])
		default:
			return 0, nil, nil
		}
		if len(b) < head+size {
			return 0, nil, nil
		}
		return id, b[head : head+size], b[head+size:]
	}
	return 0, nil, nil
}
