package sfu

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// extended makes an RTP packet with header extensions in the one-byte form.
func extended(seq uint16, timestamp uint32, elements, payload []byte) []byte {
	b := datagram(seq, timestamp, nil)
	b[0] |= 0x10
	for len(elements)%4 != 0 {
		elements = append(elements, 0)
	}
	b = binary.BigEndian.AppendUint16(b, oneByteProfile)
	b = binary.BigEndian.AppendUint16(b, uint16(len(elements)/4))
	return append(append(b, elements...), payload...)
}

// feed is a track of a claim on air, with as many viewers, and what it is sent
// in turn.
type feed struct {
	track   *Track
	packets [][]byte
	next    int
	seq     uint16
	now     time.Time
}

func newFeed(t testing.TB, mimeType string, viewers int, packets [][]byte) *feed {
	t.Helper()
	_, claim := unread(t)
	t.Cleanup(claim.Close)
	cfg := TrackConfig{
		Kind:  "video",
		Codec: webrtc.RTPCodecCapability{MimeType: mimeType, ClockRate: 90000, RTCPFeedback: feedbackAll},
		Extensions: map[uint8]egress.ExtensionKind{
			3: egress.ExtensionAudioLevel, 5: egress.ExtensionOrientation, 7: egress.ExtensionTransportCC,
		},
	}
	if codecOf(mimeType) == codecOther {
		cfg.Kind = "audio"
	}
	track, err := newTrack(claim, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range viewers {
		track.attach(&discard{}, egress.Format{}, nil, false)
	}
	return &feed{track: track, packets: packets, now: time.Now()}
}

// step sends the next packet.
func (f *feed) step() {
	b := f.packets[f.next]
	f.next = (f.next + 1) % len(f.packets)
	f.seq++
	f.now = f.now.Add(time.Millisecond)
	binary.BigEndian.PutUint16(b[2:], f.seq)
	binary.BigEndian.PutUint32(b[4:], uint32(f.seq)*90)
	f.track.receive(b, f.now)
}

// garbage is how many allocations a packet costs on average.
func (f *feed) garbage() float64 {
	const rounds = 8000
	for range 4000 { // the cache has reached its size by then
		f.step()
	}
	return testing.AllocsPerRun(1, func() {
		for range rounds {
			f.step()
		}
	}) / rounds
}

// sample is a packet of each kind that a codec has.
func sample(t testing.TB, mimeType string) (packets [][]byte) {
	t.Helper()
	long := func(head ...byte) []byte { return append(head, make([]byte, 1100)...) }
	elements := []byte{0x71, 1, 2, 0x50, 3} // transport-wide number, orientation
	switch codecOf(mimeType) {
	case codecH264:
		for _, nal := range nalsOf(t, "high.h264") {
			for _, payload := range payloads(nal) {
				packets = append(packets, datagram(0, 0, payload))
			}
		}
	case codecH265:
		packets = append(packets, datagram(0, 0, long(19<<1, 1)))
		for range 99 {
			packets = append(packets, datagram(0, 0, long(1<<1, 1)))
		}
	case codecVP8:
		packets = append(packets, extended(0, 0, elements, long(0x90, 0xe0, 0x81, 2, 3, 0, 0)))
		for range 99 {
			packets = append(packets, extended(0, 0, elements, long(0x90, 0xe0, 0x81, 2, 3, 0, 1)))
		}
	case codecVP9:
		packets = append(packets, datagram(0, 0, vp9Packet(0, 0, true, false)))
		for range 49 {
			packets = append(packets,
				datagram(0, 0, append(vp9Packet(0, 0, false, false), make([]byte, 900)...)),
				datagram(0, 0, append(vp9Packet(1, 1, false, false), make([]byte, 900)...)))
		}
	case codecAV1:
		packets = append(packets, datagram(0, 0, long(0x18, 0x0a)))
		for range 99 {
			packets = append(packets, datagram(0, 0, long(0x10, 0x30)))
		}
	default:
		packets = [][]byte{extended(0, 0, []byte{0x30, 0x7f}, make([]byte, 120))}
	}
	return packets
}

var sampled = []string{"video/H264", "video/H265", "video/VP8", "video/VP9", "video/AV1", "audio/opus"}

// TestPacketsDoNotAllocate: memory is taken for many packets at a time, and for
// no viewer.
func TestPacketsDoNotAllocate(t *testing.T) {
	for _, mimeType := range sampled {
		for _, viewers := range []int{0, 100} {
			f := newFeed(t, mimeType, viewers, sample(t, mimeType))
			got := f.garbage()
			t.Logf("%s, %d viewers: %.3f", mimeType, viewers, got)
			if got > 0.15 {
				t.Errorf("%s, %d viewers: %.2f allocations for each packet, want at most 0.15", mimeType, viewers, got)
			}
		}
	}
}

// TestRestrictedPacketsDoNotAllocate is the same where each viewer is given some
// layers only.
func TestRestrictedPacketsDoNotAllocate(t *testing.T) {
	for _, mimeType := range []string{"video/VP8", "video/VP9"} {
		f := newFeed(t, mimeType, 0, sample(t, mimeType))
		for range 100 {
			f.track.restrict(f.track.attach(&discard{}, egress.Format{}, nil, false), limits{spatial: 1, temporal: 1})
		}
		if got := f.garbage(); got > 0.2 {
			t.Errorf("%s: %.2f allocations for each packet, want at most 0.2", mimeType, got)
		}
	}
}

// TestStepsDoNotAllocate holds each step of a packet's way by itself.
func TestStepsDoNotAllocate(t *testing.T) {
	b := sample(t, "video/VP8")[1]
	h, ok := parseRTP(b)
	if !ok {
		t.Fatal("the packet cannot be read")
	}
	f := newFeed(t, "video/VP8", 100, nil)
	track, now, p := f.track, time.Now(), &egress.Packet{Seq: 1 << 16, Payload: h.payload}
	track.cache.begin(p)
	for name, step := range map[string]func(){
		"parse":      func() { _, _ = parseRTP(b) },
		"extensions": func() { _, _, _ = nextExtension(h.profile, h.extension) },
		"number":     func() { track.sequence.unwrap(h.sequence) },
		"copy":       func() { track.copy(&h, 1<<16, now) },
		"mark":       func() { track.mark(p, p.Seq) },
		"counters":   func() { track.recv.arrived(p.Seq, len(p.Payload), false, true, now) },
		"timing":     func() { track.time.arrived(p.Timestamp, now) },
		"store":      func() { track.ring.store(p) },
		"retrieve":   func() { track.Packet(p.Seq) },
		"cache":      func() { track.cache.add(p) },
		"forward": func() {
			track.mu.Lock()
			track.forward(p)
			track.mu.Unlock()
		},
	} {
		if got := testing.AllocsPerRun(1000, step); got > 0 {
			t.Errorf("%s: %v allocations, want none", name, got)
		}
	}
}

// What is handed out of a slab overlaps nothing, and ends at its length.
func TestSlab(t *testing.T) {
	s := slab{size: 64}
	var all [][]byte
	for i, n := range []int{5, 16, 17, 0, 16, 9, 16, 100, 16} {
		b := s.bytes(n)
		if len(b) != 0 || cap(b) != n {
			t.Fatalf("got length %d and room for %d, want 0 and %d", len(b), cap(b), n)
		}
		for range n {
			b = append(b, byte(i))
		}
		all = append(all, b)
	}
	for i, b := range all {
		for _, c := range b {
			if c != byte(i) {
				t.Fatalf("piece %d was written to as piece %d", i, c)
			}
		}
	}
	seen := map[*egress.Packet]bool{}
	for range 3 * slabPackets {
		p := s.packet()
		if seen[p] {
			t.Fatal("a packet was handed out twice")
		}
		seen[p] = true
	}
	from := []egress.HeaderExtension{{Kind: 1}, {Kind: 2}, {Kind: 3}}
	first := s.elements(from)
	for range slabPackets {
		if e := s.elements(from[1:]); cap(e) != 2 || e[0].Kind != 2 || e[1].Kind != 3 {
			t.Fatalf("got %v with room for %d", e, cap(e))
		}
	}
	if first[0].Kind != 1 || first[2].Kind != 3 {
		t.Errorf("what was handed out has changed: %v", first)
	}
}
