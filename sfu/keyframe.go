package sfu

import "strings"

// codec is what the packet path must tell apart.
type codec uint8

const (
	codecOther codec = iota
	codecH264
	codecH265
	codecVP8
	codecVP9
	codecAV1
)

func codecOf(mimeType string) codec {
	switch strings.ToLower(mimeType) {
	case "video/h264":
		return codecH264
	case "video/h265":
		return codecH265
	case "video/vp8":
		return codecVP8
	case "video/vp9":
		return codecVP9
	case "video/av1":
		return codecAV1
	}
	return codecOther
}

// startsKeyframe tells whether a payload begins, or belongs to the beginning
// of, a picture that can be decoded without any other. Several packets of one
// keyframe may say so. H264 and H265 are in nal.go.
func startsKeyframe(c codec, payload []byte) bool {
	switch c {
	case codecVP8:
		return vp8Keyframe(payload)
	case codecVP9:
		return vp9Keyframe(payload)
	case codecAV1:
		return av1Keyframe(payload)
	default:
		return false
	}
}

// vp8Keyframe reads the payload descriptor and the first octet of the frame
// header (RFC 7741 section 4.3).
func vp8Keyframe(b []byte) bool {
	d := vp8Descriptor(b)
	return d.start && d.length > 0 && b[d.length]&0x01 == 0
}

// vp9Keyframe reads the payload descriptor. The upper spatial layers of a
// keyframe are not predicted from other pictures either, so the layer must be
// the lowest.
func vp9Keyframe(b []byte) bool {
	d := parseVP9(b)
	return d.begin && !d.inter && d.spatial == 0
}

// av1Keyframe reads the aggregation header of the AV1 RTP payload format
// (section 4.4). Its N bit marks the first packet of a coded video sequence;
// some senders leave it out, so a sequence header among the first OBUs counts,
// too. A packet that goes on with an OBU of the one before (Z) begins nothing.
func av1Keyframe(b []byte) bool {
	const z, n = 0x80, 0x08
	if len(b) < 2 || b[0]&z != 0 {
		return false
	}
	return b[0]&n != 0 || av1Sequence(b) != nil
}

// leb128 reads a length of at most four octets; used is 0 when it is none.
func leb128(b []byte) (value, used int) {
	for i := 0; i < 4 && i < len(b); i++ {
		value |= int(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return value, i + 1
		}
	}
	return 0, 0
}
