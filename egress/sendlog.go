package egress

import (
	"encoding/binary"
	"time"
)

const (
	// A sendLog begins with room for as many packets as are in flight in the
	// first reports' time of a usual catch-up; each doubling is for a faster or
	// longer way. At most it remembers over 0.2 s at 50 Mbit/s.
	minSendLog = 64
	maxSendLog = 1024
	// reportWait is how long a packet is waited for to be reported before its
	// place is needed more for another.
	reportWait = time.Second
)

// sendLog remembers when the packets with a transport-wide sequence number were
// sent, and turns what the viewer reports of them into a linkReport.
type sendLog struct {
	entries []sentPacket // by sequence number; a power of two
	began   time.Time
	latest  time.Duration // when the newest was sent, since began
	next    uint16        // after the newest number sent
	count   int           // entries in use

	// Of the reports so far. Arrivals are on the viewer's clock.
	base        time.Duration // least of arrival minus sending
	based       bool
	reference   int32 // reference time of the first report
	lastArrival time.Duration
}

// sentPacket is an entry of a sendLog.
type sentPacket struct {
	at   uint32 // low bits of the microseconds since sendLog.began
	size uint16
	told bool // the viewer has reported it as received
}

// sent notes a packet; the numbers are consecutive.
func (l *sendLog) sent(seq uint16, size int, now time.Time) {
	if l.count == 0 {
		l.began = now
	}
	l.latest = now.Sub(l.began)
	l.next = seq + 1
	if l.count == len(l.entries) {
		l.grow(seq)
	}
	l.count = min(l.count+1, len(l.entries))
	*l.entry(seq) = sentPacket{at: uint32(l.latest.Microseconds()), size: uint16(size)}
}

// grow doubles the room if the entry that would make place for a number may
// still be told of.
func (l *sendLog) grow(seq uint16) {
	n := max(minSendLog, 2*len(l.entries))
	if n > maxSendLog {
		return
	}
	if len(l.entries) > 0 {
		if e := l.entry(seq); e.told || l.latest-l.sentAt(e) > reportWait {
			return
		}
	}
	entries := make([]sentPacket, n)
	for i := range l.count {
		s := seq - 1 - uint16(i)
		entries[int(s)%n] = *l.entry(s)
	}
	l.entries = entries
}

// entry is where a number has its place.
func (l *sendLog) entry(seq uint16) *sentPacket { return &l.entries[int(seq)%len(l.entries)] }

// sentAt is when a packet was sent, since began.
func (l *sendLog) sentAt(e *sentPacket) time.Duration {
	ago := uint32(l.latest.Microseconds()) - e.at
	return l.latest.Truncate(time.Microsecond) - time.Duration(ago)*time.Microsecond
}

// find returns the entry of a number, nil when it is not one that was sent.
func (l *sendLog) find(seq uint16) *sentPacket {
	if age := int(l.next - 1 - seq); age >= l.count {
		return nil
	}
	return l.entry(seq)
}

// untold counts the numbers of a run of n that were sent and not reported as
// received. A datagram can tell of millions that never were.
func (l *sendLog) untold(seq uint16, n int) (count int) {
	for n > 0 {
		if e := l.find(seq); e == nil {
			gap := int(l.next - uint16(l.count) - seq) // to the oldest one
			if l.count == 0 || gap == 0 {
				return count
			}
			seq, n = seq+uint16(gap), n-gap
			continue
		} else if !e.told {
			count++
		}
		seq, n = seq+1, n-1
	}
	return count
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
		bytes  int
		first  int // size of the first packet, whose transmission is not in the span
		start  = l.lastArrival
		newest time.Duration
	)
	fresh := !l.based
	missing := func(seq uint16, n int) { r.lost += l.untold(seq, n) }
	f.each(missing, func(seq uint16, arrival time.Duration) {
		e := l.find(seq)
		if e == nil || e.told {
			return
		}
		arrival += origin
		e.told = true
		at := l.sentAt(e)
		delay := arrival - at
		if !l.based || delay < l.base {
			l.base, l.based = delay, true
		}
		if fresh && r.received == 0 {
			first, start = int(e.size), arrival
		}
		delays[r.received%delaySamples] = delay
		r.received++
		bytes += int(e.size)
		newest = max(newest, at)
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

// parseTransportFeedback checks an RTCP packet of type 205 with format 15. The
// result refers to b.
func parseTransportFeedback(b []byte) (transportFeedback, error) {
	const fixed = 20
	if len(b) < fixed {
		return transportFeedback{}, errTransportShort
	}
	f := transportFeedback{
		base:      binary.BigEndian.Uint16(b[12:]),
		count:     int(binary.BigEndian.Uint16(b[14:])),
		reference: int32(binary.BigEndian.Uint32(b[16:])) >> 8,
	}
	n, need, end := 0, 0, fixed
	for n < f.count {
		if end+2 > len(b) {
			return transportFeedback{}, errTransportShort
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
		return transportFeedback{}, errTransportShort
	}
	f.chunks, f.deltas = b[fixed:end], b[end:]
	return f, nil
}

// each calls missing for every run of packets that the feedback says did not
// come, and received for every one that did, in order; arrival counts from the
// reference time.
func (f *transportFeedback) each(missing func(seq uint16, n int), received func(seq uint16, arrival time.Duration)) {
	var arrival time.Duration
	seq, left, deltas := f.base, f.count, f.deltas
	for chunks := f.chunks; len(chunks) >= 2; chunks = chunks[2:] {
		chunk := binary.BigEndian.Uint16(chunks)
		length := min(chunkLength(chunk), left)
		left -= length
		if chunk>>15 == 0 && deltaSize(chunkSymbol(chunk, 0)) == 0 {
			missing(seq, length)
			seq += uint16(length)
			continue
		}
		for i := range length {
			var ticks int
			size := deltaSize(chunkSymbol(chunk, i))
			switch size {
			case 0:
				missing(seq, 1)
				seq++
				continue
			case 1:
				ticks = int(deltas[0])
			case 2:
				ticks = int(int16(binary.BigEndian.Uint16(deltas)))
			}
			deltas = deltas[size:]
			arrival += time.Duration(ticks) * 250 * time.Microsecond
			received(seq, arrival)
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
