package sfu

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

const (
	// Packets kept for retransmission: about a second of 20 Mbit/s video and
	// some seconds of audio.
	videoRing = 2048
	audioRing = 256
	// readBuffer holds the largest packet that pion hands out.
	readBuffer = 8192
	// oldGroup is the age of a cached keyframe from which a new one is sooner
	// there than the burst, if the publisher obeys requests.
	oldGroup = 3 * time.Second
	// probeGroup is the age from which a join is used to learn whether the
	// publisher obeys.
	probeGroup = time.Second
	// comfortNoise is a static payload type (RFC 3389) that G.711 publishers
	// put between their packets. It is not forwarded as G.711.
	comfortNoise = 13
)

// kind is an index for the two kinds of media, in the order of binding.
type kind int

const (
	audio kind = iota
	video
	kinds
)

// Source is one incoming RTP stream.
type Source interface {
	// Read blocks for the next RTP packet, retransmissions already undone (RFC
	// 4588); any error ends the track.
	Read(b []byte) (n int, err error)
	// WriteRTCP sends feedback to the publisher.
	WriteRTCP(pkts []rtcp.Packet) error
}

// TrackConfig describes an incoming RTP stream.
type TrackConfig struct {
	Kind       string // "audio" or "video"
	Codec      webrtc.RTPCodecCapability
	SSRC       uint32
	RID        string
	Extensions map[uint8]egress.ExtensionKind // ids of the publisher's numbering
}

// Track is one incoming RTP stream of a claim; it implements egress.Source.
type Track struct {
	claim *Claim
	cfg   TrackConfig
	src   Source
	kind  kind
	codec codec
	// forwarded says which header extensions go to viewers, by the
	// publisher's id.
	forwarded [256]egress.ExtensionKind

	ring ring
	recv *receiver
	time *trackTiming

	heard   atomic.Int64                              // when the last media came: nanoseconds since Rooms.epoch
	size    atomic.Uint64                             // of the picture, width in the upper half; 0: not known
	sent    atomic.Pointer[webrtc.RTPCodecCapability] // see carried
	awaited atomic.Bool                               // a subscription waits for a keyframe to change over
	// How many layers of scalable video were seen within the stream; 0: as 1.
	spatial, temporal atomic.Int32
	withheld          atomic.Bool // from viewers; changed under the room's lock
	muted             atomic.Bool // changed under the room's lock and the track's

	// Guarded by the room's lock.
	silent   bool   // a layer from which nothing comes
	surveyed uint64 // its size at the last survey
	rate     uint64 // its bit rate then
	toldRate uint64 // the one that viewers were told of
	added    time.Time

	// Used by the reading goroutine only.
	sequence sequence
	held     []byte // the packet of a suspended sequence number
	slab     slab
	inserted renumbering
	params   parameterSets
	order    reordering
	// toReformat: viewers were bound before it was known what the track carries.
	toReformat bool

	evidence evidence

	mu      sync.Mutex // guards the fields below; held over a fan-out
	newest  uint64     // highest Seq forwarded
	keyed   bool       // a keyframe came: the next two are set
	keySeq  uint64     // of the first packet of the last keyframe
	keyTime uint32     // its timestamp
	group   group
	cache   cache
	targets []target
	outs    []output // of targets, in the same order: what a fan-out reads
	// restricted is how many of targets are given some layers only.
	restricted int
}

var _ egress.Source = (*Track)(nil)

func newTrack(c *Claim, cfg TrackConfig, src Source) (*Track, error) {
	t := &Track{claim: c, cfg: cfg, src: src, codec: codecOf(cfg.Codec.MimeType)}
	switch cfg.Kind {
	case "audio":
		t.kind, t.ring, t.slab.size = audio, newRing(audioRing), audioSlab
	case "video":
		t.kind, t.ring, t.slab.size = video, newRing(videoRing), videoSlab
	default:
		return nil, errors.New("sfu: a track is audio or video")
	}
	t.sequence.reach = uint16(len(t.ring))
	t.params.codec = t.codec
	t.params.fromSDP(cfg.Codec)
	t.parameters(t.params.sps)
	for id, k := range cfg.Extensions {
		switch k {
		case egress.ExtensionAudioLevel, egress.ExtensionOrientation, egress.ExtensionAbsCaptureTime,
			egress.ExtensionPlayoutDelay:
			t.forwarded[id] = k
		case egress.ExtensionDependencyDescriptor:
			// Its frame numbers begin anew with each publisher, and libwebrtc
			// drops keyframes whose number lies behind the last; nor does one
			// with a long structure fit. Without it the payload alone counts.
		default: // means nothing beyond the publisher's own transport
		}
	}
	t.recv = newReceiver(cfg.Codec.RTCPFeedback, c.ssrc, cfg.SSRC, time.Now())
	t.time = c.timing.newTrack(cfg.Codec.ClockRate)
	t.added = time.Now()
	t.heard.Store(c.room.rooms.at(t.added))
	return t, nil
}

