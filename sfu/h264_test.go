package sfu

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pion/rtp/codecs"
)

// nalsOf splits a clip in Annex B (made with ffmpeg from testsrc) into its NAL
// units.
func nalsOf(t testing.TB, name string) (nals [][]byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	for part := range bytes.SplitSeq(b, []byte{0, 0, 1}) {
		if part = bytes.TrimRight(part, "\x00"); len(part) > 0 {
			nals = append(nals, part)
		}
	}
	if len(nals) < 10 {
		t.Fatalf("%s has %d NAL units", name, len(nals))
	}
	return nals
}

// payloads packetizes as encoders do: small units whole, large ones in pieces.
func payloads(nal []byte) [][]byte {
	var p codecs.H264Payloader
	return p.Payload(200, slices.Concat([]byte{0, 0, 0, 1}, nal))
}

// disorders runs a clip through the detection and counts what it finds.
func disorders(t *testing.T, name string) (found, pictures int) {
	t.Helper()
	var r reordering
	timestamp := uint32(0)
	for _, nal := range nalsOf(t, name) {
		switch kind := nal[0] & 0x1f; kind {
		case 7:
			r.parameters(nal)
			if !r.known {
				t.Fatalf("%s: the SPS %x was not read", name, nal)
			}
		case 1, 5:
			if nal[1]&0x80 != 0 { // first macroblock 0
				pictures++
				timestamp += 3000
			}
			for _, payload := range payloads(nal) {
				if r.see(payload, timestamp) {
					found++
				}
			}
		}
	}
	return found, pictures
}

// B-frames are found in what real encoders make, and only there.
func TestReordering(t *testing.T) {
	for _, tt := range []struct {
		clip        string
		least, most int
	}{
		{"gop300.h264", 0, 0},
		{"high.h264", 0, 0},
		{"bframes.h264", 20, 40},
		{"bpyramid.h264", 15, 45},
		{"interlaced.h264", 5, 20},
	} {
		found, pictures := disorders(t, tt.clip)
		if found < tt.least || found > tt.most {
			t.Errorf("%s: %d of %d pictures are out of order, want %d to %d", tt.clip, found, pictures, tt.least, tt.most)
		}
	}
}

// Low-delay B slices look back only, and B slices that others refer to prove
// nothing: neither is a B-frame in the sense of the cause.
func TestReorderingNeedsProof(t *testing.T) {
	sps := h264SPS{frameNumBits: 4, orderType: 0, orderBits: 4, framesOnly: true}
	// first_mb 0, slice type, pps 0, frame_num 0000, pic_order_cnt_lsb.
	slice := func(header byte, kind string, order string) []byte {
		text := "1" + kind + "1" + "0000" + order + "1"
		b := []byte{header}
		for len(text)%8 != 0 {
			text += "0"
		}
		for ; text != ""; text = text[8:] {
			var v byte
			for _, c := range text[:8] {
				v = v<<1 | byte(c-'0')
			}
			b = append(b, v)
		}
		return b
	}
	const p, b = "1", "010"
	for _, tt := range []struct {
		name   string
		header byte
		kind   string
		orders []string
		want   int
	}{
		{"low delay", 0x01, b, []string{"0010", "0100", "0110"}, 0},
		{"out of order", 0x01, b, []string{"1000", "0010", "0100"}, 2},
		{"referred to", 0x41, b, []string{"1000", "0010", "0100"}, 0},
		{"no B slice", 0x01, p, []string{"1000", "0010", "0100"}, 0},
		{"counter wraps", 0x01, b, []string{"0110", "1100", "0010", "0100"}, 0},
	} {
		r := reordering{sps: sps, known: true}
		found := 0
		for i, order := range tt.orders {
			if r.see(slice(tt.header, tt.kind, order), uint32(i)) {
				found++
			}
		}
		if found != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, found, tt.want)
		}
	}
}

func TestH264Profile(t *testing.T) {
	for _, tt := range []struct {
		clip, fmtp string
		want       bool
	}{
		{"gop300.h264", "profile-level-id=42e01f;packetization-mode=1", false},
		{"gop300.h264", "packetization-mode=1;profile-level-id=640c1f", false},
		{"gop300.h264", "", false},
		{"high.h264", "profile-level-id=42e01f", true},
		{"high.h264", "profile-level-id=4d001f", true},
		{"high.h264", "level-asymmetry-allowed=1; Profile-Level-Id=64001f", false},
		{"bframes.h264", "profile-level-id=42e01f", true},
		{"bframes.h264", "profile-level-id=64001f", false},
		{"high.h264", "profile-level-id=nonsense", true},
	} {
		for _, nal := range nalsOf(t, tt.clip) {
			if nal[0]&0x1f != 7 {
				continue
			}
			sps, ok := parseH264SPS(nal)
			if got := sps.exceeds(announcedH264(tt.fmtp)); !ok || got != tt.want {
				t.Errorf("%s announced as %q: got %t, want %t (read: %t)", tt.clip, tt.fmtp, got, tt.want, ok)
			}
			break
		}
	}
}

// FuzzH264 feeds the parsers what a publisher might send.
func FuzzH264(f *testing.F) {
	for _, nal := range nalsOf(f, "interlaced.h264")[:6] {
		f.Add(nal, nal)
	}
	f.Fuzz(func(_ *testing.T, sps, payload []byte) {
		var r reordering
		if len(sps) > 0 {
			r.parameters(sps)
		}
		r.known = true // whatever was read
		for timestamp := range uint32(3) {
			r.see(payload, timestamp)
		}
	})
}
