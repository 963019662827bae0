package sfu

import (
	"encoding/hex"
	"testing"
)

func TestKeyframeSize(t *testing.T) {
	unhex := func(text string) []byte {
		t.Helper()
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	cases := []struct {
		name string
		read func([]byte) size
		in   string // hexadecimal
		want size
	}{
		{"VP8", vp8Size, "10" + "1000009d012a" + "0005d002", size{1280, 720}},
		{"VP8 with scaling bits", vp8Size, "90809111" + "1000009d012a" + "80426841", size{640, 360}},
		{"VP8 without start code", vp8Size, "10" + "1000009d012b" + "0005d002", size{}},
		{"VP8 cut off", vp8Size, "10" + "1000009d012a" + "0005d0", size{}},
		{"VP8 of no width", vp8Size, "10" + "1000009d012a" + "0000d002", size{}},

		{"VP9 profile 0", vp9Size, "08" + "8249834200" + "27f0167f00", size{640, 360}},
		{"VP9 scalability structure", vp9Size, "0a" + "38" + "014000b4" + "02800168" + "01" + "04" + "05" + "82", size{640, 360}},
		{"VP9 structure cut off", vp9Size, "0a" + "30" + "014000b4" + "0280", size{}},
		{"VP9 delta", vp9Size, "48" + "8649834200", size{}},

		{"VP8 of libvpx", vp8Size, "10" + "909c009d012a800268010047", size{640, 360}},
		{"VP8 of libvpx, odd", vp8Size, "10" + "b0e9029d012a82073a040047", size{1922, 1082}},
		{"VP9 of libvpx", vp9Size, "08" + "824983420027f016760a3824", size{640, 360}},
		{"VP9 of libvpx, odd", vp9Size, "a8110000" + "8249834200781043960a3824", size{1922, 1082}},

		{"AV1 of libaom", av1Size, "18" + "080000000cc4ff673ebe60", size{640, 360}},
		{"AV1 of libaom with its own size", av1Size, "18" + "0a0b0000000cc4ff673ebe60", size{640, 360}},
		{"AV1 of libaom, odd", av1Size, "2002" + "1200" + "0a0b00000042abc0c397ebe601", size{1922, 1082}},
		{"AV1 of SVT", av1Size, "18" + "0a0c0200000d6627fb38d5f30080", size{640, 360}},
		{"AV1 of SVT, odd", av1Size, "18" + "0a0c02000042955e061c8d5f3008", size{1922, 1082}},

		{"H264 of x264", h264Size, "67640016acd940a02ff970110000030001000003000a0f162d96", size{640, 360}},
		{"H264 of x264, cropped", h264Size, "6764002aacd94079022788930110000003001000000300a0f1831960", size{1922, 1082}},
		{"H264 of x264, interlaced", h264Size, "67640028acd94078044fde022000000300200000030143e2c5b2c0", size{1920, 1080}},
		{"H264 of x264, 4:4:4", h264Size, "67f40016919b281b07bc5f80880000030008000003005078b16cb0", size{854, 480}},
		{"H264 of a browser", h264Size, "6742c01f8c8d40501e900f08846a", size{640, 480}},
		{"H265 of x265", h265Size, "42010101600000030090000003000003003fa00502016965959a4932bc05a020000003002000000300a1", size{640, 360}},
		{"H265 of x265, cropped", h265Size, "420101016000000300900000030000030078a003c480110724996566924caf0168080000030008000003002840", size{1922, 1082}},

		{"AV1 nothing", av1Size, "18", size{}},

		{"H265 nothing", h265Size, "4201", size{}},
		{"H264 nothing", h264Size, "67", size{}},
		{"H264 too short", h264Size, "6742c01e", size{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.read(unhex(c.in)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
