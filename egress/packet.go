package egress

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
	"time"
)

// ExtensionKind names an RTP header extension (RFC 8285) that the gateway knows.
type ExtensionKind uint8

// The header extensions that are forwarded or written by the gateway.
const (
	ExtensionMID                  ExtensionKind = iota + 1 // urn:ietf:params:rtp-hdrext:sdes:mid
	ExtensionTransportCC                                   // transport-wide sequence number
	ExtensionAudioLevel                                    // urn:ietf:params:rtp-hdrext:ssrc-audio-level
	ExtensionOrientation                                   // urn:3gpp:video-orientation
	ExtensionAbsCaptureTime                                // abs-capture-time
	ExtensionPlayoutDelay                                  // playout-delay
	ExtensionDependencyDescriptor                          // AV1 dependency descriptor
)

// HeaderExtension is one header extension element of an incoming packet.
type HeaderExtension struct {
	Kind  ExtensionKind
	Value []byte
}

// Packet is one RTP packet as its publisher sent it. It is shared by all
// viewers and must not be changed once it was given to a Stream.
type Packet struct {
	// Seq numbers the packets of a source consecutively: a gap is a packet that
	// is missing. The low 16 bits are the number on the wire unless the source
	// inserted packets of its own, which moves those that follow; the rest
	// counts the wraps. It is never below 1<<16, so that neighbours can be
	// computed without underflow.
	Seq       uint64
	Timestamp uint32 // RTP timestamp as received, in units of the clock rate
	Marker    bool
	Key       bool // first packet of a keyframe (video only)
	// PictureID and TL0 are where in the payload the picture id and TL0PICIDX of
	// VP8 or VP9 stand, 0: they are not there.
	PictureID, TL0 uint8
	Payload        []byte
	// Extensions holds those to be forwarded, in the order received; most
	// packets have none.
	Extensions []HeaderExtension
	Arrived    time.Time

	// sum is the checksum once somebody needed it, 0 before. That it is of a type
	// that must not be copied keeps it from being taken over by another packet.
	sum atomic.Uint32
}

// CopyTo makes q what p is. Q must be new: nobody has seen it yet.
func (p *Packet) CopyTo(q *Packet) {
	q.Seq, q.Timestamp, q.Marker, q.Key, q.Arrived = p.Seq, p.Timestamp, p.Marker, p.Key, p.Arrived
	q.PictureID, q.TL0 = p.PictureID, p.TL0
	q.Payload, q.Extensions = p.Payload, p.Extensions
}

// checksumSeed makes checksums unpredictable to publishers.
var checksumSeed = maphash.MakeSeed()

// checksum covers all that is written of the packet.
func (p *Packet) checksum() uint32 {
	if sum := p.sum.Load(); sum != 0 {
		return sum
	}
	var fixed [5]byte
	binary.BigEndian.PutUint32(fixed[:], p.Timestamp)
	if p.Marker {
		fixed[4] = 1
	}
	sum := maphash.Bytes(checksumSeed, p.Payload) ^ maphash.Bytes(checksumSeed, fixed[:])*3
	for i, e := range p.Extensions {
		sum = sum*31 + maphash.Bytes(checksumSeed, e.Value) + uint64(e.Kind) + uint64(i)
	}
	short := max(1, uint32(sum>>32))
	p.sum.Store(short)
	return short
}
