package sfu

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/sluicemedia/sluice/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	feedbackAll = []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}
	vp8         = webrtc.RTPCodecCapability{MimeType: "video/VP8", ClockRate: 90000, RTCPFeedback: feedbackAll}
	h264        = webrtc.RTPCodecCapability{MimeType: "video/H264", ClockRate: 90000, RTCPFeedback: feedbackAll}
	opus        = webrtc.RTPCodecCapability{MimeType: "audio/opus", ClockRate: 48000, Channels: 2}

	vp8Key   = []byte{0x10, 0x00, 0x01}
	vp8Delta = []byte{0x10, 0x01, 0x02}
)

func newRooms(t *testing.T, cfg Config) *Rooms {
	t.Helper()
	rs := NewRooms(cfg, nopLog())
	t.Cleanup(rs.Close)
	return rs
}

// source is a publisher's stream: packets come from a channel.
type source struct {
	packets chan []byte
	done    chan struct{}
	close   func()

	mu   sync.Mutex
	rtcp []rtcp.Packet
}

func newSource(t testing.TB) *source {
	t.Helper()
	s := &source{packets: make(chan []byte), done: make(chan struct{})}
	s.close = sync.OnceFunc(func() { close(s.done) })
	t.Cleanup(s.close)
	return s
}

func (s *source) Read(b []byte) (int, error) {
	select {
	case p := <-s.packets:
		return copy(b, p), nil
	case <-s.done:
		return 0, io.EOF
	}
}

func (s *source) WriteRTCP(p []rtcp.Packet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rtcp = append(s.rtcp, p...)
	return nil
}

func (s *source) sent() []rtcp.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]rtcp.Packet(nil), s.rtcp...)
}

// write hands a packet to the track; it returns when the track has read it.
func (s *source) write(p []byte) {
	select {
	case s.packets <- p:
	case <-s.done:
	}
}

// sync returns when everything written before has been forwarded: what is no
// RTP packet is taken only after it.
func (s *source) sync() { s.write(nil); s.write(nil) }

// datagram makes an RTP packet.
func datagram(seq uint16, timestamp uint32, payload []byte) []byte {
	b := make([]byte, 12, 12+len(payload))
	b[0], b[1] = 0x80, 96
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], timestamp)
	return append(b, payload...)
}

// viewer is an output that keeps what it got.
type viewer struct {
	mu     sync.Mutex
	source egress.Source
	format egress.Format
	binds  int
	holds  int
	got    []*egress.Packet // since the last Bind, backlog included
	all    int
}

func (v *viewer) Bind(src egress.Source, f egress.Format, backlog []*egress.Packet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.source, v.format = src, f
	v.got = append([]*egress.Packet(nil), backlog...)
	v.all += len(backlog)
	v.binds++
}

func (v *viewer) Join(src egress.Source, f egress.Format, packets []*egress.Packet) {
	v.Bind(src, f, packets)
}

func (v *viewer) Write(p *egress.Packet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.source == nil {
		panic("written to after Unbind")
	}
	v.got = append(v.got, p)
	v.all++
}

func (v *viewer) Hold() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.holds++
}

func (v *viewer) Unbind(src egress.Source) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.source == src {
		v.source = nil
	}
}

func (v *viewer) bound() bool { return v.from() != nil }

// from is what feeds the viewer, nil: nothing.
func (v *viewer) from() egress.Source {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.source
}

// seqs are the wire numbers of what came since the last Bind.
func (v *viewer) seqs() []uint16 {
	v.mu.Lock()
	defer v.mu.Unlock()
	var s []uint16
	for _, p := range v.got {
		s = append(s, uint16(p.Seq))
	}
	return s
}

func (v *viewer) packets() []*egress.Packet {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]*egress.Packet(nil), v.got...)
}

func plays(mimeTypes ...string) func(webrtc.RTPCodecCapability) (egress.Format, bool) {
	return func(c webrtc.RTPCodecCapability) (egress.Format, bool) {
		for i, m := range mimeTypes {
			if m == c.MimeType {
				return egress.Format{PayloadType: uint8(96 + i), ClockRate: c.ClockRate}, true
			}
		}
		return egress.Format{}, false
	}
}

// play starts a subscription into viewers of the two kinds.
func play(s *Subscription) (a, v *viewer) {
	a, v = &viewer{}, &viewer{}
	s.start([kinds]sink{
		{out: a, format: plays("audio/opus")},
		{out: v, format: plays("video/VP8", "video/H264")},
	})
	return a, v
}

// publisher is a claim with one video track.
type publisher struct {
	*Claim
	src   *source
	track *Track
	gone  chan EndReason // told by Ended, after the source was closed
}

func publish(t *testing.T, rs *Rooms, room, name string, cfg ClaimConfig) *publisher {
	t.Helper()
	return publishing(t, rs, room, name, vp8, cfg)
}

func publishing(t *testing.T, rs *Rooms, room, name string, codec webrtc.RTPCodecCapability, cfg ClaimConfig) *publisher {
	t.Helper()
	p := &publisher{src: newSource(t), gone: make(chan EndReason, 1)}
	cfg.Ended = func(why EndReason) { p.src.close(); p.gone <- why }
	var err error
	if p.Claim, err = rs.Publish(room, name, cfg); err != nil {
		t.Fatalf("publish: %v", err)
	}
	t.Cleanup(p.Close)
	if p.track, err = p.AddTrack(TrackConfig{Kind: "video", Codec: codec, SSRC: 7}, p.src); err != nil {
		t.Fatalf("add track: %v", err)
	}
	return p
}

// leave is what a session does that ends.
func (p *publisher) leave() {
	p.src.close()
	p.Close()
}

// live is publish, and on air with one keyframe.
func live(t *testing.T, rs *Rooms, room, name string, cfg ClaimConfig) *publisher {
	t.Helper()
	p := publish(t, rs, room, name, cfg)
	if err := p.Start(); err != nil {
		t.Fatalf("start: %v", err)
	}
	p.src.write(datagram(100, 1000, vp8Key))
	p.src.sync()
	return p
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func nopLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
