package gatewaytest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/whep"
	"github.com/sluicemedia/sluice/whip"
)

const (
	uriMID = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriRID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	// named is how many packets of a layer say which it is. Publishers stop
	// saying so once a receiver must have understood.
	named = 10
)

// Layer is one encoding of a LayerPublisher.
type Layer struct {
	RID           string
	Width, Height int

	track    *webrtc.TrackLocalStaticRTP
	paused   atomic.Bool
	keyframe atomic.Bool // the next frame is to be one
	requests atomic.Int64
}

// LayerPublisher sends VP8 in several layers, which only the header extensions
// of their first packets tell apart. Its frames say of which layer they are
// (LayerOf), and its keyframes come on request only, on that layer alone.
type LayerPublisher struct {
	PC      *webrtc.PeerConnection
	Session *whip.ClientSession

	layers  []*Layer
	sender  *webrtc.RTPSender
	stop    context.CancelFunc
	sending sync.WaitGroup

	mu   sync.Mutex // guards errs
	errs []error
}

// PublishLayers starts a publisher that ends with the test or by Close.
func PublishLayers(t testing.TB, base, room string, layers ...*Layer) *LayerPublisher {
	t.Helper()
	vp8 := vp8Codec()
	pc, err := newAPI(t, []Codec{vp8}, nil).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	p := &LayerPublisher{PC: pc, layers: layers, stop: cancel}
	t.Cleanup(func() { p.Close(t) })
	connected := watchState(pc)
	for i, l := range layers {
		l.track, err = webrtc.NewTrackLocalStaticRTP(vp8.Parameters.RTPCodecCapability, "video", "test", webrtc.WithRTPStreamID(l.RID))
		if err == nil && i == 0 {
			p.sender, err = pc.AddTrack(l.track)
		} else if err == nil {
			err = p.sender.AddEncoding(l.track)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	client := &whip.Client{URL: base + "/whip/" + room}
	if p.Session, err = client.Publish(t.Context(), pc); err != nil {
		t.Fatalf("publish %s: %v", room, err)
	}
	for _, l := range layers {
		p.sending.Go(func() { p.listen(l) })
	}
	p.sending.Go(func() { p.run(ctx, connected) })
	return p
}

func vp8Codec() Codec {
	for _, c := range Codecs() {
		if c.Name == "VP8" {
			return c
		}
	}
	panic("gatewaytest: no VP8")
}

// Pause stops a layer, as a browser does whose processor is too slow, and
// Resume goes on with a keyframe.
func (p *LayerPublisher) Pause(rid string) { p.layer(rid).paused.Store(true) }

// Resume goes on with a layer.
func (p *LayerPublisher) Resume(rid string) {
	p.layer(rid).keyframe.Store(true)
	p.layer(rid).paused.Store(false)
}

// Requests counts the keyframe requests for a layer.
func (p *LayerPublisher) Requests(rid string) int { return int(p.layer(rid).requests.Load()) }

func (p *LayerPublisher) layer(rid string) *Layer {
	for _, l := range p.layers {
		if l.RID == rid {
			return l
		}
	}
	panic("gatewaytest: no layer " + rid)
}

// listen makes keyframes of what is asked for.
func (p *LayerPublisher) listen(l *Layer) {
	for {
		packets, _, err := p.sender.ReadSimulcastRTCP(l.RID)
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, ok := packet.(*rtcp.PictureLossIndication); ok {
				l.requests.Add(1)
				l.keyframe.Store(true)
			}
		}
	}
}

// run sends a frame on every layer 30 times a second.
func (p *LayerPublisher) run(ctx context.Context, connected <-chan struct{}) {
	select {
	case <-connected:
	case <-ctx.Done():
		return
	}
	extensions := p.extensions()
	packetizers := make([]rtp.Packetizer, len(p.layers))
	for i := range p.layers {
		// The picture ids of layers have nothing to do with each other.
		payloader := &codecs.VP8Payloader{EnablePictureID: true}
		for range 200 * (len(p.layers) - i) {
			payloader.Payload(1200, []byte{1})
		}
		packetizers[i] = rtp.NewPacketizer(1200, 0, 0, payloader, rtp.NewRandomSequencer(), 90000)
	}
	sent := make([]int, len(p.layers))
	tick := time.NewTicker(time.Second / 30)
	defer tick.Stop()
	for n := 0; ; n++ {
		for i, l := range p.layers {
			if l.paused.Load() {
				packetizers[i].SkipSamples(3000)
				continue
			}
			key := l.keyframe.Swap(false) || n == 0
			for _, packet := range packetizers[i].Packetize(layerFrame(n, i, key, l), 3000) {
				if sent[i] < named {
					p.fail(packet.SetExtension(extensions[uriMID], []byte("0")))
					p.fail(packet.SetExtension(extensions[uriRID], []byte(l.RID)))
				}
				sent[i]++
				p.fail(l.track.WriteRTP(packet))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// extensions are the ids that were agreed to.
func (p *LayerPublisher) extensions() map[string]uint8 {
	ids := map[string]uint8{}
	for _, e := range p.sender.GetParameters().HeaderExtensions {
		ids[e.URI] = uint8(e.ID)
	}
	return ids
}

func (p *LayerPublisher) fail(err error) {
	if err == nil || errors.Is(err, io.ErrClosedPipe) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err)
}

// Close ends the session as a good client does.
func (p *LayerPublisher) Close(t testing.TB) {
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
	p.errs = nil
}

// layerFrame is frame n of the i-th layer. Its size grows with the picture.
func layerFrame(n, i int, key bool, l *Layer) []byte {
	size := l.Width / 2
	if key {
		size = 3 * l.Width
	}
	b := filler(n*16+i, size)
	if !key {
		b[0] |= 1
		return b
	}
	b[0] &^= 1
	copy(b[3:], []byte{0x9d, 0x01, 0x2a})
	binary.LittleEndian.PutUint16(b[6:], uint16(l.Width))
	binary.LittleEndian.PutUint16(b[8:], uint16(l.Height))
	return b
}

// Numbered adds to an encoded frame what LayerOf reads.
func Numbered(frame []byte, n, layer int) []byte {
	return append(frame, filler(n*16+layer, fillerHead)...)
}

// LayerOf reads from the last packet of a frame which frame of which layer, in
// the order given to PublishLayers, it belongs to.
func LayerOf(p *rtp.Packet) (frame, layer int) {
	n := FrameNumber(p.Payload)
	return n >> 4, n & 15
}

// PacketViewer is a viewer that hands out every RTP packet of the video, in
// order of arrival.
type PacketViewer struct {
	PC      *webrtc.PeerConnection
	Session *whep.ClientSession
	Packets chan *rtp.Packet

	reading sync.WaitGroup
}

// ViewPackets starts one; it ends with the test.
func ViewPackets(t testing.TB, base, room string, list ...Codec) *PacketViewer {
	t.Helper()
	pc, err := newAPI(t, list, nil).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	v := &PacketViewer{PC: pc, Packets: make(chan *rtp.Packet, 1<<16)}
	t.Cleanup(func() { v.Close(t) })
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		v.reading.Go(func() { drain(receiver.Read) })
		v.reading.Go(func() {
			for {
				p, _, err := track.ReadRTP()
				if err != nil {
					return
				}
				select {
				case v.Packets <- p:
				default: // the test has long stopped reading
				}
			}
		})
	})
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	client := &whep.Client{URL: base + "/whep/" + room}
	if v.Session, err = client.Play(t.Context(), pc); err != nil {
		t.Fatal(fmt.Errorf("play %s: %w", room, err))
	}
	return v
}

// Close ends the session.
func (v *PacketViewer) Close(t testing.TB) {
	t.Helper()
	closeSession(t, v.Session, v.PC)
	v.Session = nil
	v.reading.Wait()
}
