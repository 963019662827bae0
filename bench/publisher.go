package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	videoType = 106
	audioType = 111
	// keyPause is the least time between keyframes that are asked for.
	keyPause      = 500 * time.Millisecond
	audioInterval = 20 * time.Millisecond
	audioBytes    = 160 // 64 kbit/s
	// lateness beyond which a frame is not made up for by haste.
	maxLate = 100 * time.Millisecond
)

// publisher sends one stamped stream by WHIP until it is closed.
type publisher struct {
	pc      *webrtc.PeerConnection
	mux     ice.UDPMux
	client  *client
	session string
	spacing time.Duration
	obeys   bool // keyframe requests

	stop    context.CancelFunc
	running sync.WaitGroup
	up      chan struct{} // closed once connected
	down    chan struct{} // closed when the connection is lost

	packets, keyframes, requests atomic.Uint64
	wanted                       atomic.Bool // a keyframe

	mu   sync.Mutex // guards late
	late *histogram // of frames against their time
}

// publish goes on air and returns when media flows.
func publish(ctx context.Context, c *Config, client *client, bind netip.Addr) (*publisher, error) {
	pc, mux, err := newPublisherConn(bind)
	if err != nil {
		return nil, fmt.Errorf("bench: make the publisher: %w", err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &publisher{
		pc: pc, mux: mux, client: client, spacing: c.Spacing, obeys: !c.IgnoreRequests, stop: stop,
		up: make(chan struct{}), down: make(chan struct{}), late: new(histogram),
	}
	if err := p.start(ctx, life, c); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: publish: %w", err), p.close(ctx))
	}
	return p, nil
}

// newPublisherConn binds a socket of its own: pion does not find every address, ::1
// for one.
func newPublisherConn(bind netip.Addr) (*webrtc.PeerConnection, ice.UDPMux, error) {
	m := &webrtc.MediaEngine{}
	i := &interceptor.Registry{}
	if err := errors.Join(
		m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: videoCapability, PayloadType: videoType}, webrtc.RTPCodecTypeVideo),
		m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: audioCapability, PayloadType: audioType}, webrtc.RTPCodecTypeAudio),
		webrtc.ConfigureNack(m, i), webrtc.ConfigureRTCPReports(i),
	); err != nil {
		return nil, nil, err
	}
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(bind, 0)))
	if err != nil {
		return nil, nil, err
	}
	quiet := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: socket, Logger: quiet.NewLogger("mux")})
	s := webrtc.SettingEngine{LoggerFactory: quiet}
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.SetICEUDPMux(mux)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithInterceptorRegistry(i), webrtc.WithSettingEngine(s)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, nil, errors.Join(err, mux.Close())
	}
	return pc, mux, nil
}

var (
	videoCapability = webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeH264, ClockRate: 90000,
		SDPFmtpLine:  "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}},
	}
	audioCapability = webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
	}
)

// start connects, within ctx, and begins to send, until life ends.
func (p *publisher) start(ctx, life context.Context, c *Config) error {
	sound, err := p.addTrack(audioCapability, "audio")
	if err != nil {
		return err
	}
	picture, err := p.addTrack(videoCapability, "video")
	if err != nil {
		return err
	}
	var up, down sync.Once
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			up.Do(func() { close(p.up) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			down.Do(func() { close(p.down) })
		default:
		}
	})
	if err := p.negotiate(ctx, c.WHIP); err != nil {
		return err
	}
	select {
	case <-p.up:
	case <-p.down:
		return errors.New("the connection failed")
	case <-ctx.Done():
		return fmt.Errorf("ICE and DTLS: %w", ctx.Err())
	}
	p.running.Go(func() { p.sendAudio(life, sound) })
	p.running.Go(func() { p.sendVideo(life, picture, newEncoder(c.Bitrate)) })
	return nil
}

func (p *publisher) addTrack(c webrtc.RTPCodecCapability, kind string) (*webrtc.TrackLocalStaticRTP, error) {
	track, err := webrtc.NewTrackLocalStaticRTP(c, kind, "bench")
	if err != nil {
		return nil, err
	}
	t, err := p.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return nil, err
	}
	p.running.Go(func() { p.hear(t.Sender()) })
	return track, nil
}

// hear counts keyframe requests until the sender is closed. Without a reader
// pion would not answer NACKs either.
func (p *publisher) hear(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		for _, k := range packets {
			switch k.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				p.requests.Add(1)
				p.wanted.Store(p.obeys)
			}
		}
	}
}

func (p *publisher) negotiate(ctx context.Context, endpoint string) error {
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	sdp, session, err := p.client.post(ctx, endpoint, p.pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	p.session = session
	return p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: strings.TrimSpace(sdp) + "\r\n"})
}

func (p *publisher) sendVideo(ctx context.Context, track *webrtc.TrackLocalStaticRTP, e *encoder) {
	next := time.Now()
	var number uint64
	var sequence uint16
	var timestamp uint32
	var lastKey time.Time
	for sinceKey := keyInterval; ctx.Err() == nil; sinceKey++ {
		p.await(&next)
		key := sinceKey >= keyInterval || p.wanted.Load() && time.Since(lastKey) >= keyPause
		if key {
			p.wanted.Store(false)
			p.keyframes.Add(1)
			sinceKey, lastKey = 0, time.Now()
		}
		due := time.Now()
		e.frame(key, func(payload, room []byte, last bool) {
			if p.spacing > 0 {
				sleepExactly(time.Until(due))
				due = due.Add(p.spacing)
			}
			number++
			stamp{number, time.Now().UnixNano()}.put(room)
			p.write(track, rtp.Header{PayloadType: videoType, SequenceNumber: sequence, Timestamp: timestamp, Marker: last}, payload)
			sequence++
		})
		timestamp += 90000 / frameRate
		next = next.Add(frameInterval)
	}
}

// await sleeps until the next frame's time and notes how late it became. A frame
// that is very late moves all that follow.
func (p *publisher) await(next *time.Time) {
	sleepExactly(time.Until(*next))
	late := time.Since(*next)
	if late > maxLate {
		*next = time.Now()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late.add(late)
}

// lateness is the histogram since it was last asked for.
func (p *publisher) lateness() *histogram {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.late
	p.late = new(histogram)
	return h
}

func (p *publisher) sendAudio(ctx context.Context, track *webrtc.TrackLocalStaticRTP) {
	payload := make([]byte, audioBytes)
	for i := range payload {
		payload[i] = byte(rand.IntN(256)) //nolint:gosec // G404: filler is no secret
	}
	payload[0] = 0xfc // CELT, 20 ms, stereo, one frame (RFC 6716 section 3.1)
	tick := time.NewTicker(audioInterval)
	defer tick.Stop()
	for n := uint32(0); ; n++ {
		p.write(track, rtp.Header{PayloadType: audioType, SequenceNumber: uint16(n), Timestamp: n * 960}, payload)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// write sends a packet. The end of the connection is noticed by its state.
func (p *publisher) write(track *webrtc.TrackLocalStaticRTP, h rtp.Header, payload []byte) {
	h.Version = 2
	_ = track.WriteRTP(&rtp.Packet{Header: h, Payload: payload})
	p.packets.Add(1)
}

// close leaves the air.
func (p *publisher) close(ctx context.Context) error {
	p.stop()
	var err error
	if p.session != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
		defer cancel()
		err = p.client.leave(ctx, p.session)
	}
	err = errors.Join(err, p.pc.GracefulClose(), p.mux.Close())
	p.running.Wait()
	return err
}
