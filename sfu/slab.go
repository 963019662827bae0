package sfu

import "github.com/sluicemedia/sluice/egress"

const (
	// What is allocated at a time: payload of some thirty packets of video and
	// some dozen of audio. All that is kept of a track is kept in the order in
	// which it came, so that hardly more of it lives on than is in use.
	videoSlab = 32 << 10
	audioSlab = 4 << 10
	// slabPackets is the same for what is known of packets.
	slabPackets = 32
)

// slab is where a track's packets lie: one allocation does for many, and the
// garbage collector has few objects to look at. Nothing of it is used twice.
// It belongs to the reading goroutine.
type slab struct {
	size       int
	payload    []byte
	packets    []egress.Packet
	extensions []egress.HeaderExtension
}

// bytes returns an empty slice with room for exactly n bytes.
func (s *slab) bytes(n int) []byte {
	if n > s.size/4 {
		return make([]byte, 0, n) // rare, and would waste too much of a piece
	}
	if n > len(s.payload) {
		s.payload = make([]byte, s.size)
	}
	b := s.payload[:0:n]
	s.payload = s.payload[n:]
	return b
}

func (s *slab) packet() *egress.Packet {
	if len(s.packets) == 0 {
		s.packets = make([]egress.Packet, slabPackets)
	}
	p := &s.packets[0]
	s.packets = s.packets[1:]
	return p
}

// elements returns a copy of header extensions.
func (s *slab) elements(from []egress.HeaderExtension) []egress.HeaderExtension {
	n := len(from)
	if n > len(s.extensions) {
		s.extensions = make([]egress.HeaderExtension, slabPackets)
	}
	e := s.extensions[:n:n]
	s.extensions = s.extensions[n:]
	copy(e, from)
	return e
}
