package egress

import "time"

// Source is the incoming track that feeds streams, as they see it. Its methods
// are called from any goroutine and must not block, nor call back into egress.
type Source interface {
	// Packet returns a packet of the recent past for retransmission, nil when
	// it is not (or no longer) there.
	Packet(seq uint64) *Packet
	// Clock tells which RTP timestamp belongs to the moment now, on the
	// gateway's clock, for sender reports. Tracks of one publication share
	// their mapping, so that a viewer can keep lips and sound together. It is
	// false as long as nothing was received.
	Clock(now time.Time) (timestamp uint32, ok bool)
	// RequestKeyframe asks the publisher for a keyframe; requests are merged
	// and throttled by the source. Audio sources ignore it.
	RequestKeyframe()
}

// Format is how a stream labels the packets of its present source: what the
// viewer's offer calls the source's codec.
type Format struct {
	PayloadType    uint8
	RTXPayloadType uint8 // 0: not negotiated; then NACKs are answered by identical packets
	ClockRate      uint32
	NACK           bool // generic NACK was negotiated for the payload type
}

// Stream is one media section of a viewer: one SSRC, unbroken sequence numbers
// and timestamps over any number of sources.
type Stream struct{}

// Bind makes src the source of the stream. Backlog is what the viewer gets
// first, oldest packet first, beginning with a keyframe; it is sent paced, and
// packets written meanwhile wait behind it. The caller makes sure that no
// packet is written between taking the backlog and Bind. The first packet
// follows whatever the stream sent before without a gap in sequence numbers
// and with a timestamp that has advanced by the time gone by.
func (s *Stream) Bind(src Source, f Format, backlog []*Packet) {}

// Write forwards one packet of the bound source; called in arrival order by
// the one goroutine that reads the track. After Bind of a video source without
// backlog, packets before the first keyframe are not sent. p.Payload empty
// (padding only): the sequence number is skipped without a gap.
func (s *Stream) Write(p *Packet) {}

// Unbind stops sending from src; it does nothing when another source is bound.
func (s *Stream) Unbind(src Source) {}
