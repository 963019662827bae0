package conformance

import "encoding/binary"

// Frames of H264 that are legal enough to be judged by their headers: constrained
// baseline, level 3.1, 1280x720. The slices hold no picture.
var (
	spsH264 = []byte{0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe8, 0x06, 0xd0, 0xa1, 0x35}
	ppsH264 = []byte{0x68, 0xce, 0x06, 0xe2}
)

// frameH264 is frame n as an Annex B byte sequence.
func frameH264(n int, key bool) []byte {
	if key {
		idr := append([]byte{0x65, 0x88, 0x84}, noise(n, 3000)...) // first_mb 0, slice type 7: I
		return annexB(spsH264, ppsH264, idr)
	}
	return annexB(append([]byte{0x41, 0x9a}, noise(n, 400)...)) // first_mb 0, slice type 5: P
}

// frameVP8 is frame n of a VP8 stream of a size: the header that RFC 6386 section
// 9.1 describes, and noise. Wider pictures have more of it.
func frameVP8(n int, key bool, width, height int) []byte {
	if !key {
		return append([]byte{0x11, 0, 0}, noise(n, width/4)...)
	}
	head := []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, byte(width), byte(width >> 8), byte(height), byte(height >> 8)}
	return append(head, noise(n, width)...)
}

// widthVP8 is the width that a keyframe of VP8 says; 0 for other frames.
func widthVP8(frame []byte) int {
	if len(frame) < 10 || frame[0]&1 != 0 || frame[3] != 0x9d || frame[4] != 0x01 || frame[5] != 0x2a {
		return 0
	}
	return int(frame[6]) | int(frame[7]&0x3f)<<8
}

// The parameter sets of High profile, level 3.1, 1280x720.
var (
	spsHigh = []byte{0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60}
	ppsHigh = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}
)

// frameHigh is frameH264 of High profile.
func frameHigh(n int, key bool) []byte {
	if !key {
		return frameH264(n, false)
	}
	return annexB(spsHigh, ppsHigh, append([]byte{0x65, 0x88, 0x84}, noise(n, 3000)...))
}

// frameOpus is one packet of 20 ms: CELT, fullband, stereo.
func frameOpus(n int) []byte { return append([]byte{0xfc}, noise(n, 79)...) }

func annexB(nals ...[]byte) []byte {
	var b []byte
	for _, n := range nals {
		b = append(append(b, 0, 0, 0, 1), n...)
	}
	return b
}

// noise is size bytes that depend on n. None is zero, so that no start code arises.
func noise(n, size int) []byte {
	b := make([]byte, size)
	x := uint32(n)*2654435761 + 12345
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x>>24) | 0x80
	}
	if size >= 4 {
		binary.BigEndian.PutUint32(b[size-4:], uint32(n)|0x80808080)
	}
	return b
}
