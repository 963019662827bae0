package gatewaytest

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/sluicemedia/sluice/whip"
)

// Film is what a FilmPublisher shows: pictures and sound that a decoder can
// decode, over and over.
type Film struct {
	Video []byte   // H264 in Annex B, as of LoopH264
	Audio [][]byte // Opus in frames of 20 ms
}

// FilmPublisher is a pion publisher that shows a film. Asked for a keyframe it
// goes on with the next group of pictures at once: as quick an answer as an
// encoder's, at no cost.
type FilmPublisher struct {
	PC      *webrtc.PeerConnection
	Session *whip.ClientSession

	stop     context.CancelFunc
	sending  sync.WaitGroup
	asked    atomic.Bool
	requests atomic.Int64

	mu   sync.Mutex // guards what follows
	errs []error
	last time.Time     // when a picture was sent
	gap  time.Duration // the longest between two
}

// PublishFilm starts a publisher at a WHIP URL. It ends with the test or by
// Close.
func PublishFilm(t testing.TB, url string, f Film) *FilmPublisher {
	t.Helper()
	var list []Codec
	for _, c := range Codecs() {
		if c.Name == "H264" || c.Name == "opus" {
			list = append(list, c)
		}
	}
	pc, err := newAPI(t, list, nil).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &FilmPublisher{PC: pc, stop: cancel}
	t.Cleanup(func() { p.Close(t) })
	connected := watchState(pc)
	units := accessUnits(f.Video)
	next := map[webrtc.RTPCodecType]func(n int) []byte{
		webrtc.RTPCodecTypeVideo: func() func(int) []byte {
			at := -1
			return func(int) []byte {
				at = p.nextPicture(units, at)
				return units[at]
			}
		}(),
		webrtc.RTPCodecTypeAudio: func(n int) []byte { return f.Audio[n%len(f.Audio)] },
	}
	for _, c := range list {
		track, err := webrtc.NewTrackLocalStaticSample(c.Parameters.RTPCodecCapability, c.Kind.String(), "test")
		if err != nil {
			t.Fatal(err)
		}
		sender, err := pc.AddTrack(track)
		if err != nil {
			t.Fatal(err)
		}
		p.sending.Go(func() { p.listen(sender) })
		p.sending.Go(func() { p.send(ctx, connected, track, c.FrameLength, next[c.Kind]) })
	}
	client := &whip.Client{URL: url}
	if p.Session, err = client.Publish(t.Context(), pc); err != nil {
		t.Fatalf("publish %s: %v", url, err)
	}
	return p
}

// nextPicture is which access unit is shown after another.
func (p *FilmPublisher) nextPicture(units [][]byte, at int) int {
	p.paced(time.Now())
	at = (at + 1) % len(units)
	for p.asked.Load() && !startsGroup(units[at]) {
		at = (at + 1) % len(units)
	}
	if startsGroup(units[at]) {
		p.asked.Store(false)
	}
	return at
}

// startsGroup tells whether an access unit begins with parameter sets, which
// come before every keyframe.
func startsGroup(unit []byte) bool {
	at := nextStart(unit, 0)
	return at >= 0 && at+3 < len(unit) && unit[at+3]&0x1f == 7
}

// listen notes what is asked for.
func (p *FilmPublisher) listen(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				p.requests.Add(1)
				p.asked.Store(true)
			}
		}
	}
}

func (p *FilmPublisher) send(
	ctx context.Context, connected <-chan struct{}, track *webrtc.TrackLocalStaticSample, interval time.Duration, frame func(int) []byte,
) {
	select {
	case <-connected:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := 0; ; n++ {
		err := track.WriteSample(media.Sample{Data: frame(n), Duration: interval})
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
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

// Requests counts the keyframe requests.
func (p *FilmPublisher) Requests() int { return int(p.requests.Load()) }

// paced notes that a picture is sent.
func (p *FilmPublisher) paced(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() {
		p.gap = max(p.gap, now.Sub(p.last))
	}
	p.last = now
}

// Gap is the longest time between two pictures sent, since it was asked last: on
// a busy machine a publisher stands still, too.
func (p *FilmPublisher) Gap() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	gap := p.gap
	p.gap = 0
	return gap
}

// Close ends the session as a good client does: DELETE, then the connection.
func (p *FilmPublisher) Close(t testing.TB) {
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