// SenderReport tells the track of the publisher's sender report.
func (t *Track) SenderReport(ntp uint64, rtp uint32, arrived time.Time) {
	t.time.senderReport(ntp, rtp, arrived)
}

// Packet implements egress.Source.
func (t *Track) Packet(seq uint64) *egress.Packet { return t.ring.packet(seq) }

// Clock implements egress.Source.
func (t *Track) Clock(now time.Time) (uint32, bool) { return t.time.clock(now) }

// Expected implements egress.Source.
func (t *Track) Expected(now time.Time) (uint32, bool) { return t.time.expected(now) }

// Timeline implements egress.Source.
func (t *Track) Timeline() any { return t.claim.timing }

// RequestKeyframe implements egress.Source.
func (t *Track) RequestKeyframe() {
	if t.kind == video && !t.muted.Load() && t.recv.want() {
		t.claim.poke()
	}
}

func (t *Track) codecName() string {
	_, name, _ := strings.Cut(t.cfg.Codec.MimeType, "/")
	return name
}

// run reads the source until it ends.
func (t *Track) run() {
	defer t.claim.drop(t)
	buf := make([]byte, readBuffer)
	for {
		n, err := t.src.Read(buf)
		if err != nil || t.claim.is(claimEnded) {
			return
		}
		t.receive(buf[:n], time.Now())
	}
}

// receive takes one datagram of the publisher.
func (t *Track) receive(b []byte, now time.Time) {
	h, ok := parseRTP(b)
	if !ok {
		t.recv.unreadable()
		return
	}
	wire, verdict := t.sequence.unwrap(h.sequence)
	switch verdict {
	case suspended:
		t.held = append(t.held[:0], b...)
		return
	case restarted:
		t.restart()
		if held, ok := parseRTP(t.held); ok {
			t.accept(&held, wire, now)
		}
		wire, _ = t.sequence.unwrap(h.sequence)
	case accepted:
	}
	t.accept(&h, wire, now)
}

// accept takes a packet whose number is known.
func (t *Track) accept(h *rtpHeader, wire uint64, now time.Time) {
	seq := t.inserted.number(wire)
	if !t.ring.fresh(seq) {
		t.recv.duplicate()
		return
	}
	media := len(h.payload) > 0
	p := t.copy(h, seq, now)
	if media {
		t.time.arrived(p.Timestamp, now)
		at := t.room().at(now)
		t.heard.Store(at)
		t.claim.lastMedia.Store(1 + at)
		if t.claim.is(claimStarted) {
			t.claim.goLive(now)
		}
		if t.disordered() {
			t.withhold(true)
		}
	}
	t.mu.Lock()
	params := t.mark(p, wire)
	key := p.Key || params != nil
	urgent := t.recv.arrived(wire, len(p.Payload), key, media && p.Marker, now)
	if params != nil {
		t.forward(params)
	}
	t.forward(p)
	t.mu.Unlock()
	if t.toReformat {
		t.reformat()
	}
	if key && t.awaited.Load() {
		t.claim.keyed.Store(true)
		urgent = true
	}
	if urgent {
		t.claim.poke()
	}
}

