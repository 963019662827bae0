package bench

import (
	"bytes"
	"encoding/binary"
)

// A stamp tells of a video packet which one it is and when it was sent: four
// marking bytes, a number and a time, and a check sum. Its digits are seven bits
// each with the top bit set, so that no byte is zero and nothing in it looks
// like the start of a NAL unit.
const (
	stampLen     = len(stampMark) + numberDigits + timeDigits + 1
	stampMark    = "\xfd\x9b\xe6\xc1"
	numberDigits = 5 // 35 bits: four years at 256 packets per second
	timeDigits   = 9 // 63 bits of Unix nanoseconds
)

// stamp is what a video packet carries.
type stamp struct {
	number uint64
	sent   int64 // Unix nanoseconds
}

// put writes the stamp to the first stampLen bytes of b.
func (s stamp) put(b []byte) {
	at := copy(b, stampMark)
	putDigits(b[at:at+numberDigits], s.number)
	at += numberDigits
	putDigits(b[at:at+timeDigits], uint64(s.sent))
	at += timeDigits
	b[at] = stampSum(b[len(stampMark):at])
}

// readStamp reads what put wrote.
func readStamp(b []byte) (s stamp, ok bool) {
	const end = stampLen - 1
	if len(b) < stampLen || string(b[:len(stampMark)]) != stampMark || b[end] != stampSum(b[len(stampMark):end]) {
		return s, false
	}
	at := len(stampMark)
	s.number = digits(b[at : at+numberDigits])
	s.sent = int64(digits(b[at+numberDigits : at+numberDigits+timeDigits]))
	return s, true
}

func putDigits(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = 0x80 | byte(n)
		n >>= 7
	}
}

func digits(b []byte) (n uint64) {
	for _, d := range b {
		n = n<<7 | uint64(d&0x7f)
	}
	return n
}

// stampSum keeps a chance find of the mark from being taken for a stamp. It is a
// digit of seven bits, too.
func stampSum(b []byte) byte {
	sum := byte(0x2a)
	for _, d := range b {
		sum = (sum<<1 | sum>>6&1) ^ d
	}
	return sum | 0x80
}

// NAL unit types of H264 (RFC 6184 section 5.2).
const (
	nalIDR  = 5
	nalSEI  = 6
	nalSTAP = 24
	nalFU   = 28
)

// stampReader finds the stamps in the payloads of one viewer's video. The last
// bytes of a payload are looked at again with the next one: a server may cut NAL
// units elsewhere than the publisher did.
type stampReader struct {
	buf []byte // what is left of the payload before, then this one
}

// read calls found with every stamp, and tells whether a keyframe begins here.
func (r *stampReader) read(payload []byte, found func(stamp)) (keyframe bool) {
	body, keyframe := h264Body(payload)
	r.buf = append(r.buf, body...)
	from := 0
	for {
		i := bytes.Index(r.buf[from:], []byte(stampMark))
		if i < 0 || from+i+stampLen > len(r.buf) {
			break
		}
		from += i
		if s, ok := readStamp(r.buf[from:]); ok {
			found(s)
			from += stampLen
		} else {
			from++
		}
	}
	kept := copy(r.buf, r.buf[max(from, len(r.buf)-stampLen+1):])
	r.buf = r.buf[:kept]
	return keyframe
}

// h264Body is what follows the headers of the payload format, and whether an IDR
// picture begins in it.
func h264Body(p []byte) (body []byte, keyframe bool) {
	if len(p) < 2 {
		return nil, false
	}
	switch p[0] & 0x1f {
	case nalFU:
		return p[2:], p[1]&0x80 != 0 && p[1]&0x1f == nalIDR
	case nalIDR:
		return p[1:], true
	case nalSTAP:
		for rest := p[1:]; len(rest) > 2; {
			if rest[2]&0x1f == nalIDR {
				return p[1:], true
			}
			rest = rest[min(len(rest), 2+int(binary.BigEndian.Uint16(rest))):]
		}
	}
	return p[1:], false
}
