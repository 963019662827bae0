package sfu

import (
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemedia/sluice/egress"
)

// vp9Packet is a picture's layer frame in one packet; the content is its place.
func vp9Packet(spatial, temporal int, key, up bool) []byte {
	flags, ids := byte(0x20|0x08|0x04), byte(temporal<<5|spatial<<1) // L, B, E
	if !key {
		flags |= 0x40
	}
	if up {
		ids |= 0x10
	}
	return []byte{flags, ids, 0, 0x82, byte(spatial), byte(temporal)}
}

// A viewer of scalable VP9 is given as many layers as it selects: fewer from
// the next picture on, more spatial ones with a keyframe, more temporal ones
// where the stream allows it (spec row WHEP-LAY-06).
func TestSVC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vp9 := vp8
		vp9.MimeType = "video/VP9"
		rs := newRooms(t, Config{})
		p := &publisher{src: newSource(t)}
		var err error
		if p.Claim, err = rs.Publish("r", "", ClaimConfig{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		if p.track, err = p.AddTrack(TrackConfig{Kind: "video", Codec: vp9, SSRC: 7}, p.src); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		seq, timestamp := uint16(0), uint32(0)
		picture := func(temporal int, key, up bool) {
			timestamp += 3000
			for spatial := range 2 {
				seq++
				b := datagram(seq, timestamp, vp9Packet(spatial, temporal, key, up))
				if spatial == 1 {
					b[1] |= 0x80
				}
				p.src.write(b)
			}
			synctest.Wait()
		}
		picture(0, true, false)
		picture(1, false, false)
		s := subscribe(t, rs, "r")
		v := &viewer{}
		s.start([kinds]sink{video: {out: v, format: plays("video/VP9")}})
		sent := 0
		// got are the places of what came since the last call, -1: a number
		// that was skipped. 100 is added where the marker stands.
		got := func() (places []int) {
			t.Helper()
			for _, p := range v.packets()[sent:] {
				switch {
				case len(p.Payload) == 0:
					places = append(places, -1)
				case p.Marker:
					places = append(places, 100+10*int(p.Payload[4])+int(p.Payload[5]))
				default:
					places = append(places, 10*int(p.Payload[4])+int(p.Payload[5]))
				}
			}
			sent = len(v.packets())
			return places
		}
		got()
		step := func(what string, want Selection, pictures func(), places ...int) {
			t.Helper()
			if err := s.Select(want); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			pictures()
			if g := got(); !slices.Equal(g, places) {
				t.Errorf("%s: got %v, want %v", what, g, places)
			}
		}
		two := func() { picture(0, false, false); picture(1, false, false) }
		step("all", Selection{}, two, 0, 110, 1, 111)
		step("lowest spatial", Selection{Spatial: LayerLimit{1, true}}, two, 100, -1, 101, -1)
		step("lowest of both", Selection{Spatial: LayerLimit{1, true}, Temporal: LayerLimit{1, false}}, two, 100, -1, -1, -1)
		step("all again, no place for it yet", Selection{}, two, 100, -1, -1, -1)
		step("more temporal layers", Selection{}, func() { picture(1, false, true) }, 101, -1)
		step("a keyframe", Selection{}, func() { picture(0, true, false) }, 0, 110)
		step("a most above what there is", Selection{Spatial: LayerLimit{3, false}, Temporal: LayerLimit{2, true}}, two, 0, 110, 1, 111)
		for _, want := range []Selection{{Spatial: LayerLimit{3, true}}, {Temporal: LayerLimit{3, true}}} {
			wantErr(t, "select", s.Select(want), ErrNoLayer)
		}
	})
}

// TestRestrictionDoesNotAllocate: what is left out for viewers with few layers
// costs the same for one of them as for many.
func TestRestrictionDoesNotAllocate(t *testing.T) {
	cost := func(viewers int) float64 {
		track, claim := unread(t)
		defer claim.Close()
		track.codec = codecVP9
		for range viewers {
			out := new(discard)
			track.restrict(track.attach(out, egress.Format{}, nil, false), limits{spatial: 1})
		}
		now, seq := time.Now(), uint16(0)
		lower, upper := datagram(0, 0, vp9Packet(0, 0, true, false)), datagram(0, 0, vp9Packet(1, 0, false, false))
		picture := func() {
			for _, b := range [][]byte{lower, upper} {
				seq++
				binary.BigEndian.PutUint16(b[2:], seq)
				track.receive(b, now)
			}
		}
		picture()
		lower = datagram(0, 0, vp9Packet(0, 0, false, false))
		return testing.AllocsPerRun(1000, picture)
	}
	if one, many := cost(1), cost(100); many > one {
		t.Errorf("%v allocations per picture with 100 viewers, want %v as with one", many, one)
	}
}

func TestPlaceOf(t *testing.T) {
	for _, c := range []struct {
		name string
		c    codec
		in   []byte
		want place
	}{
		{"VP8 without", codecVP8, []byte{0x10, 0}, place{}},
		{"VP8 with TID 2 and Y", codecVP8, []byte{0x90, 0x20, 0xa0, 0}, place{temporal: 2, up: true}},
		{"VP8 cut off", codecVP8, []byte{0x90, 0x20}, place{}},
		{"VP9", codecVP9, []byte{0x6c, 0x52, 0, 0x82}, place{spatial: 1, temporal: 2, up: true, end: true}},
		{"VP9 cut off", codecVP9, []byte{0x6c}, place{}},
		{"H264", codecH264, []byte{0x65, 0x52}, place{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := placeOf(c.c, c.in); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
