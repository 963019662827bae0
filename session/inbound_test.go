package session

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// recorder is the publisher of an inbound.
type recorder struct {
	tracks []*IncomingTrack
	floods int
	over   bool
}

func (r *recorder) track(t *IncomingTrack) bool {
	if !r.over {
		r.tracks = append(r.tracks, t)
	}
	return !r.over
}

func (r *recorder) flood()                       { r.floods++ }
func (r *recorder) feedback([]rtcp.Packet) error { return nil }

// videoInbound knows VP8 as 96 with retransmissions as 97.
func videoInbound(layers ...inboundLayer) (*inbound, *recorder) {
	var s inboundSection
	for _, l := range layers {
		s.layers = append(s.layers, &l)
	}
	s.kind = "video"
	s.codec = Codec{
		PayloadType: 96, RTXPayloadType: 97,
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000},
	}
	s.extensions = make(map[uint8]egress.ExtensionKind)
	r := &recorder{}
	in := newInbound(r, []*inboundSection{&s})
	in.agree([][]extension{{
		{id: 3, uri: uriTransportCC, kind: egress.ExtensionTransportCC},
		{id: 4, uri: uriRID, kind: extensionRID},
		{id: 5, uri: uriRepairedRID, kind: extensionRepairedRID},
	}}, true)
	return in, r
}

func packetOf(tb testing.TB, h rtp.Header, payload string) []byte {
	tb.Helper()
	h.Version = 2
	b, err := (&rtp.Packet{Header: h, Payload: []byte(payload)}).Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// next returns the packet that waits in a track, "" when there is none.
func next(tb testing.TB, track *IncomingTrack) (rtp.Packet, string) {
	tb.Helper()
	if track.packets.Count() == 0 {
		return rtp.Packet{}, ""
	}
	b := make([]byte, maxPacket)
	n, err := track.Read(b)
	if err != nil {
		tb.Fatal(err)
	}
	var p rtp.Packet
	if err := p.Unmarshal(b[:n]); err != nil {
		tb.Fatal(err)
	}
	return p, string(p.Payload)
}

func TestInboundRepair(t *testing.T) {
	padded := func(b []byte, n int) []byte {
		b[0] |= 0x20
		return append(append(b, bytes.Repeat([]byte{0}, n-1)...), byte(n))
	}
	extended := rtp.Header{PayloadType: 97, SequenceNumber: 9, SSRC: 2, Timestamp: 5, Marker: true}
	if err := extended.SetExtension(3, []byte{0, 1}); err != nil {
		t.Fatal(err)
	}
	plain := rtp.Header{PayloadType: 97, SequenceNumber: 9, SSRC: 2, Timestamp: 5}
	for _, c := range []struct {
		name   string
		layer  inboundLayer
		packet []byte
		want   string
	}{
		{"announced", inboundLayer{ssrc: 1, rtxSSRC: 2}, packetOf(t, plain, "\x12\x34again"), "again"},
		{"not announced", inboundLayer{}, packetOf(t, plain, "\x12\x34again"), "again"},
		{"with an extension", inboundLayer{}, packetOf(t, extended, "\x12\x34again"), "again"},
		{"padded", inboundLayer{}, padded(packetOf(t, plain, "\x12\x34again"), 7), "again"},
		{"another's", inboundLayer{ssrc: 1, rtxSSRC: 3}, packetOf(t, plain, "\x12\x34again"), ""},
		{"without a number", inboundLayer{}, packetOf(t, plain, "\x12"), ""},
		{"empty", inboundLayer{}, packetOf(t, plain, ""), ""},
		{"padding alone", inboundLayer{}, padded(packetOf(t, plain, ""), 100), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, r := videoInbound(c.layer)
			in.packet(packetOf(t, rtp.Header{PayloadType: 96, SequenceNumber: 1, SSRC: 1}, "first"), time.Now())
			if _, got := next(t, r.tracks[0]); got != "first" {
				t.Fatalf("got %q", got)
			}
			in.packet(c.packet, time.Now())
			p, got := next(t, r.tracks[0])
			if got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			if got != "" && (p.SequenceNumber != 0x1234 || p.PayloadType != 96 || p.SSRC != 1 || p.Timestamp != 5 || p.Padding) {
				t.Errorf("got %v", p.Header)
			}
		})
	}
}

func TestInboundDrops(t *testing.T) {
	in, r := videoInbound(inboundLayer{ssrc: 1})
	for _, b := range [][]byte{
		nil,
		{0x80},
		packetOf(t, rtp.Header{PayloadType: 96, SSRC: 5}, "another SSRC"),
		packetOf(t, rtp.Header{PayloadType: 100, SSRC: 1}, "another payload type"),
		packetOf(t, rtp.Header{PayloadType: 97, SSRC: 2}, "\x00\x01repair before anything"),
		packetOf(t, rtp.Header{PayloadType: 96, SSRC: 0}, "a probe"),
		packetOf(t, rtp.Header{PayloadType: 96, SSRC: 1}, string(make([]byte, maxPacket))),
	} {
		in.packet(b, time.Now())
	}
	if len(r.tracks) != 0 {
		t.Errorf("%d tracks, want none", len(r.tracks))
	}
}

