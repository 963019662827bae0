package egress

import (
	"encoding/binary"
	"math/bits"
)

// RTCP packet types (RFC 3550 section 12.1, RFC 4585 section 6.1) and the
// formats of feedback that are known here.
const (
	typeSenderReport   = 200
	typeReceiverReport = 201
	typeDescription    = 202
	typeGoodbye        = 203
	typeTransport      = 205
	typePayload        = 206

	formatNACK        = 1  // of typeTransport, RFC 4585 section 6.2.1
	formatTransportCC = 15 // of typeTransport, draft-holmer-rmcat-transport-wide-cc-extensions-01
	formatPLI         = 1  // of typePayload, RFC 4585 section 6.3.1
	formatFIR         = 4  // of typePayload, RFC 5104 section 4.3.1
	formatApplication = 15 // of typePayload, RFC 4585 section 6.4: REMB and others
)

// Lengths in RTCP packets.
const (
	commonHeader   = 4
	feedbackHeader = 12 // common header, SSRC of the sender and of the media
	reportSender   = 28 // common header, SSRC and sender information
	reportBlock    = 24
	nackPair       = 4
	firEntry       = 8
	rembHeader     = 20
)

// malformed is why an authentic RTCP packet is not acted upon.
type malformed string

// Error implements error.
func (m malformed) Error() string { return "egress: malformed RTCP: " + string(m) }

const (
	errEmpty          = malformed("nothing in it")
	errShortHeader    = malformed("too short for a header")
	errVersion        = malformed("the version is not 2")
	errLength         = malformed("longer than the datagram")
	errPadding        = malformed("more padding than there is room for, or none")
	errReport         = malformed("report too short for its blocks")
	errNACK           = malformed("NACK without a sequence number")
	errPLI            = malformed("PLI too short")
	errFIR            = malformed("FIR of no whole entries")
	errREMB           = malformed("REMB of another length than its SSRCs, or for a media SSRC")
	errTransportShort = malformed("transport-wide feedback shorter than what it tells of")
)

// feedbackKind is what a packet of a compound is to a sender.
type feedbackKind uint8

const (
	feedbackNone feedbackKind = iota // skipped
	feedbackReports
	feedbackLost
	feedbackPicture // PLI
	feedbackIntra   // FIR
	feedbackTransport
)

// feedback is one RTCP packet of a compound, checked but not unpacked. It refers
// to the packet.
type feedback struct {
	kind      feedbackKind
	media     uint32 // SSRC, of feedbackLost and feedbackPicture
	blocks    []byte // whole report blocks, NACK pairs or FIR entries
	transport transportFeedback
}

// nextFeedback reads the first packet of a compound, or of a datagram of reduced
// size (RFC 5506), and returns what follows it. Types and formats that do not
// matter to a sender are skipped.
func nextFeedback(b []byte) (f feedback, rest []byte, err error) {
	if len(b) < commonHeader {
		return f, nil, errShortHeader
	}
	if b[0]>>6 != 2 {
		return f, nil, errVersion
	}
	n := (int(binary.BigEndian.Uint16(b[2:])) + 1) * 4
	if n > len(b) {
		return f, nil, errLength
	}
	packet, rest := b[:n], b[n:]
	if packet[0]&0x20 != 0 {
		// RFC 3550 section 6.4.1. That the count is a multiple of four is not
		// asked for: transport-wide feedback is filled up by one to three bytes.
		padding := int(packet[n-1])
		if padding == 0 || padding > n-commonHeader {
			return f, nil, errPadding
		}
		packet = packet[:n-padding]
	}
	f, err = parseFeedback(packet)
	return f, rest, err
}

