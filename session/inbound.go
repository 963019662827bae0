package session

import (
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

const (
	// maxSSRCs bounds the streams, RTP and RTCP together, that a publisher may
	// name: pion keeps state for each. Real ones name less than ten.
	maxSSRCs = 64
	// maxRestarts bounds how often a section may change its SSRC.
	maxRestarts = 16
	// trackBuffer is how much of a track may wait to be read, in bytes.
	trackBuffer = 1 << 20
	// strayTime is how long a packet that belongs to no track is remembered.
	strayTime = 5 * time.Second
	// maxPacket is the longest RTP packet that is taken, in bytes.
	maxPacket = 2048
)

// inbound takes apart what a publisher sends. It stands where pion's SRTP
// sessions put decrypted packets, before pion would guess which track an SSRC
// belongs to: the payload types, which the answer made unique, tell that
// reliably, also for publishers that announce no SSRC.
//
// RTP packets come from the one goroutine of pion's SRTP session, RTCP packets
// from that of its SRTCP session.
type inbound struct {
	to       inboundOwner
	formats  [128]format
	sections []*inboundSection
	twccID   uint8 // 0: transport-wide feedback was not negotiated

	header  rtp.Header      // of the present packet; RTP goroutine only
	scratch [maxPacket]byte // RTP goroutine only

	mu     sync.Mutex // guards what follows
	sinks  map[sinkKey]*sink
	tracks map[uint32]*IncomingTrack
	closed bool

	// strays is when the last packet came that belongs to no track, unix
	// nanoseconds; 0: none did.
	strays atomic.Int64

	twccMu sync.Mutex // guards twcc
	twcc   *twcc.Recorder
	since  time.Time
}

// format is what a payload type means.
type format struct {
	section *inboundSection
	rtx     bool // RFC 4588 retransmissions of the section's codec
}

// inboundSection is one m-section that was accepted.
type inboundSection struct {
	kind       string
	codec      Codec
	extensions map[uint8]egress.ExtensionKind
	layers     []*inboundLayer // one without a rid where no simulcast was agreed
	// Header extension ids that name a packet's layer; 0: not negotiated.
	ridID, repairedID uint8
}

// inboundLayer is one stream of a section.
type inboundLayer struct {
	rid     string
	ssrc    uint32 // announced by the offer; 0: none
	rtxSSRC uint32 // announced by the offer, or learned (RTP goroutine only); 0: none

	track    *IncomingTrack // the present stream; RTP goroutine only
	restarts int            // RTP goroutine only
}

// inboundOwner is the publisher, as far as inbound needs it.
type inboundOwner interface {
	track(*IncomingTrack) bool // a new stream begins; false: it is not wanted
	flood()                    // too many SSRCs; must not block
	feedback([]rtcp.Packet) error
}

// newInbound makes the demultiplexer of the sections.
func newInbound(to inboundOwner, sections []*inboundSection) *inbound {
	in := &inbound{
		to:       to,
		sections: sections,
		sinks:    make(map[sinkKey]*sink),
		tracks:   make(map[uint32]*IncomingTrack),
		since:    time.Now(),
	}
	for _, s := range sections {
		in.formats[s.codec.PayloadType&0x7f] = format{section: s}
		if rtx := s.codec.RTXPayloadType & 0x7f; rtx != 0 {
			in.formats[rtx] = format{section: s, rtx: true}
		}
	}
	return in
}

// agree takes the header extensions that were negotiated, by section. It is
// called before the answer is sent, so before any packet can come.
func (in *inbound) agree(extensions [][]extension, transportCC bool) {
	for i, s := range in.sections {
		if i >= len(extensions) {
			return
		}
		for _, e := range extensions[i] { //nolint:gosec // bounded just above
			s.extensions[e.id] = e.kind
			switch e.kind {
			case extensionRID:
				s.ridID = e.id
			case extensionRepairedRID:
				s.repairedID = e.id
			default:
			}
			if e.kind == egress.ExtensionTransportCC && transportCC {
				in.twccID = e.id // the same in all sections (RFC 8843 section 9.2)
				in.twcc = twcc.NewRecorder(randomSSRC())
			}
		}
	}
}

type sinkKey struct {
	rtcp bool
	ssrc uint32
}

// sink is where pion puts the packets of one SSRC. Pion's own readers find it
// at its end at once and give up.
type sink struct {
	in *inbound
	sinkKey
}

func (s *sink) Write(p []byte) (int, error) {
	if s.rtcp {
		s.in.control(p, time.Now())
	} else {
		s.in.packet(p, time.Now())
	}
	return len(p), nil
}

func (s *sink) Read([]byte) (int, error) { return 0, io.EOF }
func (s *sink) Close() error             { return nil }

// buffer is the factory given to pion.
func (in *inbound) buffer(t packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	key := sinkKey{t == packetio.RTCPBufferPacket, ssrc}
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.sinks[key]
	if s == nil {
		s = &sink{in, key}
		if len(in.sinks) == maxSSRCs {
			in.to.flood()
			return s
		}
		in.sinks[key] = s
	}
	return s
}

// packet takes one decrypted RTP packet.
func (in *inbound) packet(p []byte, now time.Time) {
	h := &in.header
	n, err := h.Unmarshal(p)
	if err != nil || h.Version != 2 || len(p) > maxPacket {
		return
	}
	// RFC 3550 section 5.1: the padding counts its own last octet.
	if padding := p[len(p)-1]; h.Padding && (padding == 0 || n+int(padding) > len(p)) {
		return
	}
	in.record(h, now)
	f := in.formats[h.PayloadType&0x7f]
	switch {
	case h.SSRC == 0: // libwebrtc probes the bandwidth with it
	case f.section == nil:
		in.strays.Store(now.UnixNano())
	case f.rtx:
		in.repair(f.section, p, n)
	default:
		if t := in.stream(f.section, h); t != nil {
			t.reception.packet(h.SequenceNumber, h.Timestamp, now)
			t.put(p)
		}
	}
}

// repair undoes RFC 4588: the payload begins with the sequence number of the
// packet that is sent again.
func (in *inbound) repair(s *inboundSection, p []byte, headerLen int) {
	h := &in.header
	end := len(p)
	if h.Padding {
		end -= int(p[end-1])
	}
	if end-headerLen < 2 {
		return // padding alone: a bandwidth probe
	}
	t := s.repaired(h, binary.BigEndian.Uint16(p[headerLen:]))
	if t == nil {
		return
	}
	b := in.scratch[:0]
	b = append(b, p[:headerLen]...)
	b[0] &^= 0x20 // padding
	b[1] = b[1]&0x80 | s.codec.PayloadType
	copy(b[2:4], p[headerLen:])
	binary.BigEndian.PutUint32(b[8:], t.SSRC)
	t.put(append(b, p[headerLen+2:end]...))
}

// stream returns the section's track of a packet. A publisher that did not
// announce the SSRC may begin anew with another.
func (in *inbound) stream(s *inboundSection, h *rtp.Header) *IncomingTrack {
	for _, l := range s.layers {
		if l.track != nil && l.track.SSRC == h.SSRC {
			return l.track
		}
	}
	l := s.layer(h)
	if l == nil || l.ssrc != 0 && l.ssrc != h.SSRC || l.restarts == maxRestarts || in.taken(h.SSRC) {
		in.strays.Store(time.Now().UnixNano())
		return nil
	}
	l.restarts++
	if l.rid != "" {
		l.rtxSSRC = 0 // to be learned again
	}
	t := newIncomingTrack(s, l.rid, h.SSRC, in.to.feedback)
	if !in.to.track(t) {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if old := l.track; old != nil {
		delete(in.tracks, old.SSRC)
		old.end()
	}
	if in.closed {
		t.end()
	}
	in.tracks[t.SSRC] = t
	l.track = t
	return t
}

// taken tells whether an SSRC is that of a track already: of another section,
// since an SSRC is one stream (RFC 3550 section 8.1).
func (in *inbound) taken(ssrc uint32) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.tracks[ssrc] != nil
}

// astray is when the last packet came that belongs to no track; zero: never.
func (in *inbound) astray() time.Time { return instant(in.strays.Load()) }

// control takes one decrypted RTCP packet.
func (in *inbound) control(p []byte, now time.Time) {
	packets, err := rtcp.Unmarshal(p)
	if err != nil {
		return
	}
	for _, packet := range packets {
		sr, ok := packet.(*rtcp.SenderReport)
		if !ok {
			continue
		}
		in.mu.Lock()
		t := in.tracks[sr.SSRC]
		in.mu.Unlock()
		if t == nil {
			continue
		}
		t.reception.senderReport(sr.NTPTime, now)
		if t.OnSenderReport != nil {
			t.OnSenderReport(sr.NTPTime, sr.RTPTime, now)
		}
	}
}

// record notes the arrival of a packet for transport-wide feedback.
func (in *inbound) record(h *rtp.Header, now time.Time) {
	if in.twccID == 0 {
		return
	}
	ext := h.GetExtension(in.twccID)
	if len(ext) < 2 {
		return
	}
	in.twccMu.Lock()
	defer in.twccMu.Unlock()
	in.twcc.Record(h.SSRC, binary.BigEndian.Uint16(ext), now.Sub(in.since).Microseconds())
}

// arrivals is the transport-wide feedback that is due.
func (in *inbound) arrivals() []rtcp.Packet {
	if in.twccID == 0 {
		return nil
	}
	in.twccMu.Lock()
	defer in.twccMu.Unlock()
	return in.twcc.BuildFeedbackPacket()
}

// report is the receiver report that is due, nil when nothing was received.
func (in *inbound) report(ssrc uint32, now time.Time) []rtcp.Packet {
	in.mu.Lock()
	var blocks []rtcp.ReceptionReport
	for _, t := range in.tracks {
		if block, ok := t.reception.report(now); ok {
			blocks = append(blocks, block)
		}
	}
	in.mu.Unlock()
	if len(blocks) == 0 {
		return nil
	}
	return []rtcp.Packet{&rtcp.ReceiverReport{SSRC: ssrc, Reports: blocks}}
}

// close ends all tracks.
func (in *inbound) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	for _, t := range in.tracks {
		t.end()
	}
}

