package sfu

// AV1 RTP payloads (AV1 RTP specification section 4.4) and the OBUs in them.
const (
	obuSequenceHeader    = 1
	obuTemporalDelimiter = 2
)

// av1Size reads the sequence header that a keyframe begins with.
func av1Size(b []byte) size {
	if obu := av1Sequence(b); obu != nil {
		return av1SequenceSize(obu)
	}
	return size{}
}

// av1Sequence finds a sequence header among the first OBUs of a payload, nil:
// there is none. A packet that goes on with an OBU of the one before (Z) begins
// nothing.
func av1Sequence(b []byte) []byte {
	if len(b) < 2 || b[0]&0x80 != 0 {
		return nil
	}
	count := int(b[0] >> 4 & 0x03) // W: OBUs in the packet, the last without length; 0: all have one
	b = b[1:]
	for i := 1; i <= 3 && len(b) > 0; i++ {
		length := len(b)
		if i != count {
			var used int
			if length, used = leb128(b); used == 0 {
				return nil
			}
			b = b[used:]
		}
		if length < 1 || length > len(b) {
			return nil
		}
		switch b[0] >> 3 & 0x0f {
		case obuSequenceHeader:
			return b[:length]
		case obuTemporalDelimiter:
			b = b[length:]
		default:
			return nil
		}
		if i == count {
			return nil
		}
	}
	return nil
}

// av1SequenceSize reads max_frame_width and max_frame_height (AV1 bitstream
// specification section 5.5.1).
func av1SequenceSize(obu []byte) size {
	const extended, sized = 0x04, 0x02
	at := 1
	if obu[0]&extended != 0 {
		at++
	}
	if obu[0]&sized != 0 && at <= len(obu) {
		_, used := leb128(obu[at:])
		at += used
	}
	if at > len(obu) {
		return size{}
	}
	r := bitReader{b: obu[at:]}
	r.skip(3 + 1) // profile, still_picture
	if r.flag() { // reduced_still_picture_header
		r.skip(5)
	} else {
		r.skipOperatingPoints()
	}
	widthBits, heightBits := int(r.read(4))+1, int(r.read(4))+1
	s := size{int(r.read(widthBits)) + 1, int(r.read(heightBits)) + 1}
	if r.over {
		return size{}
	}
	return s.sane()
}

// skipOperatingPoints passes over timing_info, decoder_model_info and the
// operating points.
func (r *bitReader) skipOperatingPoints() {
	model, delayBits := false, 0
	if r.flag() { // timing_info_present_flag
		r.skip(64)
		if r.flag() {
			r.golomb() // uvlc has the same form (section 4.10.3)
		}
		if model = r.flag(); model {
			delayBits = int(r.read(5)) + 1
			r.skip(32 + 5 + 5)
		}
	}
	display := r.flag()
	for range r.read(5) + 1 {
		r.skip(12)
		if r.read(5) > 7 {
			r.skip(1) // tier
		}
		if model && r.flag() {
			r.skip(2*delayBits + 1)
		}
		if display && r.flag() {
			r.skip(4)
		}
	}
}
