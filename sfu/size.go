package sfu

import "encoding/binary"

// size is the width and height of a picture in pixels; zero: not known.
type size struct{ width, height int }

// maxSide bounds what is believed of a header.
const maxSide = 16384

func (s size) area() int { return s.width * s.height }

// sane is s, or nothing where it cannot be.
func (s size) sane() size {
	if s.width < 1 || s.height < 1 || s.width > maxSide || s.height > maxSide {
		return size{}
	}
	return s
}

// keyframeSize reads the size from the first packet of a keyframe; the zero
// size when it does not say. H264 and H265 say it in their parameter sets.
func keyframeSize(c codec, payload []byte) size {
	switch c {
	case codecVP8:
		return vp8Size(payload)
	case codecVP9:
		return vp9Size(payload)
	case codecAV1:
		return av1Size(payload)
	default:
		return size{}
	}
}

// vp8Size reads the frame header of RFC 6386 section 9.1.
func vp8Size(b []byte) size {
	at := vp8Descriptor(b).length
	if at == 0 || len(b) < at+10 || b[at+3] != 0x9d || b[at+4] != 0x01 || b[at+5] != 0x2a {
		return size{}
	}
	return size{
		int(binary.LittleEndian.Uint16(b[at+6:])) & 0x3fff,
		int(binary.LittleEndian.Uint16(b[at+8:])) & 0x3fff,
	}.sane()
}

// vp9Size reads the scalability structure, where there is one, because it
// knows the upper layers, too; else the uncompressed header of the VP9
// bitstream specification, section 6.2.
func vp9Size(b []byte) size {
	d := parseVP9(b)
	if d.length == 0 {
		return size{}
	}
	if d.largest != (size{}) {
		return d.largest.sane()
	}
	r := bitReader{b: b[d.length:]}
	marker := r.read(2)
	profile := r.bit() | r.bit()<<1
	if profile == 3 {
		r.skip(1)
	}
	existing, delta := r.flag(), r.flag()
	r.skip(2) // show_frame, error_resilient_mode
	if marker != 2 || existing || delta || r.read(24) != 0x498342 {
		return size{}
	}
	if profile >= 2 {
		r.skip(1) // bit depth
	}
	const rgb = 7
	switch colours := r.read(3); {
	case colours != rgb:
		r.skip(1) // range
		if profile&1 == 1 {
			r.skip(3)
		}
	case profile&1 == 1:
		r.skip(1)
	}
	s := size{int(r.read(16)) + 1, int(r.read(16)) + 1}
	if r.over {
		return size{}
	}
	return s.sane()
}

// h264Size reads the size from a sequence parameter set.
func h264Size(nal []byte) size {
	s, ok := parseH264SPS(nal)
	if !ok {
		return size{}
	}
	return s.size
}

// cropUnits are how many pixels one of a cropping rectangle's units stands for
// (H.264 section 7.4.2.1.1, H.265 section 7.4.3.2.1).
func cropUnits(chroma uint32, planes bool) size {
	units := size{1, 1}
	if planes {
		return units
	}
	if chroma == 1 || chroma == 2 {
		units.width = 2
	}
	if chroma == 1 {
		units.height = 2
	}
	return units
}

// cropped reads the cropping rectangle of a picture, where there is one, and
// returns what is left.
func (r *bitReader) cropped(width, height int64, units size) size {
	if r.flag() {
		width -= int64(units.width) * (int64(r.golomb()) + int64(r.golomb()))
		height -= int64(units.height) * (int64(r.golomb()) + int64(r.golomb()))
	}
	if r.over {
		return size{}
	}
	return size{int(width), int(height)}.sane()
}

// skipScalingLists passes over the matrices (section 7.3.2.1.1.1).
func (r *bitReader) skipScalingLists(chroma uint32) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if !r.flag() {
			continue
		}
		entries := 16
		if i >= 6 {
			entries = 64
		}
		last, next := int32(8), int32(8)
		for range entries {
			if next != 0 {
				next = (last + r.signedGolomb() + 256) % 256
			}
			if next != 0 {
				last = next
			}
		}
	}
}

// spsSize is more octets than what is read of a sequence parameter set takes.
const spsSize = 256

// h265Size reads a sequence parameter set (H.265 section 7.3.2.2.1).
func h265Size(sps []byte) size {
	var buf [spsSize]byte
	r := bitReader{b: unescaped(buf[:0], sps)}
	r.skip(16 + 4)
	layers := int(r.read(3))
	r.skip(1)
	r.skip(88 + 8) // general profile and level
	var profiles, levels [8]bool
	for i := range layers {
		profiles[i], levels[i] = r.flag(), r.flag()
	}
	if layers > 0 {
		r.skip(2 * (8 - layers))
	}
	for i := range layers {
		if profiles[i] {
			r.skip(88)
		}
		if levels[i] {
			r.skip(8)
		}
	}
	r.golomb() // id
	chroma := r.golomb()
	planes := chroma == 3 && r.flag()
	width, height := int64(r.golomb()), int64(r.golomb())
	return r.cropped(width, height, cropUnits(chroma, planes)) // the conformance window
}
