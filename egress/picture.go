package egress

import "encoding/binary"

// Decoders follow pictures of VP8 and VP9 by numbers in the payload descriptor:
// the picture id, and TL0PICIDX of the lowest temporal layer (RFC 7741 section
// 4.2, RFC 9628 section 4.2). Every source begins with numbers of its own, and
// libwebrtc looks up what it remembers under the new ones: after a step back it
// drops pictures until the numbers have gone beyond those it knew. So they too
// go on over a change of source.

// pictures are the numbers of a picture, as far as there are any.
type pictures struct {
	id            uint16
	tl0           uint8
	hasID, hasTL0 bool
}

// shift is what a binding adds to the numbers of its pictures.
type shift struct {
	id  uint16
	tl0 uint8
}

// pictures reads the numbers that the packet came with.
func (p *Packet) pictures() (n pictures) {
	if at := int(p.PictureID); at != 0 && at+1 < len(p.Payload) {
		n.hasID = true
		if n.id = uint16(p.Payload[at]); n.id&0x80 != 0 { // M: 15 bits
			n.id = binary.BigEndian.Uint16(p.Payload[at:]) & 0x7fff
		}
	}
	if at := int(p.TL0); at != 0 && at < len(p.Payload) {
		n.hasTL0, n.tl0 = true, p.Payload[at]
	}
	return n
}

// shift is what lets a source that begins with the packet follow the pictures
// sent last.
func (n pictures) shift(first *Packet) (by shift) {
	from := first.pictures()
	if n.hasID && from.hasID {
		by.id = n.id + 1 - from.id
	}
	if n.hasTL0 && from.hasTL0 {
		by.tl0 = n.tl0 + 1 - from.tl0
	}
	return by
}

// note remembers the numbers with which the packet was sent.
func (n *pictures) note(p *Packet, by shift) {
	sent := p.pictures()
	if sent.hasID {
		n.id, n.hasID = sent.id+by.id, true
	}
	if sent.hasTL0 {
		n.tl0, n.hasTL0 = sent.tl0+by.tl0, true
	}
}

// changes tells whether the packet is to be sent with other numbers.
func (by shift) changes(p *Packet) bool { return by != shift{} && (p.PictureID != 0 || p.TL0 != 0) }

// apply writes them into a copy of the packet's payload.
func (by shift) apply(payload []byte, p *Packet) {
	n := p.pictures()
	if at := int(p.PictureID); n.hasID && payload[at]&0x80 != 0 {
		binary.BigEndian.PutUint16(payload[at:], (n.id+by.id)|0x8000)
	} else if n.hasID {
		payload[at] = uint8(n.id+by.id) & 0x7f
	}
	if n.hasTL0 {
		payload[p.TL0] = n.tl0 + by.tl0
	}
}
