package gatewaytest

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"github.com/pion/webrtc/v4/pkg/media/samplebuilder"

	"github.com/sluicemedia/sluice/whep"
	"github.com/sluicemedia/sluice/whip"
)

// newAPI makes a pion API that offers just these codecs, with pion's usual
// interceptors, on loopback too.
func newAPI(t testing.TB, list []Codec, tune func(*webrtc.SettingEngine)) *webrtc.API {
	t.Helper()
	return newAPIWith(t, list, tune, webrtc.RegisterDefaultInterceptors)
}

// newAPIWith is newAPI with other interceptors.
func newAPIWith(
	t testing.TB, list []Codec, tune func(*webrtc.SettingEngine), intercept func(*webrtc.MediaEngine, *interceptor.Registry) error,
) *webrtc.API {
	t.Helper()
	engine := &webrtc.MediaEngine{}
	for _, c := range list {
		if err := engine.RegisterCodec(c.Parameters, c.Kind); err != nil {
			t.Fatal(err)
		}
	}
	registry := &interceptor.Registry{}
	if err := intercept(engine, registry); err != nil {
		t.Fatal(err)
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	if tune != nil {
		tune(&settings)
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
}

// Publisher is a pion publisher that sends numbered frames.
type Publisher struct {
	PC      *webrtc.PeerConnection
	Session *whip.ClientSession

	interval int // frames from keyframe to keyframe
	stop     context.CancelFunc
	sending  sync.WaitGroup

	mu   sync.Mutex
	sent map[string][][]byte // frames by codec name
	errs []error
}

// Publish starts a publisher in a room: a track for each codec (at most one of
// a kind), a keyframe every interval frames, none on request. It ends with the
// test or by Close.
func Publish(t testing.TB, base, room string, interval int, list ...Codec) *Publisher {
	t.Helper()
	return PublishWith(t, base, room, interval, nil, list...)
}

// PublishWith is Publish with changed settings.
func PublishWith(t testing.TB, base, room string, interval int, tune func(*webrtc.SettingEngine), list ...Codec) *Publisher {
	t.Helper()
	pc, err := newAPI(t, list, tune).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &Publisher{PC: pc, interval: interval, stop: cancel, sent: map[string][][]byte{}}
	t.Cleanup(func() { p.Close(t) })
	connected := watchState(pc)
	for _, c := range list {
		track, err := webrtc.NewTrackLocalStaticSample(c.Parameters.RTPCodecCapability, c.Kind.String(), "test")
		if err != nil {
			t.Fatal(err)
		}
		sender, err := pc.AddTrack(track)
		if err != nil {
			t.Fatal(err)
		}
		p.sending.Go(func() { drain(sender.Read) })
		p.sending.Go(func() { p.send(ctx, connected, c, track) })
	}
	client := &whip.Client{URL: base + "/whip/" + room}
	if p.Session, err = client.Publish(t.Context(), pc); err != nil {
		t.Fatalf("publish %s: %v", room, err)
	}
	return p
}

// drain reads RTCP so that pion's interceptors see it.
func drain(read func([]byte) (int, interceptor.Attributes, error)) {
	buf := make([]byte, 1500)
	for {
		if _, _, err := read(buf); err != nil {
			return
		}
	}
}

// watchState returns a channel that is closed when the connection is up.
func watchState(pc *webrtc.PeerConnection) <-chan struct{} {
	up := make(chan struct{})
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(up) })
		}
	})
	return up
}