// A publisher that announced no SSRC may change it, but not for ever.
func TestInboundChangeOfSSRC(t *testing.T) {
	in, r := videoInbound(inboundLayer{})
	for ssrc := range uint32(100) {
		in.packet(packetOf(t, rtp.Header{PayloadType: 96, SSRC: ssrc + 1}, "x"), time.Now())
	}
	if len(r.tracks) != maxRestarts {
		t.Fatalf("%d tracks, want %d", len(r.tracks), maxRestarts)
	}
	for i, track := range r.tracks[:maxRestarts-1] {
		_, _ = next(t, track)
		if _, err := track.Read(make([]byte, maxPacket)); !errors.Is(err, io.EOF) {
			t.Errorf("track %d: %v, want its end", i, err)
		}
	}
	in.close()
	_, _ = next(t, r.tracks[maxRestarts-1])
	if _, err := r.tracks[maxRestarts-1].Read(make([]byte, maxPacket)); !errors.Is(err, io.EOF) {
		t.Errorf("after close: %v, want the track's end", err)
	}
}

// An SSRC that one section has is no stream of another: two tracks of one SSRC
// could not both be ended.
func TestInboundOneSSRCInTwoSections(t *testing.T) {
	in, r := videoInbound(inboundLayer{})
	sound := &inboundSection{
		kind: "audio", layers: []*inboundLayer{{}},
		codec: Codec{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000}},
	}
	in.formats[111] = format{section: sound}
	in.packet(packetOf(t, rtp.Header{PayloadType: 96, SSRC: 1}, "picture"), time.Now())
	in.packet(packetOf(t, rtp.Header{PayloadType: 111, SSRC: 1}, "sound"), time.Now())
	if len(r.tracks) != 1 || in.astray().IsZero() {
		t.Errorf("%d tracks, stray since %v: want one, and the other's packet astray", len(r.tracks), in.astray())
	}
	in.packet(packetOf(t, rtp.Header{PayloadType: 111, SSRC: 2}, "sound"), time.Now())
	if len(r.tracks) != 2 {
		t.Fatalf("%d tracks, want two with SSRCs of their own", len(r.tracks))
	}
	in.close()
	for _, track := range r.tracks {
		_, _ = next(t, track)
		if _, err := track.Read(make([]byte, maxPacket)); !errors.Is(err, io.EOF) {
			t.Errorf("the %s after close: %v, want its end", track.Kind, err)
		}
	}
}

func TestInboundAfterTheEnd(t *testing.T) {
	in, r := videoInbound(inboundLayer{})
	r.over = true
	in.packet(packetOf(t, rtp.Header{PayloadType: 96, SSRC: 1}, "x"), time.Now())
	if in.report(1, time.Now()) != nil {
		t.Error("a track that was not wanted is reported")
	}
}

func TestInboundFlood(t *testing.T) {
	in, r := videoInbound(inboundLayer{})
	first := in.buffer(packetio.RTPBufferPacket, 0)
	for ssrc := range uint32(maxSSRCs) {
		if r.floods != 0 {
			t.Fatalf("a flood after %d", ssrc)
		}
		in.buffer(packetio.RTPBufferPacket, ssrc)
		if b := in.buffer(packetio.RTPBufferPacket, 0); b != first {
			t.Fatal("a second sink for one SSRC")
		}
	}
	in.buffer(packetio.RTCPBufferPacket, 1)
	if r.floods != 1 || len(in.sinks) != maxSSRCs {
		t.Errorf("%d floods, %d sinks", r.floods, len(in.sinks))
	}
}

