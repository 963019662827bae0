package gatewaytest

import (
	"encoding/binary"
	"sync"
)

// RTPCounter counts the RTP packets on a link by SSRC, from the headers alone:
// SRTP leaves them readable. It is what a test knows of retransmissions without
// asking either end.
type RTPCounter struct {
	mu      sync.Mutex // guards streams
	streams map[uint32]*rtpStream
}

// RTPCount is what was seen of one SSRC.
type RTPCount struct {
	Packets uint64 // all that entered the link
	Lost    uint64 // of those, lost on it
	Repeats uint64 // of Packets, those whose sequence number came before

	PayloadType uint8 // of the newest packet
}

type rtpStream struct {
	RTPCount
	seen [65536]uint64 // by sequence number: Packets when it came, 0 never
}

// Observe takes one packet of a link; it suits [NewUDPRelay] and [Lab.Link].
func (c *RTPCounter) Observe(packet []byte, f Fate) {
	ssrc, seq, ok := rtpHeader(packet)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[ssrc]
	if s == nil {
		if c.streams == nil {
			c.streams = map[uint32]*rtpStream{}
		}
		s = &rtpStream{}
		c.streams[ssrc] = s
	}
	s.Packets++
	s.PayloadType = packet[1] & 127
	if f != Passed {
		s.Lost++
	}
	// A number that came less than half a cycle ago is a repeat, not a wrap.
	if at := s.seen[seq]; at != 0 && s.Packets-at < 32768 {
		s.Repeats++
	}
	s.seen[seq] = s.Packets
}

// Counts returns what was seen so far, by SSRC.
func (c *RTPCounter) Counts() map[uint32]RTPCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[uint32]RTPCount, len(c.streams))
	for ssrc, s := range c.streams {
		all[ssrc] = s.RTPCount
	}
	return all
}

// rtpHeader reads an RTP header; RTCP, STUN and DTLS are told apart by their
// first bytes (RFC 7983, RFC 5761 section 4).
func rtpHeader(b []byte) (ssrc uint32, seq uint16, ok bool) {
	if len(b) < 12 || b[0]>>6 != 2 || b[1] >= 192 && b[1] < 224 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:]), true
}

// udpPayload returns the payload of an Ethernet frame with an unfragmented UDP
// packet over IPv4 or IPv6, nil for anything else.
func udpPayload(frame []byte) []byte {
	const ethernet, udp = 14, 8
	if len(frame) < ethernet+20+udp {
		return nil
	}
	ip := frame[ethernet:]
	var header int
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		header = int(ip[0]&15) * 4
		if ip[9] != 17 || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 {
			return nil
		}
	case 0x86dd:
		header = 40
		if ip[6] != 17 {
			return nil
		}
	default:
		return nil
	}
	if len(ip) < header+udp {
		return nil
	}
	return ip[header+udp:]
}
