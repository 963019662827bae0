package egress

import (
	"encoding/binary"
	"time"
)

const (
	// maxAnswers is how often one packet is sent again. On a link that loses a
	// tenth, one packet in ten thousand is lost with three answers, too: a picture
	// that stands still every few seconds. What is spent is bounded by a budget.
	maxAnswers = 6
	// minAnswerGap is the least time between two answers for one packet while
	// the round trip is not known; else half of that.
	minAnswerGap = 10 * time.Millisecond
	// maxNACKs bounds the sequence numbers answered from one RTCP packet; a
	// datagram could name six thousand.
	maxNACKs = 512
	// maxNACKAge is how many packets back a sequence number may lie.
	maxNACKAge = 1 << 14

	// manyLost is how many packets missed at once speak of a full queue rather
	// than of a bad radio.
	manyLost = 3

	// Retransmissions are paid from a budget: a share of what was sent, and a
	// little by the time.
	repairShare   = 0.25
	repairPerSec  = 16 << 10 // bytes
	repairReserve = 64 << 10 // bytes, at the start
	maxRepair     = 256 << 10
)

// repairBudget bounds what one viewer can make the gateway send again.
type repairBudget struct {
	bytes float64
	at    time.Time
}

func (r *repairBudget) start(now time.Time) { r.bytes, r.at = repairReserve, now }

// earn adds the share of a packet sent.
func (r *repairBudget) earn(bytes int) {
	r.bytes = min(r.bytes+repairShare*float64(bytes), maxRepair)
}

// spend takes the price of a retransmission; false when there is not enough.
func (r *repairBudget) spend(bytes int, now time.Time) bool {
	r.bytes = min(r.bytes+repairPerSec*now.Sub(r.at).Seconds(), maxRepair)
	r.at = now
	if r.bytes < float64(bytes) {
		return false
	}
	r.bytes -= float64(bytes)
	return true
}

// answers counts the retransmissions of recent packets, by index. A stream has
// one only while packets are lost: it is most of what a stream weighs.
type answers struct {
	last    time.Duration // when something was asked for, since the viewer began
	entries [256]answered
}

// answered is what one packet was sent again: 4 bytes, as each viewer of a lossy
// network has hundreds. The packet is known by the bits of its index above those
// that find the entry: 21 together, more than maxNACKAge by far. The time is
// right for a minute, far longer than any packet can be had.
type answered struct {
	count uint16 // how often, below 1<<answerBits, and the packet above that
	at    uint16 // low bits of the ms since the viewer began
}

// answerBits are enough for maxAnswers.
const answerBits = 3

// keepAnswers is how long after the last NACK a stream keeps its answers: far
// longer than a packet is asked for.
const keepAnswers = 10 * time.Second

// allow tells whether a packet may be sent again, and counts it.
func (a *answers) allow(index uint64, at, gap time.Duration) bool {
	a.last = at
	e := &a.entries[index%uint64(len(a.entries))]
	ms := uint16(at.Milliseconds())
	packet := uint16(index/uint64(len(a.entries))) << answerBits
	count := e.count & (1<<answerBits - 1)
	if count == 0 || e.count-count != packet {
		*e = answered{count: packet | 1, at: ms}
		return true
	}
	if count >= maxAnswers || time.Duration(ms-e.at)*time.Millisecond < gap {
		return false
	}
	e.at = ms
	e.count++
	return true
}

// lookup is a packet that a viewer misses.
type lookup struct {
	from  *binding
	in    uint64
	index uint64
}

// answer sends the packets of a NACK again (RFC 4585 section 6.2.1).
func (v *Viewer) answer(media uint32, lost nackPairs, now time.Time) {
	var batch [32]lookup
	for left, more := maxNACKs, true; more && left > 0; {
		n := 0
		v.mu.Lock()
		for more && left > 0 && n < len(batch) {
			var seq uint16
			if seq, more = lost.next(); !more {
				break
			}
			left--
			if l, ok := v.find(media, seq); ok {
				batch[n] = l
				n++
			}
		}
		v.mu.Unlock()
		v.resend(media, batch[:n], now)
	}
}

