package egress

import (
	"math/rand/v2"
	"time"
)

// Source is the incoming track that feeds streams, as they see it. Its methods
// are called from any goroutine, also from inside Bind and Write of the caller:
// they must not block, nor take a lock that is held around these, nor call back
// into egress. Its dynamic type must be comparable (a pointer).
type Source interface {
	// Packet returns a packet of the recent past for retransmission, nil when
	// it is not (or no longer) there. What it returns for a number must be what
	// Write was given under it, byte for byte: without RTX the packet is sealed
	// a second time under the same index.
	Packet(seq uint64) *Packet
	// Clock tells which RTP timestamp belongs to the moment now, on the
	// gateway's clock, for sender reports. Tracks of one publication share
	// their mapping, so that a viewer can keep lips and sound together. It is
	// false as long as nothing was received.
	Clock(now time.Time) (timestamp uint32, ok bool)
	// Expected is the same by arrival: which timestamp a packet would have that
	// came now and was not delayed.
	Expected(now time.Time) (timestamp uint32, ok bool)
	// Timeline is the same value, and comparable, for sources whose Clock can be
	// compared: those of one publisher.
	Timeline() any
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

// binding is one source of a stream, from Bind to Unbind or the next Bind.
type binding struct {
	source Source
	format Format
	open   bool   // the first packet was sent: what follows is set
	newest uint64 // highest sequence number seen
	offset uint32 // outgoing minus incoming timestamp
	shift  shift  // the same of picture numbers
	times  times
	ended  time.Time // zero while bound
	// void: the same source was bound again, and may have begun to number its
	// packets anew. Nothing is sent again from here.
	void bool
}

// maxGap is the jump in sequence numbers beyond which packets are not lost but
// renumbered. A receiver takes half the number space for a step back.
const maxGap = 1 << 14

// Stream is one media section of a viewer: one SSRC, unbroken sequence numbers
// and timestamps over any number of sources.
type Stream struct {
	viewer        *Viewer
	kind, mid     string
	ssrc, rtxSSRC uint32
	ids           extensionIDs

	// Guarded by Viewer.mu.
	current *binding
	waitKey bool     // drop what comes before a keyframe
	catchup *catchup // nil when live
	past    history
	sealed  window
	next    uint64    // packet index after the newest one given away
	reached uint64    // packet index after the newest one sent
	rtxNext uint64    // as next, for the retransmission SSRC
	sent    bool      // a packet was sent: what follows is set
	last    uint32    // newest timestamp sent
	ahead   uint32    // how far timestamps run ahead because none may step back
	lastAt  time.Time // when the packet of that timestamp arrived at the gateway
	before  moment    // tells when it was made
	shown   pictures  // what it was numbered, as far as it was

	packets, octets uint32 // of sender reports
	rtcpIndex       uint32 // SRTCP index of the last of them
	lost            uint32 // of the last receiver report
	visited         bool   // the pacer visits the stream
	resting         bool   // it is in the shard's rest; guarded by shard.owner
	answers         *answers
	contents        *contents // where lost packets are sent again as they were

	queue queue
}

func newStream(v *Viewer, c StreamConfig) *Stream {
	s := &Stream{
		viewer: v, kind: c.Kind, mid: c.MID, ssrc: c.SSRC, rtxSSRC: c.RTXSSRC,
		ids: newExtensionIDs(c.Extensions),
		// RFC 3550 section 5.1: a random start. In the lower half, so that a
		// receiver who misses the first packets cannot misjudge the rollover
		// counter (RFC 3711 section 3.3.1).
		next:    1 + rand.Uint64N(1<<15-1), //nolint:gosec // unpredictability is not needed under SRTP
		rtxNext: 1 + rand.Uint64N(1<<15-1), //nolint:gosec // as above
		last:    rand.Uint32(),             //nolint:gosec // as above
	}
	s.reached = s.next
	return s
}

// Bind makes src the source of the stream. Backlog is what the viewer gets
// first, oldest packet first, beginning with a keyframe; it is sent paced, and
// packets written meanwhile wait behind it. It is not copied, and may be that of
// any number of streams: nobody may change it any more. The caller makes sure that no
// packet is written between taking the backlog and Bind. The first packet
// follows whatever the stream sent before without a gap in sequence numbers
// and with a timestamp that has advanced by the time gone by.
func (s *Stream) Bind(src Source, f Format, backlog []*Packet) {
	s.bind(src, f, backlog, len(backlog) == 0)
}

// Join is Bind with a keyframe that has just come, and what followed it until
// now: it is sent at once, as if it had been written.
func (s *Stream) Join(src Source, f Format, packets []*Packet) {
	s.bind(src, f, nil, len(packets) == 0)
	for _, p := range packets {
		s.Write(p)
	}
}

// bind is Bind; ask: a keyframe is to be asked for when the stream has to wait
// for one.
func (s *Stream) bind(src Source, f Format, backlog []*Packet, ask bool) {
	now := time.Now()
	b := &binding{source: src, format: f}
	b.times.read(src, now)

	v := s.viewer
	out := v.plane.borrow(v)
	v.mu.Lock()
	if v.stopped {
		v.mu.Unlock()
		v.plane.giveBack(out)
		return
	}
	s.settle(out, now)
	s.release()
	s.past.void(src)
	s.current = b
	s.waitKey = s.kind == "video" && len(backlog) == 0
	if len(backlog) > 0 {
		s.catchup = newCatchup(s, backlog)
		if v.live() {
			s.catchup.start(now)
			s.paced()
		}
	}
	ask = ask && s.waitKey
	v.mu.Unlock()
	v.plane.giveBack(out)
	if ask {
		src.RequestKeyframe()
	}
}

// Hold gives up what the stream was to catch up with. Its source has nothing for
// it until it is bound again; meanwhile the stream's sender reports go on.
func (s *Stream) Hold() {
	s.viewer.mu.Lock()
	defer s.viewer.mu.Unlock()
	if s.catchup != nil {
		s.abandon()
	}
}

// Unbind stops sending from src; it does nothing when another source is bound.
func (s *Stream) Unbind(src Source) {
	now := time.Now()
	var c times
	c.read(src, now)
	v := s.viewer
	out := v.plane.borrow(v)
	v.mu.Lock()
	if s.current != nil && s.current.source == src {
		s.settle(out, now)
		s.current.times = c
		s.release()
	}
	v.mu.Unlock()
	v.plane.giveBack(out)
}

// release ends the present binding. Called with Viewer.mu held.
func (s *Stream) release() {
	if s.current != nil {
		s.current.ended = time.Now()
		if b := s.current; b.open {
			s.before = moment{b.times, b.offset, b.format.ClockRate}
		}
		s.current = nil
	}
	s.catchup = nil
}

// abandon gives up a catch-up that cannot end; the stream goes on with the
// next keyframe, where there are any. Called with Viewer.mu held.
func (s *Stream) abandon() {
	s.catchup = nil
	s.waitKey = s.kind == "video"
}

// paced lets the shard's pacer visit the stream, unless it does. Called with
// Viewer.mu held.
func (s *Stream) paced() {
	if !s.visited {
		s.visited = true
		s.viewer.shard.catchUp(s)
	}
}

// forward sends a packet of the current binding for the first time, unless it
// is one that must not be sent. Called with Viewer.mu held and keys set.
func (s *Stream) forward(out *batch, p *Packet, now time.Time) {
	b := s.current
	if s.waitKey && (!p.Key || b.open && p.Seq <= b.newest) {
		return
	}
	if len(p.Payload) > maxPayload {
		s.viewer.plane.count.oversize.Add(1)
		return // a gap, as if it had been lost
	}
	switch {
	case !b.open && len(p.Payload) == 0:
		return
	case !b.open:
		s.openBinding(out, p, now)
	case s.waitKey: // after abandon
		s.jump(p)
	}
	var index uint64
	switch {
	case p.Seq > b.newest && len(p.Payload) == 0:
		s.advance(p)
		s.past.begin(b, p.Seq+1, s.next-1)
		s.next--
		return
	case p.Seq > b.newest:
		s.advance(p)
		index = s.next - 1
	default: // late: the gap that it left is still there
		var ok bool
		if index, ok = s.past.index(b, p.Seq); !ok {
			return
		}
	}
	s.send(out, p, index, now)
}

// jump makes the packet follow what was sent last without a gap.
func (s *Stream) jump(p *Packet) {
	s.waitKey = false
	s.current.newest = p.Seq - 1
	s.past.begin(s.current, p.Seq, s.next)
}

// skip lets the keyframe that is sent next follow at once what was sent last, in
// sequence numbers and in time. A receiver that saw the timestamps leap over
// what was left out would hold the picture back. From here on it is as after a
// change of source, but that lost packets of before are still sent again.
// Called with Viewer.mu held.
func (s *Stream) skip(now time.Time) {
	before := s.current
	before.ended = now
	s.current = &binding{source: before.source, format: before.format, times: before.times}
	s.lastAt = now // what was sent last had arrived long before
	s.before, s.ahead = moment{}, 0
}

// advance gives the packet, which is newer than all before it, the next index
// and keeps free those of the packets missing before it.
func (s *Stream) advance(p *Packet) {
	b := s.current
	gap := p.Seq - b.newest
	// Holes add up as long as only padding is received, which is not sent: a
	// receiver must see a packet before half the number space has gone by (RFC
	// 3711 section 3.3.1).
	if gap > maxGap || s.next+gap > s.reached+maxGap {
		s.past.begin(b, p.Seq, s.next)
		gap = 1
	}
	b.newest = p.Seq
	s.next += gap
}

// send seals and writes a packet under an index, once.
func (s *Stream) send(out *batch, p *Packet, index uint64, now time.Time) {
	if !s.sealed.take(index) {
		return
	}
	s.reached = max(s.reached, index+1)
	v, b := s.viewer, s.current
	h := s.header(b, p, index)
	if s.catchup != nil && s.catchup.log != nil {
		h.transportSeq, h.hasTransport = v.twcc, true
		v.twcc++
	}
	if b.format.NACK && !s.rtx(b) {
		if s.contents == nil {
			s.contents = new(contents)
		}
		s.contents.note(p, index)
	}
	size := s.transmit(out, &h, b, p, index)
	if h.hasTransport {
		s.catchup.log.sent(h.transportSeq, size, now)
	}

	if !s.sent || int32(h.timestamp-s.last) > 0 {
		s.last, s.lastAt = h.timestamp, p.arrival(now)
		s.shown.note(p, b.shift)
	}
	s.sent = true
	s.packets++
	s.octets += uint32(len(p.Payload))
	v.repair.earn(len(p.Payload))
	v.stats.Packets++
	v.stats.Bytes += uint64(len(p.Payload))
	out.packets++
	out.bytes += uint64(len(p.Payload))
	if s.kind == "video" && v.stats.FirstVideo.IsZero() {
		v.stats.FirstVideo = now
	}
}

// header is what a packet of a binding gets under an index. It depends on
// nothing else, so that a packet sent again has the same.
func (s *Stream) header(b *binding, p *Packet, index uint64) header {
	return header{
		payloadType: b.format.PayloadType,
		marker:      p.Marker,
		seq:         uint16(index),
		timestamp:   p.Timestamp + b.offset,
		ssrc:        s.ssrc,
		mid:         s.mid,
		ids:         &s.ids,
		forward:     p.Extensions,
	}
}

// transmit seals a packet of a binding straight from the shared payload, unless
// its picture numbers change, into a batch.
func (s *Stream) transmit(out *batch, h *header, b *binding, p *Packet, index uint64) (size int) {
	v := s.viewer
	buf := out.room()
	n, payload := h.put(buf), p.Payload
	if b.shift.changes(p) {
		payload = buf[n : n+copy(buf[n:], p.Payload)]
		b.shift.apply(payload, p)
	}
	n = v.seal.seal(buf, n, payload, h.ssrc, index)
	out.add(v.to, n)
	return n
}

// arrival is when the packet came, or now when its source does not say.
func (p *Packet) arrival(now time.Time) time.Time {
	if p.Arrived.IsZero() {
		return now
	}
	return p.Arrived
}
