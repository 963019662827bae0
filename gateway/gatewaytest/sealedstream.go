package gatewaytest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// SealedCounts is what a SealedViewer was sent.
type SealedCounts struct {
	Datagrams int // of RTP and RTCP
	Media     int // RTP packets that came for the first time
	Again     int // those that were asked for, and came as they were
	Reports   int // RTCP datagrams
	Wraps     int // of the outgoing sequence numbers of video
	Sources   int // changes of what feeds a stream
	Sizes     map[int]int
}

// remembered is how many packets back a SealedViewer knows what it got.
const remembered = 4096

// overtaken is by how many packets those of a viewer's shard may be that another
// goroutine sends to it (package egress), or the kernel on another processor.
const overtaken = 256

// publisherJump is the least step in sequence numbers that is one of the
// publisher's own making. What is less was lost.
const publisherJump = 1000

// sealedStream follows one outgoing SSRC.
type sealedStream struct {
	v       *SealedViewer
	kind    string
	ssrc    uint32
	started bool
	first   uint64               // extended sequence number of what came first
	newest  uint64               // the highest
	kept    [remembered]sealedIn // by newest
	at      stamp                // of the newest packet
	missing map[uint64]bool
	asked   map[uint64]bool // not answered yet
	done    map[uint64]bool // was asked for and has come
}

// sealedIn is one packet as it came.
type sealedIn struct {
	index   uint64
	wire    []byte
	packet  *rtp.Packet
	stamped stamp
}

func newSealedStream(v *SealedViewer, kind string, ssrc uint32) *sealedStream {
	return &sealedStream{v: v, kind: kind, ssrc: ssrc, missing: map[uint64]bool{}, asked: map[uint64]bool{}, done: map[uint64]bool{}}
}

// fault takes note of what must not be; v.mu is held.
func (v *SealedViewer) fault(format string, args ...any) {
	if len(v.faults) < 20 {
		v.faults = append(v.faults, fmt.Sprintf(format, args...))
	}
}

// media opens one datagram; v.mu is held.
func (v *SealedViewer) media(b []byte) {
	v.counts.Datagrams++
	if b[1] >= 192 && b[1] < 224 {
		plain, err := v.in.DecryptRTCP(nil, b, nil)
		if err == nil {
			_, err = rtcp.Unmarshal(plain)
		}
		if err != nil {
			v.fault("RTCP of %d bytes does not open: %v", len(b), err)
			return
		}
		v.counts.Reports++
		return
	}
	plain, err := v.in.DecryptRTP(nil, b, nil)
	if err != nil {
		v.fault("RTP %x of %d bytes does not open: %v", b[:min(12, len(b))], len(b), err)
		return
	}
	p := &rtp.Packet{}
	if err := p.Unmarshal(plain); err != nil {
		v.fault("RTP %x does not parse: %v", plain[:min(12, len(plain))], err)
		return
	}
	if s := v.streams[p.SSRC]; s != nil {
		s.arrived(b, p)
	} else if s := v.again[p.SSRC]; s != nil {
		s.repeated(p)
	} else {
		v.fault("SSRC %d was not announced", p.SSRC)
	}
}

// extend is the index nearest to the newest with this number.
func (s *sealedStream) extend(seq uint16) uint64 {
	return s.newest + uint64(int64(int16(seq-uint16(s.newest))))
}

// arrived takes a packet of the media SSRC.
func (s *sealedStream) arrived(wire []byte, p *rtp.Packet) {
	v := s.v
	if !s.started {
		s.started = true
		if p.SequenceNumber >= 1<<15 {
			v.fault("%s begins with %d, in the upper half", s.kind, p.SequenceNumber)
		}
		s.first = 1<<16 + uint64(p.SequenceNumber)
		s.newest = s.first - 1
	}
	index := s.extend(p.SequenceNumber)
	if index <= s.newest {
		s.late(index, wire, p)
		return
	}
	step := index - s.newest
	if step < publisherJump {
		for i := s.newest + 1; i < index; i++ {
			s.missing[i] = true
		}
	}
	if s.kind == "video" && index>>16 != s.newest>>16 {
		v.counts.Wraps++
	}
	s.newest = index
	before := s.at
	is := s.identify(p, step)
	if step >= publisherJump && before.valid && before.source == is.source {
		// The numbers of what was published tell what has not come since the jump.
		for i := range min(overtaken, max(0, is.number-before.number-1)) {
			s.missing[index-1-uint64(i)] = true
		}
	}
	s.keep(index, wire, p, is)
}

// late takes one that is not newer than all before it: it was asked for.
func (s *sealedStream) late(index uint64, wire []byte, p *rtp.Packet) {
	before := &s.kept[index%remembered]
	switch {
	case s.missing[index]:
		delete(s.missing, index)
		s.done[index] = true
		s.keep(index, wire, p, readStamp(p))
	case index < s.first && s.first-index < overtaken && before.index != index:
		s.keep(index, wire, p, readStamp(p))
	case before.index != index:
		s.v.fault("%s %d came late and was not missing: newest %d, first %d", s.kind, index, s.newest, s.first)
	case before.wire == nil: // was repaired when it was on its way
		if !bytes.Equal(before.packet.Payload, p.Payload) {
			s.v.fault("%s %d was not what was sent again", s.kind, index)
		}
		before.wire = wire
		s.v.counts.Again++
	case !bytes.Equal(before.wire, wire):
		s.v.fault("%s %d was sealed twice, differently", s.kind, index)
	default:
		s.answered(index)
	}
}

