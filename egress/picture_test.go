package egress

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp/codecs"
)

// numbering is what a source calls its pictures: ids of 15 bits or of 7, or
// none, and TL0PICIDX or none.
type numbering struct {
	id    uint16
	tl0   uint8
	kinds string // of "i" or "I" (15 bits), and "l"
}

// picture is a packet of VP8 that says so.
func (n numbering) picture(src *track, seq uint64, timestamp uint32, body string) *Packet {
	b := []byte{0x90, 0}
	p := src.packet(seq, timestamp, "")
	if strings.ContainsAny(n.kinds, "iI") {
		p.PictureID = uint8(len(b))
		b[1] |= 0x80
	}
	switch {
	case strings.Contains(n.kinds, "I"):
		b = append(b, 0x80|byte(n.id>>8&0x7f), byte(n.id))
	case strings.Contains(n.kinds, "i"):
		b = append(b, byte(n.id&0x7f))
	}
	if strings.Contains(n.kinds, "l") {
		p.TL0 = uint8(len(b))
		b[1] |= 0x60
		b = append(b, n.tl0, 0x20)
	}
	p.Payload, p.Marker = append(b, body...), true
	return p
}

// parsed reads a payload as receivers do.
func parsed(t *testing.T, payload []byte) *codecs.VP8Packet {
	t.Helper()
	var v codecs.VP8Packet
	if _, err := v.Unmarshal(payload); err != nil {
		t.Fatalf("%x: %v", payload, err)
	}
	return &v
}

// TestPicturesGoOn: the numbers of pictures go on over every change of source,
// whatever the sources call theirs, and what is shared stays as it is.
func TestPicturesGoOn(t *testing.T) {
	for _, tc := range []struct {
		name   string
		second numbering
		ids    []uint16 // of all pictures: two, then two of the second source
		tl0    []uint8
	}{
		{"a step back", numbering{5, 7, "Il"}, []uint16{32766, 32767, 0, 1}, []uint8{254, 255, 0, 1}},
		{"a leap", numbering{20000, 90, "Il"}, []uint16{32766, 32767, 0, 1}, []uint8{254, 255, 0, 1}},
		{"7 bits", numbering{126, 7, "il"}, []uint16{32766, 32767, 0, 1}, []uint8{254, 255, 0, 1}},
		{"ids only", numbering{5, 0, "I"}, []uint16{32766, 32767, 0, 1}, []uint8{254, 255, 0, 0}},
		{"TL0PICIDX only", numbering{0, 9, "l"}, []uint16{32766, 32767, 0, 0}, []uint8{254, 255, 0, 1}},
		{"none", numbering{0, 0, ""}, []uint16{32766, 32767, 0, 0}, []uint8{254, 255, 0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, v, far := start(t, gcm, defaultStreams())
			s := v.Stream("video")
			var shared []*Packet
			var before [][]byte
			play := func(src *track, n numbering) {
				for i := range 2 {
					p := n.picture(src, base+uint64(i), uint32(i)*3000, "content")
					p.Key = i == 0
					shared, before = append(shared, p), append(before, bytes.Clone(p.Payload))
					s.Write(p)
					n.id, n.tl0 = n.id+1, n.tl0+1
				}
			}
			first, second := newTrack(90000), newTrack(90000)
			s.Bind(first, videoFormat, nil)
			play(first, numbering{32766, 254, "Il"})
			s.Bind(second, videoFormat, nil)
			play(second, tc.second)
			got := far.takeRTP(videoSSRC)
			if len(got) != 4 {
				t.Fatalf("got %d packets", len(got))
			}
			for i, p := range got {
				v := parsed(t, p.Payload)
				if v.PictureID != tc.ids[i] || v.TL0PICIDX != tc.tl0[i] || string(v.Payload) != "content" {
					t.Errorf("picture %d: id %d, TL0PICIDX %d, %q, want %d and %d", i, v.PictureID, v.TL0PICIDX, v.Payload, tc.ids[i], tc.tl0[i])
				}
				if !bytes.Equal(shared[i].Payload, before[i]) {
					t.Errorf("picture %d: the payload, which others have too, is %x and was %x", i, shared[i].Payload, before[i])
				}
			}
		})
	}
}