// IncomingTrack is one RTP stream of a publisher.
type IncomingTrack struct {
	Kind       string
	Codec      webrtc.RTPCodecCapability
	SSRC       uint32
	RID        string
	Extensions map[uint8]egress.ExtensionKind
	// OnSenderReport, set inside PublisherSetup.Track, is called for every
	// sender report of the stream.
	OnSenderReport func(ntp uint64, rtp uint32, arrived time.Time)

	packets   *packetio.Buffer
	feedback  func([]rtcp.Packet) error
	reception reception
}

func newIncomingTrack(s *inboundSection, rid string, ssrc uint32, feedback func([]rtcp.Packet) error) *IncomingTrack {
	t := &IncomingTrack{
		Kind:       s.kind,
		Codec:      s.codec.RTPCodecCapability,
		SSRC:       ssrc,
		RID:        rid,
		Extensions: s.extensions,
		packets:    packetio.NewBuffer(),
		feedback:   feedback,
		reception:  reception{ssrc: ssrc, clockRate: float64(s.codec.ClockRate)},
	}
	t.packets.SetLimitSize(trackBuffer)
	return t
}

// Read blocks for the next RTP packet of the stream; retransmissions are
// undone. It returns io.EOF once the stream has ended.
func (t *IncomingTrack) Read(b []byte) (int, error) { return t.packets.Read(b) }

// WriteRTCP sends feedback to the publisher, all packets in one datagram.
func (t *IncomingTrack) WriteRTCP(pkts []rtcp.Packet) error { return t.feedback(pkts) }

// put hands a packet to the reader; when he is a whole buffer behind it is lost.
func (t *IncomingTrack) put(p []byte) { _, _ = t.packets.Write(p) }

func (t *IncomingTrack) end() { _ = t.packets.Close() } // the error is always nil