// repeated takes a packet of the retransmission SSRC (RFC 4588 section 4).
func (s *sealedStream) repeated(p *rtp.Packet) {
	if len(p.Payload) < 2 {
		s.v.fault("a retransmission of %d bytes", len(p.Payload))
		return
	}
	index := s.extend(binary.BigEndian.Uint16(p.Payload))
	original := *p
	original.Payload = p.Payload[2:]
	original.PayloadType--
	before := &s.kept[index%remembered]
	switch {
	case s.missing[index]:
		delete(s.missing, index)
		s.done[index] = true
		s.keep(index, nil, &original, readStamp(&original))
	case before.index != index:
		s.v.fault("%s %d was sent again and had not been sent", s.kind, index)
	case !bytes.Equal(before.packet.Payload, original.Payload) || before.packet.Timestamp != p.Timestamp ||
		before.packet.Marker != p.Marker || before.packet.PayloadType != original.PayloadType:
		s.v.fault("%s %d was sent again differently: %v and %v", s.kind, index, before.packet, p)
	default:
		s.answered(index)
	}
}

// answered counts what is the same as before. It may be so more than once: an
// answer was on its way when it was asked for again.
func (s *sealedStream) answered(index uint64) {
	s.v.counts.Again++
	switch {
	case s.asked[index]:
		delete(s.asked, index)
		s.done[index] = true
	case !s.done[index]:
		s.v.fault("%s %d was sent again and not asked for", s.kind, index)
	}
}

// identify says which published packet this is. What is too short for a stamp
// follows the one before.
func (s *sealedStream) identify(p *rtp.Packet, step uint64) stamp {
	got := readStamp(p)
	before := s.at
	switch {
	case got.valid && before.valid && got.source == before.source:
		want := before.number + int(step)
		// Who catches up goes on with a keyframe when that is soon enough there.
		if caughtUp := got.number%keyEvery == 0 && got.number > want; step < publisherJump && got.number != want && !caughtUp {
			s.v.fault("%s %d of %d follows %d by %d numbers", s.kind, got.number, got.source, before.number, step)
		}
	case got.valid:
		s.v.counts.Sources++
	case !before.valid || step >= publisherJump:
		s.v.fault("%s: %d bytes without a stamp come first", s.kind, len(p.Payload))
		return got
	default:
		got = stamp{before.source, before.number + int(step), true}
	}
	s.at = got
	return got
}

// keep holds a packet that came for the first time against what was published.
func (s *sealedStream) keep(index uint64, wire []byte, p *rtp.Packet, is stamp) {
	s.v.counts.Media++
	if s.v.counts.Sizes == nil {
		s.v.counts.Sizes = map[int]int{}
	}
	s.v.counts.Sizes[len(p.Payload)]++
	s.kept[index%remembered] = sealedIn{index, wire, p, is}
	if !is.valid {
		return
	}
	want := stampedPayload(codecOfType(p.PayloadType), is.source, is.number)
	if !bytes.Equal(unnumbered(p.PayloadType, p.Payload), unnumbered(p.PayloadType, want)) {
		s.v.fault("%s packet %d of %d is not what was published: %d bytes, want %d", s.kind, is.number, is.source, len(p.Payload), len(want))
	}
}

// Ask pretends to have lost packets: of each stream the last n, and as many as
// that before and behind the last wrap if it was seen not long ago. It returns
// how many.
func (v *SealedViewer) Ask(n int) (asked int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.streams {
		var seqs []uint16
		ask := func(from, to uint64) {
			for i := from; i < to; i++ {
				if k := &s.kept[i%remembered]; k.index == i && !s.asked[i] && k.wire != nil {
					s.asked[i] = true
					seqs = append(seqs, uint16(i))
				}
			}
		}
		if !s.started {
			continue
		}
		ask(s.newest-uint64(n)+1, s.newest+1)
		if wrap := s.newest &^ 0xffff; s.newest-wrap < 200 {
			ask(wrap-uint64(n), wrap+uint64(n))
		}
		v.nack(s.ssrc, seqs)
		asked += len(seqs)
	}
	return asked
}

// Repair asks for what is really missing, and again for what Ask did.
func (v *SealedViewer) Repair() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.streams {
		var seqs []uint16
		for i := range s.missing {
			seqs = append(seqs, uint16(i))
		}
		for i := range s.asked {
			seqs = append(seqs, uint16(i))
		}
		v.nack(s.ssrc, seqs)
	}
}

// nack is called with v.mu held.
func (v *SealedViewer) nack(ssrc uint32, seqs []uint16) {
	slices.Sort(seqs)
	for some := range slices.Chunk(seqs, 16) { // a NACK holds 31 pairs
		v.send(&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(some)})
	}
}

// Unanswered is how many packets were asked for and have not come.
func (v *SealedViewer) Unanswered() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.streams {
		n += len(s.asked)
	}
	return n
}

// Missing is how many packets have not come that others came after.
func (v *SealedViewer) Missing() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.streams {
		n += len(s.missing)
	}
	return n
}

// Newest is the published packet of a kind that came last.
func (v *SealedViewer) Newest(kind string) (source, number int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.streams {
		if s.kind == kind && s.at.valid {
			return s.at.source, s.at.number
		}
	}
	return -1, -1
}

// Counts returns what came so far, and what was wrong with it.
func (v *SealedViewer) Counts() (SealedCounts, []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.counts
	c.Sizes = maps.Clone(c.Sizes)
	return c, append([]string(nil), v.faults...)
}
