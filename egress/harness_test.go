package egress

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	videoSSRC, videoRTX = 0x11111111, 0x22222222
	audioSSRC           = 0x33333333
)

var viewerAddr = netip.MustParseAddrPort("192.0.2.1:5000")

// defaultStreams are an audio and a video section as a browser offers them.
func defaultStreams() []StreamConfig {
	return []StreamConfig{
		{Kind: "audio", MID: "0", SSRC: audioSSRC, Extensions: map[ExtensionKind]uint8{ExtensionMID: 4, ExtensionAudioLevel: 1}},
		{Kind: "video", MID: "1", SSRC: videoSSRC, RTXSSRC: videoRTX, Extensions: map[ExtensionKind]uint8{
			ExtensionMID: 4, ExtensionTransportCC: 3, ExtensionOrientation: 13, ExtensionDependencyDescriptor: 12,
		}},
	}
}

var (
	videoFormat = Format{PayloadType: 96, RTXPayloadType: 97, ClockRate: 90000, NACK: true}
	plainFormat = Format{PayloadType: 102, ClockRate: 90000, NACK: true}
	audioFormat = Format{PayloadType: 111, ClockRate: 48000, NACK: true}
)

// received is one datagram as the far end sees it.
type received struct {
	at      time.Time
	to      netip.AddrPort
	rtp     *rtp.Packet // nil: RTCP
	rtcp    []rtcp.Packet
	sealed  []byte
	payload []byte
}

// farEnd is the viewer's side of the wire: it opens what is sent with pion, and
// keeps it. It is the PacketWriter of a plane.
type farEnd struct {
	t     testing.TB
	keys  Keys
	plane *Plane // which is made to send before anything is looked at

	mu    sync.Mutex
	in    *srtp.Context
	out   *srtp.Context
	got   []received
	fail  error
	onRTP func(sealed []byte, p *rtp.Packet) // called with mu held
}

func newFarEnd(t testing.TB, profile srtp.ProtectionProfile) *farEnd {
	t.Helper()
	f := &farEnd{t: t, keys: testKeys(t, profile)}
	var err error
	// No replay protection: what is sealed twice is to be seen.
	if f.in, err = srtp.CreateContext(f.keys.LocalKey, f.keys.LocalSalt, profile); err != nil {
		t.Fatal(err)
	}
	if f.out, err = srtp.CreateContext(f.keys.RemoteKey, f.keys.RemoteSalt, profile); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *farEnd) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return 0, f.fail
	}
	r := received{at: time.Now(), to: to, sealed: bytes.Clone(b)}
	if b[1] >= 192 && b[1] < 224 {
		plain, err := f.in.DecryptRTCP(nil, b, nil)
		if err == nil {
			r.rtcp, err = rtcp.Unmarshal(plain)
		}
		if err != nil {
			f.t.Errorf("RTCP does not open: %v", err)
		}
	} else {
		plain, err := f.in.DecryptRTP(nil, b, nil)
		if err != nil {
			f.t.Errorf("RTP does not open: %v", err)
			return len(b), nil
		}
		r.rtp = &rtp.Packet{}
		if err := r.rtp.Unmarshal(plain); err != nil {
			f.t.Errorf("RTP does not parse: %v", err)
		}
		r.payload = r.rtp.Payload
		if f.onRTP != nil {
			f.onRTP(b, r.rtp)
		}
	}
	f.got = append(f.got, r)
	return len(b), nil
}

// take returns what came since the last call.
func (f *farEnd) take() []received {
	f.settle()
	f.mu.Lock()
	defer f.mu.Unlock()
	got := f.got
	f.got = nil
	return got
}

// settle lets the plane send what it holds back.
func (f *farEnd) settle() {
	if f.plane != nil {
		f.plane.settle()
	}
}

// settle does what the shards would do within moments.
func (p *Plane) settle() {
	for _, sh := range p.shards {
		sh.owner.Lock()
		sh.mu.Lock()
		sh.adopt(time.Now())
		sh.mu.Unlock()
		sh.flush(waitDue, time.Now())
		sh.flush(waitHeld, time.Now())
		for len(sh.rest) > 0 {
			sh.flushRest(time.Now())
		}
		sh.out.flush()
		sh.owner.Unlock()
	}
}

// paceNow does what the shards do at a tick of their pacers.
func (p *Plane) paceNow(now time.Time) {
	p.settle()
	for _, sh := range p.shards {
		sh.owner.Lock()
		sh.pace(now)
		sh.out.flush()
		sh.owner.Unlock()
	}
}

