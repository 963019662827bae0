package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/whep"
)

// Viewer plays audio and video by pion until it is closed, and keeps the
// packets and sender reports that came.
type Viewer struct {
	PC      *webrtc.PeerConnection
	Session *whep.ClientSession

	http    *http.Client
	reading sync.WaitGroup
	up      chan struct{} // closed once connected

	mu      sync.Mutex // guards what follows
	packets map[string][]ViewerPacket
	reports map[string][]rtcp.SenderReport
	ssrcs   map[string]webrtc.SSRC
}

// ViewerPacket is one packet that came.
type ViewerPacket struct {
	At time.Time
	rtp.Packet
}

// Play plays a WHEP endpoint and returns when it is connected. The context
// bounds the call, not the viewer.
func Play(ctx context.Context, endpoint string, target *Target) (*Viewer, error) {
	pc, err := newPionAPI().NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("conformance: make peer connection: %w", err)
	}
	v := &Viewer{
		PC: pc, http: target.newClient(), up: make(chan struct{}), packets: map[string][]ViewerPacket{},
		reports: map[string][]rtcp.SenderReport{}, ssrcs: map[string]webrtc.SSRC{},
	}
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(v.up) })
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		v.reading.Go(func() { v.readReports(track.Kind().String(), receiver) })
		v.reading.Go(func() { v.readMedia(track) })
	})
	only := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		_, e := pc.AddTransceiverFromKind(kind, only)
		err = errors.Join(err, e)
	}
	if err == nil {
		client := whep.Client{URL: endpoint, Token: target.Token, HTTP: v.http}
		v.Session, err = client.Play(ctx, pc)
	}
	if err == nil {
		select {
		case <-v.up:
		case <-ctx.Done():
			err = fmt.Errorf("conformance: the viewer's DTLS did not come up: %w", ctx.Err())
		}
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

func (v *Viewer) readMedia(track *webrtc.TrackRemote) {
	kind := track.Kind().String()
	v.mu.Lock()
	v.ssrcs[kind] = track.SSRC()
	v.mu.Unlock()
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		v.mu.Lock()
		v.packets[kind] = keep(v.packets[kind], ViewerPacket{time.Now(), *p})
		v.mu.Unlock()
	}
}

func (v *Viewer) readReports(kind string, receiver *webrtc.RTPReceiver) {
	for {
		packets, _, err := receiver.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok {
				v.mu.Lock()
				v.reports[kind] = keep(v.reports[kind], *sr)
				v.mu.Unlock()
			}
		}
	}
}

// Packets are those of a kind ("audio", "video") that came so far.
func (v *Viewer) Packets(kind string) []ViewerPacket {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.packets[kind])
}

// Reports are the sender reports of a kind that came so far.
func (v *Viewer) Reports(kind string) []rtcp.SenderReport {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.reports[kind])
}

// RequestKeyframe sends a PLI for the video.
func (v *Viewer) RequestKeyframe() error {
	v.mu.Lock()
	ssrc := v.ssrcs["video"]
	v.mu.Unlock()
	return v.PC.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(ssrc)}})
}

// Close says DELETE and ends the connection.
func (v *Viewer) Close() {
	if v.Session != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // the caller's may be over
		_ = v.Session.Close(ctx)                                                // it may be gone already
		cancel()
	}
	v.http.CloseIdleConnections()
	_ = v.PC.Close() // nothing to be done about it
	v.reading.Wait()
}