func (p *Publisher) send(ctx context.Context, connected <-chan struct{}, c Codec, track *webrtc.TrackLocalStaticSample) {
	select {
	case <-connected:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(c.FrameLength)
	defer tick.Stop()
	for n := 0; ; n++ {
		frame := c.Frame(n, n%p.interval == 0)
		p.mu.Lock()
		p.sent[c.Name] = append(p.sent[c.Name], frame)
		p.mu.Unlock()
		if err := track.WriteSample(media.Sample{Data: frame, Duration: c.FrameLength}); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			p.mu.Lock()
			p.errs = append(p.errs, err)
			p.mu.Unlock()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Sent returns frame n of a codec, nil when it was not sent yet.
func (p *Publisher) Sent(codec string, n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n < 0 || n >= len(p.sent[codec]) {
		return nil
	}
	return p.sent[codec][n]
}

// Close ends the session as a good client does: DELETE, then the connection.
func (p *Publisher) Close(t testing.TB) {
	t.Helper()
	p.stop()
	closeSession(t, p.Session, p.PC)
	p.Session = nil
	p.sending.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, err := range p.errs {
		t.Errorf("publisher: %v", err)
	}
}

type closer interface {
	Close(ctx context.Context) error
}

func closeSession[S interface {
	comparable
	closer
}](t testing.TB, s S, pc *webrtc.PeerConnection,
) {
	t.Helper()
	var none S
	if s != none {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		_ = s.Close(ctx) // the node may be gone already: not what a test asks
	}
	if err := pc.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// Sample is one frame as a viewer got it.
type Sample struct {
	Codec  string
	Number int
	Data   []byte
	At     time.Time
}

// Viewer is a pion viewer that puts frames together again.
type Viewer struct {
	PC      *webrtc.PeerConnection
	Session *whep.ClientSession
	// Up is closed when the connection is up.
	Up <-chan struct{}
	// Frames receives every frame in order; a full channel drops the newest.
	Frames chan Sample

	reading sync.WaitGroup
}

// View starts a viewer of a room that offers the codecs given.
func View(t testing.TB, base, room string, list ...Codec) *Viewer {
	t.Helper()
	return ViewWith(t, base, room, nil, list...)
}

// ViewWith is View with changed settings.
func ViewWith(t testing.TB, base, room string, tune func(*webrtc.SettingEngine), list ...Codec) *Viewer {
	t.Helper()
	pc, err := newAPI(t, list, tune).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	v := newViewer(t, pc, list)
	kinds := map[webrtc.RTPCodecType]bool{}
	for _, c := range list {
		if kinds[c.Kind] {
			continue
		}
		kinds[c.Kind] = true
		if _, err := pc.AddTransceiverFromKind(c.Kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	client := &whep.Client{URL: base + "/whep/" + room}
	if v.Session, err = client.Play(t.Context(), pc); err != nil {
		t.Fatalf("play %s: %v", room, err)
	}
	return v
}

// newViewer reads what comes over pc, until the test ends.
func newViewer(t testing.TB, pc *webrtc.PeerConnection, list []Codec) *Viewer {
	t.Helper()
	v := &Viewer{PC: pc, Up: watchState(pc), Frames: make(chan Sample, 4096)}
	t.Cleanup(func() { v.Close(t) })
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		v.reading.Go(func() { drain(receiver.Read) })
		v.reading.Go(func() { v.read(track, list) })
	})
	return v
}

// read follows the payload type: a publisher may come back with another codec.
func (v *Viewer) read(track *webrtc.TrackRemote, list []Codec) {
	var codec Codec
	var builder *samplebuilder.SampleBuilder
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if builder == nil || uint8(codec.Parameters.PayloadType) != packet.PayloadType {
			found := false
			for _, c := range list {
				if uint8(c.Parameters.PayloadType) == packet.PayloadType {
					codec, found = c, true
				}
			}
			if !found {
				continue
			}
			builder = samplebuilder.New(256, codec.Depacketizer(), codec.Parameters.ClockRate)
		}
		builder.Push(packet)
		for s := builder.Pop(); s != nil; s = builder.Pop() {
			select {
			case v.Frames <- Sample{Codec: codec.Name, Number: FrameNumber(s.Data), Data: s.Data, At: time.Now()}:
			default:
			}
		}
	}
}

// Close ends the session: DELETE, then the connection.
func (v *Viewer) Close(t testing.TB) {
	t.Helper()
	closeSession(t, v.Session, v.PC)
	v.Session = nil
	v.reading.Wait()
}

var _ rtp.Depacketizer = rawDepacketizer{}
