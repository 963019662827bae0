package session

import (
	"testing"
	"time"

	"github.com/pion/rtp"
)

// layerPacket is packetOf with a header extension.
func layerPacket(tb testing.TB, h rtp.Header, id uint8, value, payload string) []byte {
	tb.Helper()
	if err := h.SetExtension(id, []byte(value)); err != nil {
		tb.Fatal(err)
	}
	return packetOf(tb, h, payload)
}

// RFC 8853 section 5.5: SSRCs are not signalled, so layers are found by the rid
// in the first packets, which may leave it out later.
func TestInboundLayers(t *testing.T) {
	in, r := videoInbound(inboundLayer{rid: "h"}, inboundLayer{rid: "l"})
	media := func(ssrc uint32, rid, payload string) {
		h := rtp.Header{PayloadType: 96, SSRC: ssrc, SequenceNumber: 1}
		if rid == "" {
			in.packet(packetOf(t, h, payload), time.Now())
		} else {
			in.packet(layerPacket(t, h, 4, rid, payload), time.Now())
		}
	}
	media(9, "", "too early")
	media(1, "l", "first")
	media(2, "h", "second")
	media(1, "", "third")
	media(3, "x", "unknown")
	media(4, "", "unnamed")
	if len(r.tracks) != 2 {
		t.Fatalf("got %d tracks, want 2", len(r.tracks))
	}
	low, high := r.tracks[0], r.tracks[1]
	if low.RID != "l" || low.SSRC != 1 || high.RID != "h" || high.SSRC != 2 {
		t.Fatalf("got %q %d and %q %d", low.RID, low.SSRC, high.RID, high.SSRC)
	}
	for _, want := range []string{"first", "third", ""} {
		if _, got := next(t, low); got != want {
			t.Errorf("low: got %q, want %q", got, want)
		}
	}
	if _, got := next(t, high); got != "second" {
		t.Errorf("high: got %q", got)
	}
	// A layer begins anew with another SSRC; the other one goes on.
	media(5, "l", "anew")
	if len(r.tracks) != 3 || r.tracks[2].RID != "l" {
		t.Fatalf("got %d tracks, want a third one of l", len(r.tracks))
	}
	if _, err := low.Read(make([]byte, maxPacket)); err == nil {
		t.Error("the old stream goes on")
	}
	media(2, "", "still there")
	if _, got := next(t, high); got != "still there" {
		t.Errorf("high: got %q", got)
	}
}

func TestInboundLayerRestartsAreBounded(t *testing.T) {
	in, r := videoInbound(inboundLayer{rid: "h"}, inboundLayer{rid: "l"})
	for ssrc := range uint32(50) {
		in.packet(layerPacket(t, rtp.Header{PayloadType: 96, SSRC: ssrc + 1}, 4, "h", "x"), time.Now())
	}
	if len(r.tracks) != maxRestarts {
		t.Errorf("got %d tracks, want %d", len(r.tracks), maxRestarts)
	}
}

// Retransmissions find their layer by the rid that they repair, later by their
// SSRC, and without the extension by the number that they carry.
func TestInboundLayerRepair(t *testing.T) {
	in, r := videoInbound(inboundLayer{rid: "h"}, inboundLayer{rid: "l"})
	in.packet(layerPacket(t, rtp.Header{PayloadType: 96, SSRC: 1, SequenceNumber: 1000}, 4, "h", "h"), time.Now())
	in.packet(layerPacket(t, rtp.Header{PayloadType: 96, SSRC: 2, SequenceNumber: 40000}, 4, "l", "l"), time.Now())
	h, l := r.tracks[0], r.tracks[1]
	_, _ = next(t, h)
	_, _ = next(t, l)
	repair := func(ssrc uint32, rid string, number uint16) {
		payload := string([]byte{byte(number >> 8), byte(number)}) + "again"
		p := rtp.Header{PayloadType: 97, SSRC: ssrc, SequenceNumber: 1}
		if rid != "" {
			in.packet(layerPacket(t, p, 5, rid, payload), time.Now())
		} else {
			in.packet(packetOf(t, p, payload), time.Now())
		}
	}
	check := func(what string, track *IncomingTrack, number uint16) {
		t.Helper()
		p, got := next(t, track)
		if got != "again" || p.SequenceNumber != number || p.SSRC != track.SSRC || p.PayloadType != 96 {
			t.Errorf("%s: got %q with %+v", what, got, p.Header)
		}
	}
	repair(11, "h", 20000) // whatever the number
	check("by rid", h, 20000)
	repair(11, "", 999)
	check("by SSRC", h, 999)
	repair(12, "", 12345)
	if _, got := next(t, l); got != "" {
		t.Errorf("a number of nobody: got %q", got)
	}
	repair(12, "", 39990)
	check("by number", l, 39990)
	repair(12, "", 12345)
	check("by the SSRC so learned", l, 12345)
	repair(13, "x", 5)
	if _, got := next(t, h); got != "" {
		t.Errorf("a rid of nobody: got %q", got)
	}
}

// Two layers may use the same numbers: then nobody can tell.
func TestInboundLayerRepairAmbiguous(t *testing.T) {
	in, r := videoInbound(inboundLayer{rid: "h"}, inboundLayer{rid: "l"})
	for i, rid := range []string{"h", "l"} {
		in.packet(layerPacket(t, rtp.Header{PayloadType: 96, SSRC: uint32(i + 1), SequenceNumber: 7}, 4, rid, rid), time.Now())
		_, _ = next(t, r.tracks[i])
	}
	in.packet(packetOf(t, rtp.Header{PayloadType: 97, SSRC: 9}, "\x00\x06again"), time.Now())
	for _, track := range r.tracks {
		if _, got := next(t, track); got != "" {
			t.Errorf("%s: got %q", track.RID, got)
		}
	}
}

func TestInboundLayerAllocations(t *testing.T) {
	in, r := videoInbound(inboundLayer{rid: "h"}, inboundLayer{rid: "l"})
	b := layerPacket(t, rtp.Header{PayloadType: 96, SSRC: 1, SequenceNumber: 1}, 4, "l", string(make([]byte, 1200)))
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
