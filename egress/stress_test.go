package egress

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// TestStress lets viewers join, leave, move, change over and ask for packets
// again, all at once and while tracks are written, and closes the plane in the
// midst of it. Everything that leaves is opened with pion. No index of an SSRC
// may be sealed with two contents, what is sent for the first time must be in
// order as far as doc.go promises, and nothing may be sent once the plane is
// closed.
func TestStress(t *testing.T) {
	t.Run("one by one", func(t *testing.T) {
		w := &wire{}
		s := newStress(t, func(int) *end { return w.end(t) }, w, w)
		s.run(w.close)
	})
	t.Run("sockets of the kernel", func(t *testing.T) {
		var sockets []PacketWriter
		for range 2 {
			sockets = append(sockets, stressSocket(t))
		}
		var reading sync.WaitGroup
		s := newStress(t, func(int) *end { return readEnd(t, &reading) }, sockets...)
		s.run(func() {})
		for _, e := range s.ends {
			e.hangUp()
		}
		reading.Wait()
	})
}

func stressSocket(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// end is where one viewer's datagrams arrive.
type end struct {
	t     *testing.T
	keys  Keys
	addrs [2]netip.AddrPort
	conns []*net.UDPConn // nil: a wire
	wired bool           // the way here keeps the order

	mu      sync.Mutex // guards what follows
	in, out *srtp.Context
	streams map[uint32]*endStream
	packets int
	again   int
	// strict: the viewer's packets have one way out, the shard, so they leave in
	// order. Those that a change of source sends may overtake it by a batch.
	strict bool
}

// reordered is by how many packets at most.
const reordered = 4 * shardMessages

// endStream is what came under one SSRC.
type endStream struct {
	newest uint64
	sealed map[uint64][]byte
}

func newEnd(t *testing.T) *end {
	t.Helper()
	profiles := []srtp.ProtectionProfile{
		srtp.ProtectionProfileAeadAes128Gcm, srtp.ProtectionProfileAeadAes256Gcm, srtp.ProtectionProfileAes128CmHmacSha1_80,
	}
	profile := profiles[mrand.N(len(profiles))]
	e := &end{t: t, keys: testKeys(t, profile), streams: map[uint32]*endStream{}}
	_, _ = rand.Read(e.keys.LocalKey) // every viewer has its own
	var err, other error
	e.in, err = srtp.CreateContext(e.keys.LocalKey, e.keys.LocalSalt, profile)
	e.out, other = srtp.CreateContext(e.keys.RemoteKey, e.keys.RemoteSalt, profile)
	if err := errors.Join(err, other); err != nil {
		t.Error(err)
	}
	return e
}

// arrived opens a datagram.
func (e *end) arrived(b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if b[1] >= 192 && b[1] < 224 {
		if plain, err := e.in.DecryptRTCP(nil, b, nil); err != nil {
			e.t.Errorf("RTCP does not open: %v", err)
		} else if _, err := rtcp.Unmarshal(plain); err != nil {
			e.t.Errorf("RTCP does not parse: %v", err)
		}
		return
	}
	e.packets++
	plain, err := e.in.DecryptRTP(nil, b, nil)
	var p rtp.Packet
	if err == nil {
		err = p.Unmarshal(plain)
	}
	if err != nil {
		e.t.Errorf("RTP %x does not open: %v", b[:12], err)
		return
	}
	s := e.streams[p.SSRC]
	if s == nil {
		s = &endStream{newest: 1<<16 + uint64(p.SequenceNumber) - 1, sealed: map[uint64][]byte{}}
		e.streams[p.SSRC] = s
	}
	index := s.newest + uint64(int64(int16(p.SequenceNumber-uint16(s.newest))))
	before := s.sealed[index]
	switch {
	case before != nil && !bytes.Equal(before, b):
		e.t.Errorf("SSRC %x, index %d: sealed twice, differently", p.SSRC, index)
	case before != nil:
		e.again++
		if p.SSRC == videoRTX {
			e.t.Errorf("retransmission %d came twice", index)
		}
	case index < s.newest && e.wired && (e.strict || s.newest-index > reordered):
		e.t.Errorf("SSRC %x: %d comes after %d", p.SSRC, index, s.newest)
	}
	s.newest = max(s.newest, index)
	s.sealed[index] = bytes.Clone(b)
	delete(s.sealed, s.newest-windowSize)
	if text := string(p.Payload); p.SSRC != videoRTX && !bytes.HasPrefix(p.Payload, []byte("packet ")) {
		e.t.Errorf("SSRC %x, index %d: the payload is %q", p.SSRC, index, text)
	}
}

// nack seals a request for some of what came last.
func (e *end) nack() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ssrc, s := range e.streams {
		if ssrc == videoRTX {
			continue
		}
		from := s.newest - mrand.Uint64N(100)
		var seqs []uint16
		for i := range mrand.Uint64N(20) {
			seqs = append(seqs, uint16(from+i))
		}
		if len(seqs) == 0 {
			return nil
		}
		raw, err := rtcp.Marshal([]rtcp.Packet{
			&rtcp.ReceiverReport{SSRC: 1},
			&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs)},
		})
		if err == nil {
			raw, err = e.out.EncryptRTCP(nil, raw, nil)
		}
		if err != nil {
			e.t.Error(err)
		}
		return raw
	}
	return nil
}