// paceNow is a tick of the pacer for one stream.
func (s *Stream) paceNow() {
	out := s.viewer.plane.borrow(s.viewer)
	defer s.viewer.plane.giveBack(out)
	s.pace(out, time.Now())
}

// reportNow sends the reports of a viewer.
func (v *Viewer) reportNow(now time.Time) {
	v.plane.settle()
	out := v.plane.borrow(v)
	defer v.plane.giveBack(out)
	v.report(out, now)
}

// takeRTP returns the RTP packets of an SSRC that came since the last call;
// everything else is dropped.
func (f *farEnd) takeRTP(ssrc uint32) []*rtp.Packet {
	var out []*rtp.Packet
	for _, r := range f.take() {
		if r.rtp != nil && r.rtp.SSRC == ssrc {
			out = append(out, r.rtp)
		}
	}
	return out
}

// seal makes an SRTCP datagram of the viewer.
func (f *farEnd) seal(packets ...rtcp.Packet) []byte {
	f.t.Helper()
	raw, err := rtcp.Marshal(packets)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.sealRaw(raw)
}

func (f *farEnd) sealRaw(raw []byte) []byte {
	f.t.Helper()
	f.settle()
	f.mu.Lock()
	defer f.mu.Unlock()
	sealed, err := f.out.EncryptRTCP(nil, raw, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return sealed
}

// nack asks for sequence numbers and fails the test when it is refused.
func (f *farEnd) nack(v *Viewer, ssrc uint32, seqs ...uint16) {
	f.t.Helper()
	err := v.HandleRTCP(f.seal(&rtcp.TransportLayerNack{
		SenderSSRC: 1, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs),
	}))
	if err != nil {
		f.t.Fatalf("NACK refused: %v", err)
	}
}

// track is a Source made by hand.
type track struct {
	mu        sync.Mutex
	ring      map[uint64]*Packet
	keyframes int
	clockRate int
	silent    bool // the clock is not known
	publisher int
	delay     time.Duration // of every packet
	epoch     time.Time
}

func newTrack(clockRate int) *track {
	return &track{ring: map[uint64]*Packet{}, clockRate: clockRate, epoch: time.Now()}
}

func (t *track) Packet(seq uint64) *Packet {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ring[seq]
}

func (t *track) Clock(now time.Time) (uint32, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return uint32(int64(now.Sub(t.epoch).Seconds() * float64(t.clockRate))), !t.silent
}

func (t *track) Expected(now time.Time) (uint32, bool) {
	at, ok := t.Clock(now)
	return at - uint32(t.delay.Seconds()*float64(t.clockRate)), ok
}

func (t *track) Timeline() any { return t.publisher }

func (t *track) RequestKeyframe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keyframes++
}

func (t *track) asked() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keyframes
}

// packet makes a packet that the track remembers.
func (t *track) packet(seq uint64, ts uint32, payload string) *Packet {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &Packet{Seq: seq, Timestamp: ts, Payload: []byte(payload), Arrived: time.Now()}
	t.ring[seq] = p
	return p
}

// key is packet with the first packet of a keyframe.
func (t *track) key(seq uint64, ts uint32, payload string) *Packet {
	p := t.packet(seq, ts, payload)
	p.Key = true
	return p
}

// start makes a plane with one started viewer; both end with the test.
func start(t testing.TB, profile srtp.ProtectionProfile, streams []StreamConfig) (*Plane, *Viewer, *farEnd) {
	t.Helper()
	far := newFarEnd(t, profile)
	plane := NewPlane(slog.New(slog.DiscardHandler), far)
	far.plane = plane
	t.Cleanup(func() { _ = plane.Close() })
	v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: streams})
	if err := v.Start(far.keys, viewerAddr); err != nil {
		t.Fatal(err)
	}
	return plane, v, far
}

const gcm = srtp.ProtectionProfileAeadAes128Gcm

// base is a sequence number whose wire form is near its wrap.
const base = uint64(2<<16 - 3)

// inSequence checks that packets have consecutive sequence numbers.
func inSequence(t *testing.T, packets []*rtp.Packet) {
	t.Helper()
	for i := 1; i < len(packets); i++ {
		if got, want := packets[i].SequenceNumber, packets[i-1].SequenceNumber+1; got != want {
			t.Fatalf("packet %d: got sequence number %d, want %d", i, got, want)
		}
	}
}

var errBroken = errors.New("broken")
