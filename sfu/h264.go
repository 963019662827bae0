package sfu

import (
	"encoding/hex"
	"strings"
)

// h264SPS is what a sequence parameter set says of profile, picture order and
// size (ITU-T H.264, 7.3.2.1.1).
type h264SPS struct {
	profile, constraints uint8
	planes               bool // separate colour planes
	frameNumBits         int
	orderType            uint32 // pic_order_cnt_type; 2: output in decoding order
	orderBits            int    // of pic_order_cnt_lsb, for type 0
	framesOnly           bool
	size                 size // zero: not known
}

// parseH264SPS reads a whole NAL unit; false: it makes no sense.
func parseH264SPS(nal []byte) (s h264SPS, ok bool) {
	if len(nal) < 4 {
		return s, false
	}
	s.profile, s.constraints = nal[1], nal[2]
	var buf [spsSize]byte
	r := bitReader{b: unescaped(buf[:0], nal[4:])}
	r.golomb()          // id
	chroma := uint32(1) // 4:2:0
	switch s.profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		chroma = r.golomb()
		if chroma == 3 {
			s.planes = r.flag()
		}
		r.golomb() // bit depth of luma
		r.golomb() // and chroma
		r.skip(1)  // lossless
		if r.flag() {
			r.skipScalingLists(chroma)
		}
	}
	s.frameNumBits = int(r.golomb()) + 4
	s.orderType = r.golomb()
	switch s.orderType {
	case 0:
		s.orderBits = int(r.golomb()) + 4
	case 1:
		r.skip(1)
		r.golomb() // signed, but as long
		r.golomb()
		for range min(r.golomb(), 255) {
			r.golomb()
		}
	}
	r.golomb() // reference frames
	r.skip(1)  // gaps
	width := 16 * (int64(r.golomb()) + 1)
	height := 16 * (int64(r.golomb()) + 1)
	s.framesOnly = r.flag()
	ok = !r.over && s.frameNumBits <= 16 && s.orderBits <= 16 && s.orderType <= 2
	units := cropUnits(chroma, s.planes)
	if !s.framesOnly {
		height, units.height = 2*height, 2*units.height
		r.skip(1)
	}
	r.skip(1)
	s.size = r.cropped(width, height, units)
	return s, ok
}

// h264Rank orders the profiles of which each decodes those below it; 0: another.
// Baseline counts as constrained baseline: nothing in use makes use of the rest.
func h264Rank(profile uint8) int {
	switch profile {
	case 66:
		return 1
	case 77:
		return 2
	case 100:
		return 3
	}
	return 0
}

// exceeds tells whether the stream needs another decoder than one for the
// profile that was announced. The level is left out: what is announced there is
// wrong in most offers, and decoders do not mind.
func (s *h264SPS) exceeds(announced uint8) bool {
	have, said := h264Rank(s.profile), h264Rank(announced)
	if have == 0 || said == 0 {
		return s.profile != announced
	}
	return have > said
}

// announcedH264 is the profile of an fmtp line. RFC 6184 section 8.1: one that
// says nothing means baseline.
func announcedH264(fmtp string) uint8 {
	const baseline = 66
	for param := range strings.SplitSeq(fmtp, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(key, "profile-level-id") {
			continue
		}
		if id, err := hex.DecodeString(strings.TrimSpace(value)); err == nil && len(id) == 3 {
			return id[0]
		}
	}
	return baseline
}

// sliceHeader is more octets than what is read of a slice ever takes.
const sliceHeader = 32

// h264Slice is the beginning of a slice header (H.264, 7.3.3).
type h264Slice struct {
	b, reference, idr bool
	order             uint32 // pic_order_cnt_lsb
	ordered           bool   // order is valid
}

// sliceH264 finds the first slice of a payload of RFC 6184 that begins a NAL
// unit, and reads it with the parameters of sps.
func sliceH264(b []byte, sps *h264SPS) (s h264Slice, ok bool) {
	const stapA, fuA = 24, 28
	if len(b) < 2 {
		return s, false
	}
	switch kind := b[0] & 0x1f; kind {
	case stapA:
		for nal, rest := nextAggregated(b[1:]); nal != nil; nal, rest = nextAggregated(rest) {
			if k := nal[0] & 0x1f; k == 1 || k == 5 {
				return readSlice(nal[0], nal[1:], sps)
			}
		}
	case fuA:
		if k := b[1] & 0x1f; b[1]&0x80 != 0 && (k == 1 || k == 5) {
			return readSlice(b[0]&0x60|k, b[2:], sps)
		}
	case 1, 5:
		return readSlice(b[0], b[1:], sps)
	}
	return s, false
}

func readSlice(header byte, b []byte, sps *h264SPS) (s h264Slice, ok bool) {
	s.reference, s.idr = header&0x60 != 0, header&0x1f == 5
	var buf [sliceHeader]byte
	r := bitReader{b: unescaped(buf[:0], b)}
	r.golomb() // first macroblock
	s.b = r.golomb()%5 == 1
	r.golomb() // picture parameter set
	if sps.orderType == 0 && sps.frameNumBits > 0 {
		if sps.planes {
			r.skip(2)
		}
		r.skip(sps.frameNumBits)
		if !sps.framesOnly && r.flag() { // a field
			r.skip(1)
		}
		if s.idr {
			r.golomb()
		}
		s.order, s.ordered = r.read(sps.orderBits), true
	}
	return s, !r.over
}

// reordering finds B-frames in H264: pictures that are shown before others that
// came earlier. A slice type alone is no proof, encoders for low delay have B
// slices that only look back; and what nobody refers to must be among them.
type reordering struct {
	sps       h264SPS
	known     bool   // sps is valid
	timestamp uint32 // of the last picture looked at
	any       bool   // timestamp is valid
	highest   uint32 // pic_order_cnt_lsb of the picture shown last so far
	ordered   bool   // highest is valid
}

// parameters takes a sequence parameter set.
func (r *reordering) parameters(nal []byte) {
	r.sps, r.known = parseH264SPS(nal)
}

// see looks at a packet in order of its number and tells whether it begins a
// picture that is shown before one that came earlier.
func (r *reordering) see(payload []byte, timestamp uint32) bool {
	if r.any && r.timestamp == timestamp || !r.known || r.sps.orderType == 2 {
		return false
	}
	s, ok := sliceH264(payload, &r.sps)
	if !ok {
		return false
	}
	r.timestamp, r.any = timestamp, true
	if !s.ordered {
		return s.b && !s.reference
	}
	half := uint32(1) << (r.sps.orderBits - 1)
	ahead := (s.order-r.highest)&(2*half-1) < half
	if s.idr || !r.ordered || ahead {
		r.highest, r.ordered = s.order, true
		return false
	}
	return s.b && !s.reference
}