// TestPicturesSentAgain: a lost packet comes again with the numbers that it had,
// byte for byte where there is no other SSRC for it, also after the next change.
func TestPicturesSentAgain(t *testing.T) {
	for name, format := range map[string]Format{"RTX": videoFormat, "plain": plainFormat} {
		t.Run(name, func(t *testing.T) {
			_, v, far := start(t, gcm, defaultStreams())
			s := v.Stream("video")
			for i, n := range []numbering{{100, 50, "Il"}, {9000, 200, "Il"}, {3, 20, "Il"}} {
				src := newTrack(90000)
				s.Bind(src, format, nil)
				p := n.picture(src, base+uint64(i), 0, "content")
				p.Key = true
				s.Write(p)
			}
			var sent []received
			for _, r := range far.take() {
				if r.rtp != nil {
					sent = append(sent, r)
				}
			}
			var nacks []uint16
			for _, r := range sent {
				nacks = append(nacks, r.rtp.SequenceNumber)
			}
			request := &rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(nacks)}
			if err := v.HandleRTCP(far.seal(request)); err != nil {
				t.Fatal(err)
			}
			again := far.take()
			if len(sent) != 3 || len(again) != 3 {
				t.Fatalf("%d packets sent, %d again", len(sent), len(again))
			}
			for i, r := range again {
				if got := parsed(t, sent[i].payload); got.PictureID != 100+uint16(i) || got.TL0PICIDX != 50+uint8(i) {
					t.Errorf("picture %d: got %+v", i, got)
				}
				if name == "plain" && !bytes.Equal(r.sealed, sent[i].sealed) {
					t.Errorf("picture %d came again as %x, was %x", i, r.sealed, sent[i].sealed)
				}
				if name == "RTX" && !bytes.Equal(r.payload[2:], sent[i].payload) {
					t.Errorf("picture %d came again as %x, was %x", i, r.payload, sent[i].payload)
				}
			}
		})
	}
}

// TestPicturesOutside: positions that the payload does not have are left alone.
func TestPicturesOutside(t *testing.T) {
	_, v, far := start(t, gcm, defaultStreams())
	s := v.Stream("video")
	for range 2 {
		for n := range 6 {
			src := newTrack(90000)
			s.Bind(src, videoFormat, nil)
			p := numbering{5, 7, "Il"}.picture(src, base, 0, "")
			p.Key, p.Payload = true, p.Payload[:n+1]
			s.Write(p)
		}
	}
	if got := far.takeRTP(videoSSRC); len(got) != 12 {
		t.Errorf("got %d packets", len(got))
	}
}

// TestPicturesCost: other numbers cost a copy, and nothing to be collected.
func TestPicturesCost(t *testing.T) {
	if got := testing.AllocsPerRun(500, renumbering(t)); got > 0 {
		t.Errorf("got %v allocations a packet, want none", got)
	}
}

func BenchmarkWriteRenumbered(b *testing.B) {
	next := renumbering(b)
	b.SetBytes(1200)
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

// renumbering is sending to a viewer whose source is not the first.
func renumbering(t testing.TB) (next func()) {
	t.Helper()
	plane := newPlane(discard, nowhere{})
	t.Cleanup(func() { _ = plane.Close() })
	v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
	if err := v.Start(testKeys(t, gcm), viewerAddr); err != nil {
		t.Fatal(err)
	}
	s := v.Stream("video")
	var p *Packet
	for id := range uint16(2) {
		src := newTrack(90000)
		p = numbering{100 * id, 7, "Il"}.picture(src, base, 0, strings.Repeat("v", 1194))
		p.Key = true
		s.Bind(src, videoFormat, nil)
		s.Write(p)
	}
	return func() {
		p.Seq++
		p.Timestamp += 3000
		s.Write(p)
		plane.settle()
	}
}