// hangUp closes what an end reads.
func (e *end) hangUp() {
	for _, c := range e.conns {
		_ = c.Close()
	}
}

// readEnd makes an end behind two sockets.
func readEnd(t *testing.T, reading *sync.WaitGroup) *end {
	t.Helper()
	e := newEnd(t)
	for i := range e.addrs {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Error(err)
			return e
		}
		e.conns = append(e.conns, conn)
		e.addrs[i] = conn.LocalAddr().(*net.UDPAddr).AddrPort()
		reading.Go(func() {
			b := make([]byte, 1<<16)
			for {
				n, err := conn.Read(b)
				if err != nil {
					return
				}
				e.arrived(b[:n])
			}
		})
	}
	return e
}

// wire is a PacketWriter that hands datagrams to the ends at once.
type wire struct {
	ends   sync.Map // of *end by netip.AddrPort
	ports  atomic.Uint32
	closed atomic.Bool
}

func (w *wire) end(t *testing.T) *end {
	t.Helper()
	e := newEnd(t)
	e.wired = true
	for i := range e.addrs {
		e.addrs[i] = netip.AddrPortFrom(viewerAddr.Addr(), uint16(w.ports.Add(1)))
		w.ends.Store(e.addrs[i], e)
	}
	return e
}

func (w *wire) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	e, ok := w.ends.Load(to)
	if !ok {
		return 0, fmt.Errorf("nobody is at %v", to)
	}
	if w.closed.Load() {
		e.(*end).t.Errorf("%d bytes were sent after the plane was closed", len(b))
	}
	e.(*end).arrived(b)
	return len(b), nil
}

func (w *wire) close() { w.closed.Store(true) }

// stressTrack is a source that is written to whoever is bound, as package sfu
// does: a lock keeps Bind apart from the packets.
type stressTrack struct {
	kind  string
	asked atomic.Int64
	ring  [1024]atomic.Pointer[Packet]

	mu      sync.Mutex // guards what follows
	seq     uint64
	group   []*Packet // from the last keyframe on
	targets map[*Stream]bool
}

func (t *stressTrack) Packet(seq uint64) *Packet {
	if p := t.ring[seq%uint64(len(t.ring))].Load(); p != nil && p.Seq == seq {
		return p
	}
	return nil
}

func (t *stressTrack) Clock(now time.Time) (uint32, bool) {
	return uint32(now.UnixMilli() * 90), true
}

func (t *stressTrack) Expected(now time.Time) (uint32, bool) { return t.Clock(now) }

func (t *stressTrack) Timeline() any { return t }

func (t *stressTrack) RequestKeyframe() { t.asked.Add(1) }

// write forwards the next packet. One in forty is lost before it gets here.
func (t *stressTrack) write() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	if t.seq%40 == 7 {
		t.seq++
	}
	now := time.Now()
	p := &Packet{
		Seq: t.seq, Timestamp: uint32(now.UnixMilli() * 90), Marker: t.seq%5 == 0, Arrived: now,
		Payload: fmt.Appendf(nil, "packet %d of %p %s", t.seq, t, bytes.Repeat([]byte{'x'}, mrand.N(900))),
	}
	if t.kind == "video" && (t.seq%250 == 0 || t.asked.Swap(0) > 0) {
		p.Key, t.group = true, nil
	}
	t.ring[p.Seq%uint64(len(t.ring))].Store(p)
	t.group = append(t.group, p)
	for s := range t.targets {
		s.Write(p)
	}
}

func (t *stressTrack) attach(s *Stream, f Format, backlog bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var group []*Packet
	if backlog && len(t.group) > 0 && t.group[0].Key {
		group = slices.Clip(t.group)
	}
	s.Bind(t, f, group)
	t.targets[s] = true
}

func (t *stressTrack) detach(s *Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.targets, s)
	s.Unbind(t)
}

