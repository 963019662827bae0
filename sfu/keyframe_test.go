package sfu

import (
	"bytes"
	"testing"

	"github.com/pion/webrtc/v4"
)

func TestStartsKeyframe(t *testing.T) {
	cases := []struct {
		codec codec
		name  string
		in    []byte
		want  bool
	}{
		{codecVP8, "empty", nil, false},
		{codecVP8, "key", []byte{0x10, 0x00}, true},
		{codecVP8, "delta", []byte{0x10, 0x01}, false},
		{codecVP8, "second partition", []byte{0x11, 0x00}, false},
		{codecVP8, "goes on", []byte{0x00, 0x00}, false},
		{codecVP8, "picture id of 7 bits", []byte{0x90, 0x80, 0x11, 0x00}, true},
		{codecVP8, "picture id of 15 bits", []byte{0x90, 0x80, 0x91, 0x11, 0x00}, true},
		{codecVP8, "all fields, delta", []byte{0x90, 0xe0, 0x91, 0x11, 0x00, 0x00, 0x01}, false},
		{codecVP8, "all fields, key", []byte{0x90, 0xe0, 0x91, 0x11, 0x01, 0x01, 0x00}, true},
		{codecVP8, "cut off in the extension", []byte{0x90}, false},
		{codecVP8, "cut off in the picture id", []byte{0x90, 0x80}, false},
		{codecVP8, "cut off before the frame", []byte{0x90, 0xe0, 0x91, 0x11, 0x01, 0x01}, false},

		{codecVP9, "empty", nil, false},
		{codecVP9, "key", []byte{0x08, 0x00}, true},
		{codecVP9, "predicted", []byte{0x48, 0x00}, false},
		{codecVP9, "goes on", []byte{0x00, 0x00}, false},
		{codecVP9, "layer 0", []byte{0xa8, 0x11, 0x01}, true},
		{codecVP9, "layer 0, long picture id", []byte{0xa8, 0x91, 0x11, 0x30}, true},
		{codecVP9, "layer 1", []byte{0xa8, 0x11, 0x03}, false},
		{codecVP9, "cut off in the picture id", []byte{0xa8}, false},
		{codecVP9, "cut off before the layer", []byte{0xa8, 0x91, 0x11}, false},

		{codecAV1, "empty", nil, false},
		{codecAV1, "new sequence", []byte{0x18, 0x0a}, true},
		{codecAV1, "new sequence that goes on", []byte{0x98, 0x0a}, false},
		{codecAV1, "frame", []byte{0x10, 0x30, 0x00}, false},
		{codecAV1, "sequence header alone", []byte{0x10, 0x08, 0x00}, true},
		{codecAV1, "sequence header with length", []byte{0x00, 0x02, 0x08, 0x00}, true},
		{codecAV1, "after a temporal delimiter", []byte{0x20, 0x01, 0x10, 0x08, 0x00}, true},
		{codecAV1, "after a frame", []byte{0x20, 0x01, 0x30, 0x08, 0x00}, false},
		{codecAV1, "delimiter alone", []byte{0x10, 0x10}, false},
		{codecAV1, "length beyond the end", []byte{0x00, 0x7f, 0x08}, false},
		{codecAV1, "length without end", []byte{0x00, 0xff, 0xff, 0xff, 0xff, 0xff}, false},
		{codecAV1, "OBU of no octets", []byte{0x00, 0x00, 0x08}, false},

		{codecOther, "anything", []byte{0x10, 0x00}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := startsKeyframe(c.codec, c.in); got != c.want {
				t.Errorf("codec %d, % x: got %v, want %v", c.codec, c.in, got, c.want)
			}
		})
	}
}

