package egress

import "time"

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
}