// stress is one run.
type stress struct {
	t       *testing.T
	plane   *Plane
	tracks  []*stressTrack // the first is audio
	newEnd  func(int) *end
	stopped chan struct{}

	mu   sync.Mutex // guards ends
	ends []*end
}

func newStress(t *testing.T, ends func(int) *end, sockets ...PacketWriter) *stress {
	t.Helper()
	s := &stress{t: t, plane: NewPlane(slog.New(slog.DiscardHandler), sockets...), newEnd: ends, stopped: make(chan struct{})}
	for i := range 4 {
		kind := "video"
		if i == 0 {
			kind = "audio"
		}
		// Near the wrap of the publisher's numbers.
		s.tracks = append(s.tracks, &stressTrack{kind: kind, seq: 2<<16 - uint64(200*i) - 100, targets: map[*Stream]bool{}})
	}
	return s
}

func (s *stress) over() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

// run lasts a moment, or with SLUICE_LONG for half a minute.
func (s *stress) run(closed func()) {
	s.t.Helper()
	length := 1500 * time.Millisecond
	if os.Getenv("SLUICE_LONG") != "" {
		length = 30 * time.Second
	}
	var actors sync.WaitGroup
	for i, track := range s.tracks {
		actors.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for n := 0; !s.over(); n++ {
				for range 1 + mrand.N(1+4*min(i, 1)) {
					track.write()
				}
				<-tick.C
			}
		})
	}
	for i := range 12 {
		actors.Go(func() {
			for !s.over() {
				s.live(i)
			}
		})
	}
	<-time.After(length)
	s.mu.Lock()
	for _, e := range s.ends {
		e.mu.Lock()
		e.strict = false
		e.mu.Unlock()
	}
	s.mu.Unlock()
	if err := s.plane.Close(); err != nil {
		s.t.Error(err)
	}
	closed()
	// The others have not noticed yet.
	for range 5 {
		for _, track := range s.tracks {
			track.write()
		}
	}
	close(s.stopped)
	actors.Wait()
	st := s.plane.Stats()
	packets, again := 0, 0
	for _, e := range s.ends {
		e.mu.Lock()
		packets, again = packets+e.packets, again+e.again
		e.mu.Unlock()
	}
	s.t.Logf("%d viewers were sent %d packets, %d identical ones; the plane: %+v", len(s.ends), packets, again, st)
	if packets == 0 || again == 0 || st.Retransmitted == 0 || st.Viewers != 0 {
		s.t.Error("the run shows nothing")
	}
}

// live is the life of one viewer.
func (s *stress) live(i int) {
	e := s.newEnd(i)
	s.mu.Lock()
	s.ends = append(s.ends, e)
	s.mu.Unlock()
	v := s.plane.NewViewer(ViewerConfig{CNAME: "stress", Streams: defaultStreams()})
	bound := map[*Stream]*stressTrack{}
	bind := func(kind string, track *stressTrack) {
		out := v.Stream(kind)
		if from := bound[out]; from != nil {
			from.detach(out)
		}
		f := audioFormat
		if kind == "video" {
			if f = videoFormat; i%2 == 0 {
				f = plainFormat
			}
		}
		track.attach(out, f, mrand.N(2) == 0)
		bound[out] = track
	}
	strict := i%3 == 0 // does not change over
	e.mu.Lock()
	e.strict = strict
	e.mu.Unlock()
	if strict || mrand.N(2) == 0 {
		bind("audio", s.tracks[0])
		bind("video", s.tracks[1+mrand.N(3)])
	}
	if err := v.Start(e.keys, e.addrs[0]); err != nil && !errors.Is(err, ErrClosed) {
		s.t.Error(err)
	}
	if !strict {
		bind("audio", s.tracks[0])
		bind("video", s.tracks[1+mrand.N(3)])
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; n < 400 && !s.over(); n++ {
		switch mrand.N(40) {
		case 0:
			if strict {
				break
			}
			bind("video", s.tracks[1+mrand.N(3)])
		case 1:
			v.Move(e.addrs[mrand.N(2)])
		case 2:
			v.RequestKeyframe()
		case 3:
			_ = v.Stats()
		case 4, 5, 6:
			if b := e.nack(); b != nil {
				_ = v.HandleRTCP(b) // refused when it has been stopped
			}
		}
		<-tick.C
	}
	e.mu.Lock()
	e.strict = false
	e.mu.Unlock()
	if mrand.N(2) == 0 {
		v.Stop() // with its streams bound
	}
	for out, track := range maps.Clone(bound) {
		track.detach(out)
	}
	v.Stop()
}
