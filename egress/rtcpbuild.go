package egress

import "encoding/binary"

// The functions of this file append RTCP packets (RFC 3550 section 6) to a
// compound.

const (
	sdesCNAME = 1
	// maxCNAME is what the length of an SDES item can tell.
	maxCNAME = 255
	// maxCompound bounds the compounds that are sent: sender reports of two
	// streams, and who they are.
	maxCompound = maxStreams*(reportSender+10+maxCNAME) + commonHeader + maxStreams*8
)

// appendCommonHeader begins a packet whose length patchLength sets.
func appendCommonHeader(b []byte, count int, kind uint8) []byte {
	return append(b, 0x80|uint8(count), kind, 0, 0)
}

// patchLength sets the length of the packet that begins at start and ends b.
func patchLength(b []byte, start int) []byte {
	binary.BigEndian.PutUint16(b[start+2:], uint16((len(b)-start)/4-1))
	return b
}

// senderReport is what a stream says of itself (RFC 3550 section 6.4.1).
type senderReport struct {
	ssrc            uint32
	ntp             uint64
	timestamp       uint32 // RTP, of the same moment
	packets, octets uint32 // sent so far
}

// appendSenderReport appends a sender report without report blocks: nothing is
// received from a viewer.
func appendSenderReport(b []byte, r senderReport) []byte {
	start := len(b)
	b = appendCommonHeader(b, 0, typeSenderReport)
	b = binary.BigEndian.AppendUint32(b, r.ssrc)
	b = binary.BigEndian.AppendUint64(b, r.ntp)
	b = binary.BigEndian.AppendUint32(b, r.timestamp)
	b = binary.BigEndian.AppendUint32(b, r.packets)
	b = binary.BigEndian.AppendUint32(b, r.octets)
	return patchLength(b, start)
}

// appendEmptyReport appends a receiver report of nothing, for compounds that must
// begin with a report and have none (RFC 3550 section 6.1).
func appendEmptyReport(b []byte, ssrc uint32) []byte {
	start := len(b)
	b = appendCommonHeader(b, 0, typeReceiverReport)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	return patchLength(b, start)
}

// appendDescription appends one source description for up to 31 SSRCs of one
// CNAME (RFC 3550 section 6.5), which is cut to what fits.
func appendDescription(b []byte, cname string, ssrcs []uint32) []byte {
	start := len(b)
	cname = cname[:min(len(cname), maxCNAME)]
	b = appendCommonHeader(b, len(ssrcs), typeDescription)
	for _, ssrc := range ssrcs {
		b = binary.BigEndian.AppendUint32(b, ssrc)
		b = append(b, sdesCNAME, uint8(len(cname)))
		b = append(b, cname...)
		for { // one zero at least ends the items, and fills the word
			b = append(b, 0)
			if (len(b)-start)%4 == 0 {
				break
			}
		}
	}
	return patchLength(b, start)
}

// appendGoodbye appends a BYE of up to 31 SSRCs (RFC 3550 section 6.6).
func appendGoodbye(b []byte, ssrcs []uint32) []byte {
	start := len(b)
	b = appendCommonHeader(b, len(ssrcs), typeGoodbye)
	for _, ssrc := range ssrcs {
		b = binary.BigEndian.AppendUint32(b, ssrc)
	}
	return patchLength(b, start)
}
