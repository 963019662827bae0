package sfu

import "encoding/binary"

// vp8Header is the payload descriptor of RFC 7741 section 4.2. Positions are
// offsets into the payload, 0: the field is not there.
type vp8Header struct {
	length    int  // of the descriptor, 0: it cannot be read
	start     bool // the first packet of a frame
	pictureID int  // position
	long      bool // the picture id has 15 bits
	tl0       int  // position of TL0PICIDX
	temporal  int  // position of TID and KEYIDX
}

func vp8Descriptor(b []byte) (d vp8Header) {
	if len(b) < 1 {
		return d
	}
	d.start = b[0]&0x10 != 0 && b[0]&0x07 == 0
	at := 1
	if b[0]&0x80 != 0 { // X
		if len(b) < 2 {
			return d
		}
		x := b[1]
		at = 2
		if x&0x80 != 0 { // I
			if len(b) <= at {
				return d
			}
			d.pictureID, d.long = at, b[at]&0x80 != 0
			if at++; d.long {
				at++
			}
		}
		if x&0x40 != 0 { // L
			d.tl0 = at
			at++
		}
		if x&0x30 != 0 { // T, K
			d.temporal = at
			at++
		}
	}
	if len(b) > at {
		d.length = at
	}
	return d
}

// vp9Header is the payload descriptor of RFC 9628 section 4.2.
type vp9Header struct {
	length    int // of the descriptor, 0: it cannot be read
	pictureID int // position, 0: it is not there
	tl0       int // position of TL0PICIDX, as above
	spatial   int // layer ids; 0 without the L bit
	temporal  int
	up        bool // switching up point
	end       bool // last packet of a layer frame
	begin     bool // first packet of a layer frame, whose layer could be read
	inter     bool // predicted from other pictures
	largest   size // of the scalability structure, zero without
	layers    int  // spatial layers of the scalability structure, 0 without
}

func parseVP9(b []byte) (d vp9Header) {
	const i, p, l, f, begin, v = 0x80, 0x40, 0x20, 0x10, 0x08, 0x02
	if len(b) < 1 {
		return d
	}
	flags := b[0]
	at := 1
	if flags&i != 0 {
		if len(b) <= at {
			return d
		}
		d.pictureID = at
		if b[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if flags&l != 0 {
		if len(b) <= at {
			return d
		}
		d.temporal, d.spatial, d.up = int(b[at]>>5), int(b[at]>>1&0x07), b[at]&0x10 != 0
		if at++; flags&f == 0 {
			d.tl0 = at
			at++
		}
	}
	d.begin, d.inter, d.end = flags&begin != 0, flags&p != 0, flags&0x04 != 0
	if flags&f != 0 && flags&p != 0 { // up to three references
		for range 3 {
			if len(b) <= at {
				return d
			}
			at++
			if b[at-1]&1 == 0 {
				break
			}
		}
	}
	if flags&v != 0 {
		if at = d.structure(b, at); at == 0 {
			return d
		}
	}
	if len(b) > at {
		d.length = at
	}
	return d
}

// structure reads the scalability structure at b[at:] and returns where it
// ends, 0 when it cannot be read.
func (d *vp9Header) structure(b []byte, at int) int {
	if len(b) <= at {
		return 0
	}
	head := b[at]
	d.layers = int(head>>5) + 1
	at++
	if head&0x10 != 0 { // Y: sizes
		if len(b) < at+4*d.layers {
			return 0
		}
		for range d.layers {
			s := size{int(binary.BigEndian.Uint16(b[at:])), int(binary.BigEndian.Uint16(b[at+2:]))}
			if s.area() > d.largest.area() {
				d.largest = s
			}
			at += 4
		}
	}
	if head&0x08 != 0 { // G: picture group
		if len(b) <= at {
			return 0
		}
		pictures := int(b[at])
		at++
		for range pictures {
			if len(b) <= at {
				return 0
			}
			at += 1 + int(b[at]>>2&0x03)
		}
	}
	return at
}

// pictureNumbers says where in the payload the numbers of its picture stand, 0:
// they are not there.
func pictureNumbers(c codec, payload []byte) (id, tl0 uint8) {
	switch c {
	case codecVP8:
		if d := vp8Descriptor(payload); d.length > 0 {
			return uint8(d.pictureID), uint8(d.tl0)
		}
	case codecVP9:
		if d := parseVP9(payload); d.length > 0 {
			return uint8(d.pictureID), uint8(d.tl0)
		}
	default:
	}
	return 0, 0
}
