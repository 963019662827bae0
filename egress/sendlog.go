package egress

import (
	"encoding/binary"
	"errors"
	"time"
)

// sendLogSize is how many packets a sendLog remembers: over 0.2 s at 50 Mbit/s.
const sendLogSize = 1024

// sendLog remembers when the packets with a transport-wide sequence number were
// sent, and turns what the viewer reports of them into a linkReport.
type sendLog struct {
	entries [sendLogSize]sentPacket
	began   time.Time
	next    uint16 // after the newest number sent
	count   int    // entries in use

	// Of the reports so far. Arrivals are on the viewer's clock.
	base        time.Duration // least of arrival minus sending
	based       bool
	reference   int32 // reference time of the first report
	lastArrival time.Duration
}

// sentPacket is an entry of a sendLog.
type sentPacket struct {
	at   time.Duration // since sendLog.began
	size int32
	told bool // the viewer has reported it as received
}

// sent notes a packet; the numbers are consecutive.
func (l *sendLog) sent(seq uint16, size int, now time.Time) {
	if l.count == 0 {
		l.began = now
	}
	l.entries[seq%sendLogSize] = sentPacket{at: now.Sub(l.began), size: int32(size)}
	l.next = seq + 1
	l.count = min(l.count+1, sendLogSize)
}

// find returns the entry of a number, nil when it is not one that was sent.
func (l *sendLog) find(seq uint16) *sentPacket {
	if age := int(l.next - 1 - seq); age >= l.count {
		return nil
	}
	return &l.entries[seq%sendLogSize]
}

// delaySamples is over how many of the newest packets the least delay is taken:
// packets sent in one tick queue behind each other on any link.
const delaySamples = 5

// report digests a feedback packet; false when it tells of no packet that is
// remembered and new.
func (l *sendLog) report(f transportFeedback) (r linkReport, ok bool) {
	if !l.based {
		l.reference = f.reference
	}
	// 24 bits of 64 ms, sign-extended: right over the wrap.
	origin := time.Duration((f.reference-l.reference)<<8>>8) * 64 * time.Millisecond
	var (
		delays [delaySamples]time.Duration
		bytes  int32
		first  int32 // size of the first packet, whose transmission is not in the span
		start  = l.lastArrival
		newest time.Duration
	)
	fresh := !l.based
	f.each(func(seq uint16, received bool, arrival time.Duration) {
		e := l.find(seq)
		switch {
		case e == nil || e.told:
			return
		case !received:
			r.lost++
			return
		}
		arrival += origin
		e.told = true
		delay := arrival - e.at
		if !l.based || delay < l.base {
			l.base, l.based = delay, true
		}
		if fresh && r.received == 0 {
			first, start = e.size, arrival
		}
		delays[r.received%delaySamples] = delay
		r.received++
		bytes += e.size
		newest = max(newest, e.at)
		l.lastArrival = max(l.lastArrival, arrival)
	})
	if r.received == 0 {
		return r, false
	}
	least := delays[0]
	for _, d := range delays[:min(r.received, delaySamples)] {
		least = min(least, d)
	}
	r.queued = least - l.base
	if span := l.lastArrival - start; span >= 5*time.Millisecond {
		r.acknowledged = float64(bytes-first) * 8 / span.Seconds()
	}
	r.newest = l.began.Add(newest)
	return r, true
}

// transportFeedback is a transport-wide congestion control feedback packet
// (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1), checked but
// not unpacked: a packet of 30 bytes can speak of 65535.
type transportFeedback struct {
	base      uint16
	count     int
	reference int32  // units of 64 ms, 24 bits, sign-extended
	chunks    []byte // packet status chunks
	deltas    []byte // receive deltas and padding
}

var errTransportFeedback = errors.New("egress: malformed transport-wide feedback")

// parseTransportFeedback checks an RTCP packet of type 205 with format 15. The
// result refers to b.
func parseTransportFeedback(b []byte) (transportFeedback, error) {
	const fixed = 20
	if len(b) < fixed {
		return transportFeedback{}, errTransportFeedback
	}
	f := transportFeedback{
		base:      binary.BigEndian.Uint16(b[12:]),
		count:     int(binary.BigEndian.Uint16(b[14:])),
		reference: int32(binary.BigEndian.Uint32(b[16:])) >> 8,
	}
	n, need, end := 0, 0, fixed
	for n < f.count {
		if end+2 > len(b) {
			return transportFeedback{}, errTransportFeedback
		}
		chunk := binary.BigEndian.Uint16(b[end:])
		end += 2
		length := chunkLength(chunk)
		if chunk>>15 == 0 {
			length = min(length, f.count-n)
			need += length * deltaSize(chunkSymbol(chunk, 0))
			n += length
			continue
		}
		for i := 0; i < length && n < f.count; i, n = i+1, n+1 {
			need += deltaSize(chunkSymbol(chunk, i))
		}
	}
	if need > len(b)-end {
		return transportFeedback{}, errTransportFeedback
	}
	f.chunks, f.deltas = b[fixed:end], b[end:]
	return f, nil
}

// each calls fn for every packet that the feedback speaks of; arrival counts
// from the reference time.
func (f *transportFeedback) each(fn func(seq uint16, received bool, arrival time.Duration)) {
	var arrival time.Duration
	seq, left, deltas := f.base, f.count, f.deltas
	for chunks := f.chunks; len(chunks) >= 2; chunks = chunks[2:] {
		chunk := binary.BigEndian.Uint16(chunks)
		for i := 0; i < chunkLength(chunk) && left > 0; i, left = i+1, left-1 {
			var ticks int
			size := deltaSize(chunkSymbol(chunk, i))
			switch size {
			case 1:
				ticks = int(deltas[0])
			case 2:
				ticks = int(int16(binary.BigEndian.Uint16(deltas)))
			}
			deltas = deltas[size:]
			arrival += time.Duration(ticks) * 250 * time.Microsecond
			fn(seq, size > 0, arrival)
			seq++
		}
	}
}

// chunkLength is how many packets a status chunk speaks of.
func chunkLength(chunk uint16) int {
	switch {
	case chunk>>15 == 0: // run length
		return int(chunk & 0x1fff)
	case chunk>>14&1 == 0: // one bit each
		return 14
	default: // two bits each
		return 7
	}
}

// chunkSymbol is the status of the packet i of a chunk: 0 not received, 1
// received with a small delta, 2 with a large or negative one.
func chunkSymbol(chunk uint16, i int) uint16 {
	switch {
	case chunk>>15 == 0:
		return chunk >> 13 & 3
	case chunk>>14&1 == 0:
		return chunk >> (13 - i) & 1
	default:
		return chunk >> (12 - 2*i) & 3
	}
}

// deltaSize is how many bytes of receive delta a status has. The reserved
// status 3 has none and counts as not received.
func deltaSize(symbol uint16) int {
	if symbol == 3 {
		return 0
	}
	return int(symbol)
}
