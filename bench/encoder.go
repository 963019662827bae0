package bench

import (
	"math/rand/v2"
	"time"
)

const (
	frameRate     = 30
	frameInterval = time.Second / frameRate
	// keyInterval is in frames: two seconds.
	keyInterval = 2 * frameRate
	// keyWeight is how many times the bytes of another frame a keyframe has.
	keyWeight = 6
	// maxPayload is that of an RTP packet, its header not counted.
	maxPayload = 1200
)

// Parameter sets of H264 constrained baseline, 1280x720, pictures in output order.
var (
	spsNAL = []byte{0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe4}
	ppsNAL = []byte{0x68, 0xce, 0x38, 0x80}
	// seiUUID is what user data of ours goes by (H.264 annex D.1.7).
	seiUUID = []byte("sluice bench 001")
)

// encoder makes pictures that have the shape of H264 and nothing to see in them.
type encoder struct {
	frameBytes int
	filler     []byte // no zeros, no byte that begins a stamp
	payload    []byte
	frameNum   byte
}

func newEncoder(bitrate int) *encoder {
	e := &encoder{
		frameBytes: max(2*stampLen, bitrate/8*keyInterval/frameRate/(keyInterval-1+keyWeight)),
		filler:     make([]byte, 64<<10),
		payload:    make([]byte, 0, maxPayload),
	}
	for i := range e.filler {
		e.filler[i] = byte(1 + rand.IntN(int(stampMark[0])-1)) //nolint:gosec // G404: filler is no secret
	}
	return e
}

// emit takes a payload, which holds until it returns, with room for a stamp.
type emit func(payload, stamp []byte, last bool)

// frame makes the packets of the next picture.
func (e *encoder) frame(key bool, send emit) {
	if key {
		e.parameters(send)
		e.frameNum = 0
		// Slice header: first macroblock 0, I, parameter set 0, frame_num 0.
		e.slice(0x60|nalIDR, [2]byte{0x88, 0x87}, e.frameBytes*keyWeight, send)
		return
	}
	e.frameNum = (e.frameNum + 1) & 0x0f
	// First macroblock 0, P, parameter set 0, four bits of frame_num.
	e.slice(0x60|1, [2]byte{0x9a | e.frameNum>>3, e.frameNum<<5 | 0x1f}, e.frameBytes, send)
}

// parameters sends the parameter sets, with a stamp as user data beside them.
func (e *encoder) parameters(send emit) {
	sei := append([]byte{nalSEI, 5, byte(len(seiUUID) + stampLen)}, seiUUID...)
	at := len(sei)
	sei = append(append(sei, make([]byte, stampLen)...), 0x80)
	p := append(e.payload[:0], 0x60|nalSTAP)
	for _, nal := range [][]byte{spsNAL, ppsNAL, sei} {
		p = append(append(p, 0, byte(len(nal))), nal...)
	}
	stamp := p[len(p)-len(sei)+at:][:stampLen]
	send(p, stamp, false)
}

// slice sends a coded slice of size bytes in fragments (RFC 6184 section 5.8).
func (e *encoder) slice(nal byte, header [2]byte, size int, send emit) {
	const room = maxPayload - 2
	// The last fragment must have room for its stamp.
	if rest := size % room; rest > 0 && rest < len(header)+stampLen {
		size += len(header) + stampLen - rest
	}
	for left := size; left > 0; {
		n := min(room, left)
		fu := nal & 0x1f
		if left == size {
			fu |= 0x80
		}
		if left == n {
			fu |= 0x40
		}
		p := append(e.payload[:0], nal&0xe0|nalFU, fu)
		body := len(p)
		from := rand.IntN(len(e.filler) - room) //nolint:gosec // G404: filler is no secret
		p = append(p, e.filler[from:from+n]...)
		if left == size {
			copy(p[body:], header[:])
		}
		left -= n
		send(p, p[len(p)-stampLen:], left == 0)
	}
}
