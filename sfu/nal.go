package sfu

import (
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/pion/webrtc/v4"
)

// nalScan is what one packet of H264 or H265 holds: whole parameter sets, and
// whether a picture that needs no other begins or goes on in it.
type nalScan struct {
	vps, sps, pps []byte // into the payload; nil: none
	intra         bool   // IDR, for H265 any IRAP picture
}

// starts tells whether the packet may be the first of a keyframe. A PPS alone
// may not: encoders send new ones between other pictures, too.
func (s *nalScan) starts() bool { return s.intra || s.sps != nil || s.vps != nil }

// scanH264 reads a payload of RFC 6184 section 5.
func scanH264(b []byte) (s nalScan) {
	const stapA, fuA = 24, 28
	if len(b) == 0 {
		return s
	}
	switch b[0] & 0x1f {
	case stapA:
		for nal, rest := nextAggregated(b[1:]); nal != nil; nal, rest = nextAggregated(rest) {
			s.h264(nal)
		}
	case fuA:
		if len(b) > 1 && b[1]&0x80 != 0 && b[1]&0x1f == 5 {
			s.intra = true
		}
	default:
		s.h264(b)
	}
	return s
}

func (s *nalScan) h264(nal []byte) {
	switch nal[0] & 0x1f {
	case 5:
		s.intra = true
	case 7:
		s.sps = nal
	case 8:
		s.pps = nal
	}
}

// scanH265 reads a payload of RFC 7798 section 4.4, without DONL fields.
func scanH265(b []byte) (s nalScan) {
	const ap, fu = 48, 49
	if len(b) < 2 {
		return s
	}
	switch b[0] >> 1 & 0x3f {
	case ap:
		for nal, rest := nextAggregated(b[2:]); nal != nil; nal, rest = nextAggregated(rest) {
			s.h265(nal)
		}
	case fu:
		if len(b) > 2 && b[2]&0x80 != 0 && irap(b[2]&0x3f) {
			s.intra = true
		}
	default:
		s.h265(b)
	}
	return s
}

func (s *nalScan) h265(nal []byte) {
	switch t := nal[0] >> 1 & 0x3f; {
	case t == 32:
		s.vps = nal
	case t == 33:
		s.sps = nal
	case t == 34:
		s.pps = nal
	case irap(t):
		s.intra = true
	}
}

// irap: BLA, IDR and CRA pictures and those reserved for more of the kind.
func irap(t uint8) bool { return 16 <= t && t <= 23 }

// nextAggregated takes a NAL unit with its two octets of length off the front;
// nil when there is none left or the rest makes no sense.
func nextAggregated(b []byte) (nal, rest []byte) {
	if len(b) < 3 {
		return nil, nil
	}
	size := int(binary.BigEndian.Uint16(b))
	if size == 0 || len(b) < 2+size {
		return nil, nil
	}
	return b[2 : 2+size], b[2+size:]
}

// parameterSets keeps the last parameter sets of a track. Publishers may send
// them once, or only in the SDP, while a viewer needs them at each keyframe.
type parameterSets struct {
	codec         codec
	vps, sps, pps []byte
	timestamp     uint32 // of the picture that sps came with
	inBand        bool   // timestamp is valid
}

// maxParameterSets bounds the packet that repeats them, so that it fits where
// all others fit.
const maxParameterSets = 1100

// fromSDP takes the sets that an H264 format parameter carries (RFC 6184
// section 8.1), if any.
func (p *parameterSets) fromSDP(c webrtc.RTPCodecCapability) {
	if p.codec != codecH264 {
		return
	}
	for param := range strings.SplitSeq(c.SDPFmtpLine, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(key, "sprop-parameter-sets") || len(value) > 2*maxParameterSets {
			continue
		}
		for set := range strings.SplitSeq(value, ",") {
			nal, err := base64.StdEncoding.DecodeString(set)
			if err != nil || len(nal) == 0 {
				continue
			}
			var s nalScan
			s.h264(nal)
			p.keep(&s)
		}
	}
}

// see takes the sets of a packet; they must not change afterwards.
func (p *parameterSets) see(s *nalScan, timestamp uint32) {
	if s.sps != nil {
		p.timestamp, p.inBand = timestamp, true
	}
	p.keep(s)
}

func (p *parameterSets) keep(s *nalScan) {
	if s.vps != nil {
		p.vps = s.vps
	}
	if s.sps != nil {
		p.sps = s.sps
	}
	if s.pps != nil {
		p.pps = s.pps
	}
}

// missing returns an aggregation packet of all sets when the picture of that
// timestamp has come without them; nil when it has not, or they are not known.
func (p *parameterSets) missing(timestamp uint32) []byte {
	if p.inBand && p.timestamp == timestamp || p.sps == nil || p.pps == nil {
		return nil
	}
	var head []byte
	sets := [][]byte{p.sps, p.pps}
	switch {
	case p.codec == codecH264:
		head = []byte{p.sps[0]&0x60 | 24}
	case p.codec == codecH265 && p.vps != nil:
		head = []byte{48 << 1, 1} // layer 0, temporal id 0
		sets = [][]byte{p.vps, p.sps, p.pps}
	default:
		return nil
	}
	if len(p.vps)+len(p.sps)+len(p.pps) > maxParameterSets {
		return nil
	}
	for _, set := range sets {
		head = binary.BigEndian.AppendUint16(head, uint16(len(set)))
		head = append(head, set...)
	}
	return head
}