func TestScanNAL(t *testing.T) {
	cases := []struct {
		name          string
		scan          func([]byte) nalScan
		in            []byte
		intra, starts bool
		sps, pps, vps string
	}{
		{"264 empty", scanH264, nil, false, false, "", "", ""},
		{"264 IDR", scanH264, []byte{0x65, 1}, true, true, "", "", ""},
		{"264 slice", scanH264, []byte{0x41, 1}, false, false, "", "", ""},
		{"264 SPS", scanH264, []byte("\x67s"), false, true, "\x67s", "", ""},
		{"264 PPS", scanH264, []byte("\x68p"), false, false, "", "\x68p", ""},
		{"264 all in one", scanH264, []byte("\x78\x00\x02\x67s\x00\x02\x68p\x00\x02\x65i"), true, true, "\x67s", "\x68p", ""},
		{"264 aggregate cut off", scanH264, []byte("\x78\x00\x02\x67s\x00\x09\x65i"), false, true, "\x67s", "", ""},
		{"264 aggregate of nothing", scanH264, []byte("\x78\x00\x00\x65i"), false, false, "", "", ""},
		{"264 fragment, start", scanH264, []byte{0x7c, 0x85, 1}, true, true, "", "", ""},
		{"264 fragment, middle", scanH264, []byte{0x7c, 0x05, 1}, false, false, "", "", ""},
		{"264 fragment of a slice", scanH264, []byte{0x7c, 0x81, 1}, false, false, "", "", ""},
		{"264 fragment, cut off", scanH264, []byte{0x7c}, false, false, "", "", ""},

		{"265 empty", scanH265, nil, false, false, "", "", ""},
		{"265 IDR", scanH265, []byte{19 << 1, 1, 0}, true, true, "", "", ""},
		{"265 CRA", scanH265, []byte{21 << 1, 1, 0}, true, true, "", "", ""},
		{"265 BLA", scanH265, []byte{16 << 1, 1, 0}, true, true, "", "", ""},
		{"265 trailing picture", scanH265, []byte{1 << 1, 1, 0}, false, false, "", "", ""},
		{"265 VPS", scanH265, []byte("\x40\x01v"), false, true, "", "", "\x40\x01v"},
		{"265 all in one", scanH265, []byte("\x60\x01\x00\x03\x40\x01v\x00\x03\x42\x01s\x00\x03\x44\x01p\x00\x03\x26\x01i"), true, true, "\x42\x01s", "\x44\x01p", "\x40\x01v"},
		{"265 fragment, start", scanH265, []byte{49 << 1, 1, 0x80 | 19}, true, true, "", "", ""},
		{"265 fragment, middle", scanH265, []byte{49 << 1, 1, 19}, false, false, "", "", ""},
		{"265 fragment, cut off", scanH265, []byte{49 << 1, 1}, false, false, "", "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := c.scan(c.in)
			if s.intra != c.intra || s.starts() != c.starts || string(s.sps) != c.sps || string(s.pps) != c.pps || string(s.vps) != c.vps {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestParameterSets(t *testing.T) {
	p := parameterSets{codec: codecH264}
	if p.missing(1) != nil {
		t.Error("sets from nothing")
	}
	p.fromSDP(webrtc.RTPCodecCapability{SDPFmtpLine: "packetization-mode=1; sprop-parameter-sets=Z0LAHg==,aM48gA==,!!;x=y"})
	want := []byte("\x78\x00\x04\x67\x42\xc0\x1e\x00\x04\x68\xce\x3c\x80")
	if got := p.missing(1); !bytes.Equal(got, want) {
		t.Errorf("from the SDP: got % x, want % x", got, want)
	}
	p.see(&nalScan{sps: []byte("\x67s")}, 7)
	if p.missing(7) != nil {
		t.Error("repeated though they came with the picture")
	}
	if got := p.missing(8); !bytes.Equal(got, []byte("\x78\x00\x02\x67s\x00\x04\x68\xce\x3c\x80")) {
		t.Errorf("after a new SPS: got % x", got)
	}
	p.see(&nalScan{pps: make([]byte, maxParameterSets)}, 8)
	if p.missing(9) != nil {
		t.Error("too large a packet was made")
	}

	p = parameterSets{codec: codecH265}
	p.see(&nalScan{sps: []byte("\x42\x01s"), pps: []byte("\x44\x01p")}, 1)
	if p.missing(2) != nil {
		t.Error("H265 without VPS")
	}
	p.see(&nalScan{vps: []byte("\x40\x01v")}, 1)
	got := p.missing(2)
	if s := scanH265(got); string(s.vps) != "\x40\x01v" || string(s.sps) != "\x42\x01s" || string(s.pps) != "\x44\x01p" {
		t.Errorf("H265: got % x", got)
	}
}

// FuzzKeyframe: no payload may make the readers of any codec panic, and what
// is put together from it can be read again.
func FuzzKeyframe(f *testing.F) {
	for _, s := range []string{
		"", "\x65i", "\x78\x00\x02\x67s\x00\x02\x68p", "\x7c\x85i", "\x60\x01\x00\x03\x40\x01v\x00\x03\x42\x01s", "\x90\xe0\x91\x11\x01\x01\x00", "\xa8\x91\x11\x30", "\x20\x01\x10\x08\x00",
		"\x18\x0a\x0b\x00\x00\x00\x0c\xc4\xff\x67\x3e\xbe\x60", "\x0a\x38\x01\x40\x00\xb4\x02\x80\x01\x68\x01\x04\x05\x82", "\x67\x64\x00\x16\xac\xd9\x40\xa0\x2f\xf9\x70",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for c := codecOther; c <= codecAV1; c++ {
			startsKeyframe(c, b)
			if s := keyframeSize(c, b); s != s.sane() {
				t.Errorf("size %v of % x", s, b)
			}
		}
		for c, scan := range map[codec]func([]byte) nalScan{codecH264: scanH264, codecH265: scanH265} {
			s := scan(b)
			h264Size(b)
			h265Size(b)
			p := parameterSets{codec: c}
			p.see(&s, 1)
			if sets := p.missing(2); sets != nil {
				if again := scan(sets); !bytes.Equal(again.sps, s.sps) || !bytes.Equal(again.pps, s.pps) {
					t.Errorf("% x became % x", b, sets)
				}
			}
		}
	})
}

// TestPictureNumbers: where descriptors of RFC 7741 and RFC 9628 have the
// picture id and TL0PICIDX.
func TestPictureNumbers(t *testing.T) {
	for _, c := range []struct {
		codec   codec
		name    string
		in      []byte
		id, tl0 uint8
	}{
		{codecVP8, "none", []byte{0x10, 0x00}, 0, 0},
		{codecVP8, "7 bits", []byte{0x90, 0xe0, 0x11, 0x05, 0x20, 0x00}, 2, 3},
		{codecVP8, "15 bits", []byte{0x90, 0xe0, 0x91, 0x11, 0x05, 0x20, 0x00}, 2, 4},
		{codecVP8, "picture id alone", []byte{0x90, 0x80, 0x91, 0x11, 0x00}, 2, 0},
		{codecVP8, "TL0PICIDX alone", []byte{0x90, 0x60, 0x05, 0x20, 0x00}, 0, 2},
		{codecVP8, "cut off", []byte{0x90, 0xe0, 0x91, 0x11, 0x05, 0x20}, 0, 0},
		{codecVP9, "none", []byte{0x08, 0x00}, 0, 0},
		{codecVP9, "7 bits", []byte{0xa8, 0x11, 0x00, 0x05, 0x00}, 1, 3},
		{codecVP9, "15 bits", []byte{0xa8, 0x91, 0x11, 0x00, 0x05, 0x00}, 1, 4},
		{codecVP9, "flexible mode", []byte{0xb8, 0x91, 0x11, 0x00, 0x00}, 1, 0},
		{codecVP9, "cut off", []byte{0xa8, 0x91, 0x11, 0x00, 0x05}, 0, 0},
		{codecH264, "no descriptor", []byte{0x90, 0xe0, 0x91, 0x11, 0x05, 0x20, 0x00}, 0, 0},
		{codecVP8, "nothing", nil, 0, 0},
	} {
		if id, tl0 := pictureNumbers(c.codec, c.in); id != c.id || tl0 != c.tl0 {
			t.Errorf("codec %d, %s: got %d and %d, want %d and %d", c.codec, c.name, id, tl0, c.id, c.tl0)
		}
	}
}