// copy makes the packet that all viewers share; what it is made of is allocated
// for many packets at a time.
func (t *Track) copy(h *rtpHeader, seq uint64, now time.Time) *egress.Packet {
	if t.kind == audio && h.payloadType == comfortNoise {
		h.payload = nil
	}
	var found [4]egress.HeaderExtension
	n, size := 0, len(h.payload)
	for rest := h.extension; n < len(found); {
		id, value, next := nextExtension(h.profile, rest)
		if id == 0 {
			break
		}
		if k := t.forwarded[id]; k != 0 {
			found[n] = egress.HeaderExtension{Kind: k, Value: value}
			n, size = n+1, size+len(value)
		}
		rest = next
	}
	p, buf := t.slab.packet(), append(t.slab.bytes(size), h.payload...)
	p.Payload = slices.Clip(buf)
	if n > 0 {
		p.Extensions = t.slab.elements(found[:n])
		for i := range p.Extensions {
			e, start := &p.Extensions[i], len(buf)
			buf = append(buf, e.Value...)
			e.Value = buf[start:len(buf):len(buf)]
		}
	}
	p.Seq, p.Timestamp, p.Marker, p.Arrived = seq, h.timestamp, h.marker, now
	p.PictureID, p.TL0 = pictureNumbers(t.codec, p.Payload)
	return p
}

// mark decides whether p is the first packet of a keyframe. If it is, and its
// parameter sets were sent earlier only, a packet that repeats them is
// returned, to go before it; that moves the numbers of all packets from p on by
// one.
func (t *Track) mark(p *egress.Packet, wire uint64) (params *egress.Packet) {
	if t.kind != video || len(p.Payload) == 0 {
		return nil
	}
	var starts bool
	var nals nalScan
	switch t.codec {
	case codecH264:
		nals = scanH264(p.Payload)
		starts = nals.starts()
	case codecH265:
		nals = scanH265(p.Payload)
		starts = nals.starts()
	default:
		starts = startsKeyframe(t.codec, p.Payload)
	}
	t.params.see(&nals, p.Timestamp)
	t.measure(&nals, p.Payload, starts)
	t.examine(p, &nals, starts)
	switch {
	case !starts:
		return nil
	case !t.keyed:
	case p.Timestamp == t.keyTime && p.Seq > t.keySeq: // goes on
		return nil
	case p.Timestamp != t.keyTime && p.Seq < t.keySeq: // an older one
		return nil
	}
	if nals.intra && nals.sps == nil && p.Seq > t.newest {
		if sets := t.params.missing(p.Timestamp); sets != nil {
			params = &egress.Packet{Seq: p.Seq, Timestamp: p.Timestamp, Key: true, Payload: sets, Arrived: p.Arrived}
			t.inserted.insert(wire)
			p.Seq++
		}
	}
	p.Key = params == nil
	t.keyed, t.keyTime, t.keySeq = true, p.Timestamp, p.Seq
	t.group.begin(p.Arrived)
	if params != nil {
		t.keySeq = params.Seq
	}
	return params
}

// forward stores a packet and writes it to the viewers; called with the
// track's lock held.
func (t *Track) forward(p *egress.Packet) {
	t.ring.store(p)
	t.newest = max(t.newest, p.Seq)
	if t.muted.Load() {
		return
	}
	if t.kind == video {
		if p.Key {
			t.cache.begin(p)
			for seq := p.Seq + 1; seq <= t.newest; seq++ { // p was late
				if later := t.ring.packet(seq); later != nil {
					t.cache.add(later)
				}
			}
			for i := range t.targets {
				t.targets[i].promised = false
			}
		} else {
			t.cache.add(p)
		}
	}
	var at place
	if t.kind == video {
		at = placeOf(t.codec, p.Payload)
		t.note(at)
	}
	if t.restricted == 0 {
		for _, out := range t.outs {
			out.Write(p)
		}
		return
	}
	as := variants{slab: &t.slab}
	for i := range t.targets {
		if v := &t.targets[i]; v.restriction.free() {
			v.out.Write(p)
		} else {
			t.writeRestricted(v, p, at, &as)
		}
	}
}

// restart: the publisher numbers its packets anew. Viewers see no gap if it is
// a new source to their streams.
func (t *Track) restart() {
	t.recv.restart()
	t.mu.Lock()
	t.keyed = false
	t.cache.forget()
	for i := range t.targets {
		t.targets[i].out.Bind(t, t.targets[i].format, nil)
	}
	t.mu.Unlock()
	t.RequestKeyframe()
}