// parseFeedback reads one packet without its padding.
func parseFeedback(b []byte) (f feedback, err error) {
	count := int(b[0] & 0x1f) // or format
	switch b[1] {
	case typeSenderReport:
		return parseReports(b, reportSender, count)
	case typeReceiverReport:
		return parseReports(b, commonHeader+4, count)
	case typeTransport:
		switch count {
		case formatNACK:
			if len(b) < feedbackHeader+nackPair {
				return f, errNACK
			}
			f = feedback{kind: feedbackLost, media: binary.BigEndian.Uint32(b[8:])}
			f.blocks = b[feedbackHeader : len(b)-len(b)%nackPair]
		case formatTransportCC:
			f.kind = feedbackTransport
			f.transport, err = parseTransportFeedback(b)
		}
	case typePayload:
		switch count {
		case formatPLI:
			if len(b) < feedbackHeader {
				return f, errPLI
			}
			f = feedback{kind: feedbackPicture, media: binary.BigEndian.Uint32(b[8:])}
		case formatFIR: // RFC 5104 section 4.3.1.1: the media SSRC is in the entries
			if len(b) < feedbackHeader+firEntry || (len(b)-feedbackHeader)%firEntry != 0 {
				return f, errFIR
			}
			f = feedback{kind: feedbackIntra, blocks: b[feedbackHeader:]}
		case formatApplication:
			return f, checkREMB(b)
		}
	}
	return f, err
}

// parseReports reads the report blocks that begin at an offset; extensions of a
// profile may follow them (RFC 3550 section 6.4.3).
func parseReports(b []byte, start, count int) (feedback, error) {
	end := start + count*reportBlock
	if end > len(b) {
		return feedback{}, errReport
	}
	return feedback{kind: feedbackReports, blocks: b[start:end]}, nil
}

// checkREMB refuses what calls itself a receiver's estimate
// (draft-alvestrand-rmcat-remb-03 section 2.2) and is none. Nothing acts on one:
// it would say less than transport-wide feedback does.
func checkREMB(b []byte) error {
	if len(b) < feedbackHeader+4 || string(b[feedbackHeader:feedbackHeader+4]) != "REMB" {
		return nil // of another application
	}
	if len(b) < rembHeader || len(b) != rembHeader+4*int(b[16]) || binary.BigEndian.Uint32(b[8:]) != 0 {
		return errREMB
	}
	return nil
}

// receptionReport is a report block, as far as it is used (RFC 3550 section
// 6.4.1).
type receptionReport struct {
	ssrc         uint32
	fractionLost uint8
	lost         uint32 // 24 bits, signed
	jitter       uint32 // units of the clock rate
	lastReport   uint32 // middle 32 bits of the NTP time of our last report
	delay        uint32 // since then, in 1/65536 s
}

// readReport reads the report block that b begins with.
func readReport(b []byte) receptionReport {
	b = b[:reportBlock]
	return receptionReport{
		ssrc:         binary.BigEndian.Uint32(b),
		fractionLost: b[4],
		lost:         binary.BigEndian.Uint32(b[4:]) & 0xffffff,
		jitter:       binary.BigEndian.Uint32(b[12:]),
		lastReport:   binary.BigEndian.Uint32(b[16:]),
		delay:        binary.BigEndian.Uint32(b[20:]),
	}
}

// nackPairs walks the sequence numbers of a NACK (RFC 4585 section 6.2.1).
type nackPairs struct {
	pairs []byte
	seq   uint16
	mask  uint32 // what is left of the present pair: bit n is seq+n
}

// next returns the next sequence number; false when there is none.
func (n *nackPairs) next() (uint16, bool) {
	if n.mask == 0 {
		if len(n.pairs) < nackPair {
			return 0, false
		}
		n.seq = binary.BigEndian.Uint16(n.pairs)
		n.mask = uint32(binary.BigEndian.Uint16(n.pairs[2:]))<<1 | 1
		n.pairs = n.pairs[nackPair:]
	}
	bit := bits.TrailingZeros32(n.mask)
	n.mask &= n.mask - 1
	return n.seq + uint16(bit), true
}
