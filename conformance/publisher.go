package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/sluicemedia/sluice/whip"
)

// keyframeInterval is in frames: one second.
const keyframeInterval = 30

// Publisher sends H264 and Opus by pion until it is closed.
type Publisher struct {
	PC      *webrtc.PeerConnection
	Session *whip.ClientSession

	http    *http.Client
	stop    context.CancelFunc
	running sync.WaitGroup
	up      chan struct{} // closed once connected
}

// Publish goes on air at a WHIP endpoint and returns when media flows. The
// context bounds the call, not the publisher.
func Publish(ctx context.Context, endpoint string, target *Target) (*Publisher, error) {
	return publish(ctx, endpoint, target, func(p *Publisher, life context.Context) error {
		return p.add(life, webrtc.MimeTypeH264, "video", time.Second/30, func(n int) []byte { return frameH264(n, n%keyframeInterval == 0) })
	})
}

// publish goes on air with Opus and with what addVideo adds.
func publish(ctx context.Context, endpoint string, target *Target, addVideo func(*Publisher, context.Context) error) (*Publisher, error) {
	pc, err := newPionAPI().NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("conformance: make peer connection: %w", err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Publisher{PC: pc, http: target.newClient(), stop: stop, up: make(chan struct{})}
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(p.up) })
		}
	})
	err = errors.Join(
		p.add(life, webrtc.MimeTypeOpus, "audio", 20*time.Millisecond, func(n int) []byte { return frameOpus(n) }),
		addVideo(p, life))
	if err == nil {
		client := whip.Client{URL: endpoint, Token: target.Token, HTTP: p.http}
		p.Session, err = client.Publish(ctx, pc)
	}
	if err == nil {
		select {
		case <-p.up:
		case <-ctx.Done():
			err = fmt.Errorf("conformance: the publisher's DTLS did not come up: %w", ctx.Err())
		}
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// add sends frames of one codec, from the moment of the connection on.
func (p *Publisher) add(ctx context.Context, mime, kind string, every time.Duration, frame func(int) []byte) error {
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, kind, "conformance")
	if err != nil {
		return fmt.Errorf("conformance: make track: %w", err)
	}
	sender, err := p.PC.AddTrack(track)
	if err == nil {
		err = offerOnly(p.PC, sender, mime)
	}
	if err != nil {
		return fmt.Errorf("conformance: add track: %w", err)
	}
	p.running.Go(func() { // pion answers NACKs only when somebody reads RTCP
		buf := make([]byte, 1500)
		for {
			if _, _, err := sender.Read(buf); err != nil {
				return
			}
		}
	})
	p.running.Go(func() {
		select {
		case <-p.up:
		case <-ctx.Done():
			return
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			// A connection that has ended is what some checks are about.
			_ = track.WriteSample(media.Sample{Data: frame(n), Duration: every})
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

// offerOnly leaves one codec and its retransmission in a sender's section: a
// server keeps one of what is offered, and it has to be this.
func offerOnly(pc *webrtc.PeerConnection, sender *webrtc.RTPSender, mime string) error {
	var list []webrtc.RTPCodecParameters
	for _, c := range sender.GetParameters().Codecs {
		switch {
		case c.MimeType != mime:
			continue
		case mime == webrtc.MimeTypeH264 && !strings.Contains(c.SDPFmtpLine, "packetization-mode=1;profile-level-id=42e01f"):
			continue
		}
		list = append(list, c)
		for _, rtx := range sender.GetParameters().Codecs {
			if rtx.SDPFmtpLine == fmt.Sprintf("apt=%d", c.PayloadType) {
				list = append(list, rtx)
			}
		}
	}
	for _, t := range pc.GetTransceivers() {
		if t.Sender() == sender {
			return t.SetCodecPreferences(list)
		}
	}
	return errors.New("conformance: a sender without a transceiver")
}

// Close says DELETE and ends the connection.
func (p *Publisher) Close() {
	p.stop()
	if p.Session != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) //nolint:forbidigo // the caller's may be over
		_ = p.Session.Close(ctx)                                                // it may be gone already
		cancel()
	}
	p.http.CloseIdleConnections()
	_ = p.PC.Close() // nothing to be done about it
	p.running.Wait()
}

// newPionAPI is pion with its usual codecs and interceptors, on loopback too.
func newPionAPI(change ...func(*webrtc.SettingEngine)) *webrtc.API {
	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	for _, c := range change {
		c(&settings)
	}
	// Both only fail for codecs or extensions that collide; pion's own do not.
	_ = engine.RegisterDefaultCodecs()
	_ = webrtc.RegisterDefaultInterceptors(engine, registry)
	return webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
}