// find maps an outgoing sequence number to the packet that it belongs to. Called
// with Viewer.mu held.
func (v *Viewer) find(media uint32, seq uint16) (lookup, bool) {
	s := v.streamOf(media)
	if s == nil {
		return lookup{}, false
	}
	v.stats.NACKs++
	newest := s.next - 1
	age := uint64(uint16(newest) - seq)
	if age > maxNACKAge || age > newest {
		return lookup{}, false
	}
	from, in, ok := s.past.source(newest - age)
	if !ok || from.void || !from.format.NACK && !s.rtx(from) {
		return lookup{}, false
	}
	return lookup{from: from, in: in, index: newest - age}, true
}

// resend fetches and sends a batch.
func (v *Viewer) resend(media uint32, batch []lookup, now time.Time) {
	if len(batch) == 0 {
		return
	}
	var packets [32]*Packet
	for i, l := range batch {
		packets[i] = l.from.source.Packet(l.in)
	}
	out := v.plane.borrow(v)
	defer v.plane.giveBack(out) // sends it, and after Viewer.mu is free again
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.streamOf(media)
	if s == nil || !v.live() {
		return
	}
	if c := s.catchup; c != nil && c.running && len(batch) >= manyLost {
		c.control.missing(now)
	}
	for i, l := range batch {
		if l.from.void { // since find
			continue
		}
		if p := packets[i]; p != nil && p.Seq == l.in && len(p.Payload) <= maxPayload {
			s.again(out, l, p, now)
		}
	}
}

// rtx tells whether lost packets of a binding go to the retransmission SSRC.
func (s *Stream) rtx(b *binding) bool {
	return b.format.RTXPayloadType != 0 && s.rtxSSRC != 0
}

// again sends a packet once more. Called with Viewer.mu held and keys set.
func (s *Stream) again(out *batch, l lookup, p *Packet, now time.Time) {
	v := s.viewer
	if s.answers == nil {
		s.answers = new(answers)
	}
	if s.sealed.high < l.index || !s.sealed.has(l.index) {
		// It was late, or what is to be read from it made it look like one to
		// be left out, and was never sent: this is the first time.
		if l.from == s.current {
			s.send(out, p, l.index, now)
		}
		return
	}
	rtx := s.rtx(l.from)
	if !rtx && (s.contents == nil || !s.contents.match(p, l.index)) {
		return
	}
	if !s.answers.allow(l.index, now.Sub(v.began), max(minAnswerGap, v.stats.RTT/2)) ||
		!v.repair.spend(len(p.Payload), now) {
		return
	}
	h := s.header(l.from, p, l.index)
	var size int
	if rtx {
		h.payloadType, h.ssrc = l.from.format.RTXPayloadType, s.rtxSSRC
		size = s.retransmit(out, &h, l.from, p)
	} else {
		size = s.transmit(out, &h, l.from, p, l.index)
	}
	if s.catchup != nil {
		s.catchup.credit -= float64(size)
	}
	v.stats.Retransmitted++
	out.again++
}

// retransmit sends a payload on the retransmission SSRC: the original sequence
// number comes before it (RFC 4588 section 4).
func (s *Stream) retransmit(out *batch, h *header, b *binding, p *Packet) (size int) {
	v := s.viewer
	original, index := h.seq, s.rtxNext
	s.rtxNext++
	h.seq = uint16(index)
	buf := out.room()
	n := h.put(buf)
	binary.BigEndian.PutUint16(buf[n:], original)
	end := n + 2 + copy(buf[n+2:], p.Payload)
	if b.shift.changes(p) {
		b.shift.apply(buf[n+2:end], p)
	}
	size = v.seal.seal(buf, n, buf[n:end], h.ssrc, index)
	out.add(v.to, size)
	return size
}
