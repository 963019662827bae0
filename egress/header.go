package egress

import "encoding/binary"

const (
	rtpHeader     = 12
	maxExtension  = 16 // longest value of a one-byte header extension
	maxHeader     = rtpHeader + 4 + int(extensionKinds)*(1+maxExtension) + 3
	oneByteHeader = 0xBEDE // RFC 8285 section 4.2
)

// extensionKinds is one more than the highest ExtensionKind.
const extensionKinds = ExtensionDependencyDescriptor + 1

// extensionIDs are the negotiated ids of the kinds, 0 where there is none.
type extensionIDs [extensionKinds]uint8

func newExtensionIDs(negotiated map[ExtensionKind]uint8) (ids extensionIDs) {
	for kind, id := range negotiated {
		if kind < extensionKinds && id >= 1 && id <= 14 { // RFC 8285 section 4.2
			ids[kind] = id
		}
	}
	return ids
}

// header is what a stream writes before the payload of one packet.
type header struct {
	payloadType uint8
	marker      bool
	seq         uint16
	timestamp   uint32
	ssrc        uint32
	mid         string
	ids         *extensionIDs
	forward     []HeaderExtension
	// transportSeq is written when hasTransport is set.
	transportSeq uint16
	hasTransport bool
}

// put writes the header to b, which has room for maxHeader bytes, and returns
// its length. Extensions that were not negotiated or do not fit the one-byte
// form are left out; of a kind that comes twice the first is taken.
func (h *header) put(b []byte) int {
	b[0], b[1] = 0x80, h.payloadType&0x7f
	if h.marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], h.seq)
	binary.BigEndian.PutUint32(b[4:], h.timestamp)
	binary.BigEndian.PutUint32(b[8:], h.ssrc)

	const start = rtpHeader + 4
	n := start
	if id := h.ids[ExtensionMID]; id != 0 && len(h.mid) >= 1 && len(h.mid) <= maxExtension {
		b[n] = id<<4 | uint8(len(h.mid)-1)
		n += 1 + copy(b[n+1:], h.mid)
	}
	if id := h.ids[ExtensionTransportCC]; id != 0 && h.hasTransport {
		b[n] = id<<4 | 1
		binary.BigEndian.PutUint16(b[n+1:], h.transportSeq)
		n += 3
	}
	n = h.putForwarded(b, n)
	if n == start {
		return rtpHeader
	}
	for n%4 != 0 {
		b[n] = 0
		n++
	}
	b[0] |= 0x10
	binary.BigEndian.PutUint16(b[rtpHeader:], oneByteHeader)
	binary.BigEndian.PutUint16(b[rtpHeader+2:], uint16((n-start)/4))
	return n
}

// putForwarded writes the extensions of the incoming packet from b[n] on.
func (h *header) putForwarded(b []byte, n int) int {
	var seen [extensionKinds]bool
	for _, e := range h.forward {
		switch e.Kind {
		case ExtensionAudioLevel, ExtensionOrientation, ExtensionAbsCaptureTime,
			ExtensionPlayoutDelay, ExtensionDependencyDescriptor:
		default: // MID and transport-cc are the gateway's own
			continue
		}
		id := h.ids[e.Kind]
		if id == 0 || seen[e.Kind] || len(e.Value) < 1 || len(e.Value) > maxExtension {
			continue
		}
		seen[e.Kind] = true
		b[n] = id<<4 | uint8(len(e.Value)-1)
		n += 1 + copy(b[n+1:], e.Value)
	}
	return n
}
