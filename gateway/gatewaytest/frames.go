package gatewaytest

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// Codec makes test media of one codec: frames that are legal enough for
// packetizers and keyframe detection, and otherwise filled with bytes that tell
// every frame from every other.
type Codec struct {
	Name        string
	Kind        webrtc.RTPCodecType
	Parameters  webrtc.RTPCodecParameters
	FrameLength time.Duration
	// Frame makes frame n; key frames are self-contained.
	Frame func(n int, key bool) []byte
	// Depacketizer turns payloads back into what Frame made.
	Depacketizer func() rtp.Depacketizer
}

// Codecs lists every codec the gateway forwards.
func Codecs() []Codec {
	video := func(name string, pt webrtc.PayloadType, fmtp string, frame func(int, bool) []byte, d func() rtp.Depacketizer) Codec {
		return Codec{
			Name: name, Kind: webrtc.RTPCodecTypeVideo, FrameLength: time.Second / 30, Frame: frame, Depacketizer: d,
			Parameters: webrtc.RTPCodecParameters{PayloadType: pt, RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: "video/" + name, ClockRate: 90000, SDPFmtpLine: fmtp,
				RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}},
			}},
		}
	}
	audio := func(name string, pt webrtc.PayloadType, clock uint32, channels uint16, size int, d func() rtp.Depacketizer) Codec {
		return Codec{
			Name: name, Kind: webrtc.RTPCodecTypeAudio, FrameLength: 20 * time.Millisecond, Depacketizer: d,
			Frame: func(n int, _ bool) []byte { return filler(n, size) },
			Parameters: webrtc.RTPCodecParameters{PayloadType: pt, RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: "audio/" + name, ClockRate: clock, Channels: channels,
			}},
		}
	}
	return []Codec{
		video("H264", 102, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", h264Frame,
			func() rtp.Depacketizer { return &codecs.H264Packet{} }),
		video("H265", 103, "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST", h265Frame,
			func() rtp.Depacketizer { return &codecs.H265Depacketizer{} }),
		video("VP8", 96, "", vp8Frame, func() rtp.Depacketizer { return &codecs.VP8Packet{} }),
		video("VP9", 98, "profile-id=0", vp9Frame, func() rtp.Depacketizer { return &codecs.VP9Packet{} }),
		video("AV1", 45, "level-idx=5;profile=0;tier=0", av1Frame, func() rtp.Depacketizer { return &codecs.AV1Depacketizer{} }),
		audio("opus", 111, 48000, 2, 80, func() rtp.Depacketizer { return &codecs.OpusPacket{} }),
		audio("PCMU", 0, 8000, 1, 160, func() rtp.Depacketizer { return rawDepacketizer{} }),
		audio("PCMA", 8, 8000, 1, 160, func() rtp.Depacketizer { return rawDepacketizer{} }),
		audio("G722", 9, 8000, 1, 160, func() rtp.Depacketizer { return rawDepacketizer{} }),
	}
}

// FrameNumber reads the number back that the generators put into every frame.
func FrameNumber(frame []byte) int {
	if len(frame) < fillerHead {
		return -1
	}
	// The number stands at the end, seven bits a byte, so that no byte is zero
	// and no start code can arise.
	n := 0
	for _, b := range frame[len(frame)-fillerHead:] {
		n = n<<7 | int(b&0x7f)
	}
	return n
}

const fillerHead = 5

// filler makes size bytes without zeros that depend on n, ending in n itself.
func filler(n, size int) []byte {
	b := make([]byte, size)
	x := uint32(n)*2654435761 + 12345
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x>>24) | 0x80
	}
	for i := range fillerHead {
		b[len(b)-1-i] = byte(n>>(7*i))&0x7f | 0x80
	}
	return b
}

// frameSize spreads the sizes so that frames of one and of many packets occur.
func frameSize(n int, key bool) int {
	if key {
		return 6000 + n%1000
	}
	return 60 + (n*397)%2900
}

func annexB(nals ...[]byte) []byte {
	var b []byte
	for _, n := range nals {
		b = append(append(b, 0, 0, 0, 1), n...)
	}
	return b
}

func h264Frame(n int, key bool) []byte {
	body := filler(n, frameSize(n, key))
	if !key {
		return annexB(append([]byte{0x41}, body...))
	}
	// Constrained baseline, level 3.1.
	return annexB([]byte{0x67, 0x42, 0xe0, 0x1f, 0x96, 0x54}, []byte{0x68, 0xce, 0x3c, 0x80}, append([]byte{0x65}, body...))
}

func h265Frame(n int, key bool) []byte {
	body := filler(n, frameSize(n, key))
	nal := func(kind byte, b []byte) []byte { return append([]byte{kind << 1, 1}, b...) }
	if !key {
		return annexB(nal(1, body))
	}
	return annexB(nal(32, filler(n, 20)), nal(33, filler(n, 40)), nal(34, filler(n, 10)), nal(19, body))
}

func vp8Frame(n int, key bool) []byte {
	b := filler(n, frameSize(n, key))
	if !key {
		b[0] |= 1
		return b
	}
	b[0] &^= 1
	copy(b[3:], []byte{0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}) // start code, 640x360
	return b
}

func vp9Frame(n int, key bool) []byte {
	b := filler(n, frameSize(n, key))
	if !key {
		b[0] = 0x86
		return b
	}
	// Profile 0, shown, sync code, colour space 1, then 640x360 from bit 4 on.
	copy(b, []byte{0x82, 0x49, 0x83, 0x42})
	size := uint64(1)<<37 | uint64(639)<<20 | uint64(359)<<4 // 3 bits, 1 bit, 16 bits, 16 bits, 4 to spare
	var packed [8]byte
	binary.BigEndian.PutUint64(packed[:], size)
	copy(b[4:9], packed[3:])
	return b
}

func av1Frame(n int, key bool) []byte {
	obu := func(kind byte, body []byte) []byte {
		b := []byte{kind<<3 | 2}
		size := len(body)
		for size >= 0x80 {
			b = append(b, byte(size)|0x80)
			size >>= 7
		}
		return append(append(b, byte(size)), body...)
	}
	body := filler(n, frameSize(n, key))
	if !key {
		return obu(6, body)
	}
	return append(obu(1, filler(n, 11)), obu(6, body)...)
}

// rawDepacketizer serves codecs whose payload is the frame.
type rawDepacketizer struct{}

func (rawDepacketizer) Unmarshal(p []byte) ([]byte, error)    { return p, nil }
func (rawDepacketizer) IsPartitionHead([]byte) bool           { return true }
func (rawDepacketizer) IsPartitionTail(_ bool, _ []byte) bool { return true }
