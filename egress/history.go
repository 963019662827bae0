package egress

// segment is a run of packets of one binding whose outgoing index is their
// incoming sequence number plus a constant. It ends where the next begins.
type segment struct {
	in, out uint64 // first sequence number coming in, its packet index going out
	from    *binding
}

// maxSegments bounds what a stream remembers for late packets and NACKs. A
// segment begins with a binding, a jump or a skipped padding packet.
const maxSegments = 32

// history maps incoming sequence numbers to outgoing packet indexes and back.
type history struct {
	segments []segment
}

// begin opens a segment: from the sequence number in on, packets of the binding
// go out from the index out on.
func (h *history) begin(from *binding, in, out uint64) {
	if n := len(h.segments); n > 0 && h.segments[n-1].out == out {
		h.segments[n-1] = segment{in: in, out: out, from: from} // the last one was never used
		return
	}
	if len(h.segments) == maxSegments {
		copy(h.segments, h.segments[1:])
		h.segments = h.segments[:maxSegments-1]
	}
	h.segments = append(h.segments, segment{in: in, out: out, from: from})
}

// index returns the outgoing index of a packet of the binding; false when it
// has none: it came before the binding's first, was skipped, or is forgotten.
func (h *history) index(from *binding, in uint64) (uint64, bool) {
	end := ^uint64(0)
	for i := len(h.segments) - 1; i >= 0; i-- {
		s := &h.segments[i]
		if s.from != from {
			break
		}
		if in >= s.in {
			out := s.out + (in - s.in)
			return out, out < end
		}
		end = s.out
	}
	return 0, false
}

// source returns where the packet of an outgoing index came from.
func (h *history) source(out uint64) (from *binding, in uint64, ok bool) {
	for i := len(h.segments) - 1; i >= 0; i-- {
		if s := &h.segments[i]; out >= s.out {
			return s.from, s.in + (out - s.out), true
		}
	}
	return nil, 0, false
}

// forget drops the leading segments for which old is true, so that the source
// of a past binding, and all it remembers, can be freed.
func (h *history) forget(old func(*binding) bool) {
	n := 0
	for n < len(h.segments) && old(h.segments[n].from) {
		n++
	}
	if n > 0 {
		rest := copy(h.segments, h.segments[n:])
		clear(h.segments[rest:])
		h.segments = h.segments[:rest]
	}
}

// void ends retransmission from the bindings of a source.
func (h *history) void(src Source) {
	for _, s := range h.segments {
		if s.from.source == src {
			s.from.void = true
		}
	}
}

// windowSize is how many packets back a window remembers, in packets.
const windowSize = 2048

// window remembers which of the last indexes were sealed, so that no index is
// ever sealed for two packets.
type window struct {
	high uint64 // highest index sealed; 0: none
	bits [windowSize / 64]uint64
}

// take claims an index. It is false when the index was taken already, or is
// too old to tell.
func (w *window) take(index uint64) bool {
	switch {
	case index > w.high:
		from := w.high + 1
		if index-w.high > windowSize {
			from = index - windowSize + 1
		}
		for i := from; i <= index; i++ {
			w.bits[i%windowSize/64] &^= 1 << (i % 64)
		}
		w.high = index
	case w.has(index):
		return false
	}
	w.bits[index%windowSize/64] |= 1 << (index % 64)
	return true
}

// has tells whether an index not above high was taken, or is too old to tell.
func (w *window) has(index uint64) bool {
	return w.high-index >= windowSize || w.bits[index%windowSize/64]&(1<<(index%64)) != 0
}

// contents remembers what the last packets were, so that one is sealed a second
// time under its index only if it is the same. A source that numbered its
// packets anew must not be able to break the encryption.
type contents struct {
	entries [contentsSize]struct{ index, sum uint32 }
}

// contentsSize is how many packets back an identical packet is sent again: five
// seconds of audio, which alone comes without RTX from browsers.
const contentsSize = 256

// note remembers the packet of an index.
func (c *contents) note(p *Packet, index uint64) {
	e := &c.entries[index%contentsSize]
	e.index, e.sum = uint32(index), p.checksum()
}

// match tells whether a packet is the one of an index; false also when that is
// forgotten.
func (c *contents) match(p *Packet, index uint64) bool {
	e := &c.entries[index%contentsSize]
	return e.index == uint32(index) && e.sum == p.checksum()
}