func TestInboundControl(t *testing.T) {
	in, r := videoInbound(inboundLayer{})
	now := time.Now()
	in.packet(packetOf(t, rtp.Header{PayloadType: 96, SequenceNumber: 7, SSRC: 1}, "x"), now)
	var ntp uint64
	r.tracks[0].OnSenderReport = func(n uint64, _ uint32, _ time.Time) { ntp = n }
	for _, ssrc := range []uint32{1, 2} {
		b, err := (&rtcp.SenderReport{SSRC: ssrc, NTPTime: 0x1122334455667788 + uint64(ssrc), RTPTime: 3}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		in.control(b, now)
	}
	in.control([]byte{1, 2, 3}, now)
	if ntp != 0x1122334455667789 {
		t.Errorf("sender report %x", ntp)
	}
	packets := in.report(42, now.Add(time.Second))
	if len(packets) != 1 {
		t.Fatalf("reports %v", packets)
	}
	got, ok := packets[0].(*rtcp.ReceiverReport)
	if !ok || got.SSRC != 42 || len(got.Reports) != 1 || got.Reports[0].LastSenderReport != 0x33445566 ||
		got.Reports[0].Delay != 65536 || got.Reports[0].LastSequenceNumber != 7 {
		t.Errorf("got %v", packets[0])
	}
}

func TestReception(t *testing.T) {
	r := reception{ssrc: 1, clockRate: 90000}
	now := time.Now()
	if _, ok := r.report(now); ok {
		t.Error("a report of nothing")
	}
	packet := func(seq uint16) {
		now = now.Add(10 * time.Millisecond)
		r.packet(seq, uint32(seq)*900, now)
	}
	check := func(name string, fraction uint8, lost, highest uint32) {
		t.Helper()
		b, ok := r.report(now)
		if !ok || b.FractionLost != fraction || b.TotalLost != lost || b.LastSequenceNumber != highest {
			t.Errorf("%s: got %+v, want %d/256, %d, %d", name, b, fraction, lost, highest)
		}
	}
	for seq := uint16(65530); seq != 6; seq++ {
		if seq != 65533 && seq != 2 && seq != 3 {
			packet(seq)
		}
	}
	check("loss over the wrap", 64, 3, 65536+5)
	packet(2)
	check("late", 0, 2, 65536+5)
	packet(30000)
	check("begun anew", 0, 0, 30000)
	packet(30000)
	check("duplicate", 0, 0, 30000)
}

func TestReceptionJitter(t *testing.T) {
	r := reception{ssrc: 1, clockRate: 90000}
	now := time.Unix(1000, 0)
	for i := range 400 {
		// Every second packet 10 ms late: the mean deviation is 10 ms.
		r.packet(uint16(i), uint32(i)*1800, now.Add(time.Duration(i)*20*time.Millisecond+time.Duration(i%2)*10*time.Millisecond))
	}
	if b, _ := r.report(now); b.Jitter < 890 || b.Jitter > 910 {
		t.Errorf("jitter %d, want 900", b.Jitter)
	}
}

// One copy into the buffer, nothing else.
func TestInboundAllocations(t *testing.T) {
	in, r := videoInbound(inboundLayer{})
	h := rtp.Header{PayloadType: 96, SSRC: 1, SequenceNumber: 1}
	b := packetOf(t, h, string(make([]byte, 1200)))
	out := make([]byte, maxPacket)
	now := time.Now()
	run := func() {
		in.packet(b, now)
		if _, err := r.tracks[0].Read(out); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}

// BenchmarkInbound is the way of a packet from pion's SRTP session to the track
// that reads it, both on one goroutine.
func BenchmarkInbound(b *testing.B) {
	in, r := videoInbound(inboundLayer{})
	packet := packetOf(b, rtp.Header{PayloadType: 96, SSRC: 1, SequenceNumber: 1}, string(make([]byte, 1200)))
	out := make([]byte, maxPacket)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		in.packet(packet, now)
		if _, err := r.tracks[0].Read(out); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzInbound(f *testing.F) {
	f.Add(packetOf(f, rtp.Header{PayloadType: 96, SSRC: 1, SequenceNumber: 3}, "media"), false, false)
	f.Add(packetOf(f, rtp.Header{PayloadType: 97, SSRC: 2, SequenceNumber: 3}, "\x00\x03again"), false, false)
	sr, err := (&rtcp.SenderReport{SSRC: 1, NTPTime: 2}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sr, true, false)
	f.Add(layerPacket(f, rtp.Header{PayloadType: 97, SSRC: 2, SequenceNumber: 3}, 5, "h", "\x00\x02again"), false, true)
	f.Add(layerPacket(f, rtp.Header{PayloadType: 96, SSRC: 3, SequenceNumber: 3}, 4, "l", "media"), false, true)
	f.Fuzz(func(t *testing.T, b []byte, control, layers bool) {
		in, r := videoInbound(inboundLayer{})
		if layers {
			in, r = videoInbound(inboundLayer{rid: "h"}, inboundLayer{rid: "l"})
		}
		in.packet(layerPacket(t, rtp.Header{PayloadType: 96, SSRC: 1, SequenceNumber: 2}, 4, "h", "first"), time.Now())
		if control {
			in.control(b, time.Now())
		} else {
			in.packet(b, time.Now())
		}
		in.arrivals()
		in.report(1, time.Now())
		for _, track := range r.tracks {
			for track.packets.Count() > 0 {
				if p, _ := next(t, track); p.PayloadType != 96 || p.SSRC != track.SSRC {
					t.Errorf("got %v in the track %d", p.Header, track.SSRC)
				}
			}
		}
	})
}
