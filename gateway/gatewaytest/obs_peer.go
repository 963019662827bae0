package gatewaytest

import (
	"errors"
	"fmt"
	"io"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

func (b *OBS) newPeer() (*webrtc.PeerConnection, error) {
	engine, chain, err := obsEngine(b.ssrc)
	if err != nil {
		return nil, err
	}
	set := webrtc.SettingEngine{
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	}
	set.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if b.options.Settings != nil {
		b.options.Settings(&set)
	} else {
		set.SetIncludeLoopbackCandidate(true)
		set.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
		set.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(set),
		webrtc.WithInterceptorRegistry(chain)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	for i, tracks := range [][]*webrtc.TrackLocalStaticRTP{{b.media.audioTrack}, b.media.videoTracks} {
		if err := b.add(pc, b.ssrc[i], tracks); err != nil {
			return nil, errors.Join(fmt.Errorf("obs: %w", err), pc.Close())
		}
	}
	return pc, nil
}

// add makes a section of one kind, of several tracks when it has layers. Pion
// gives all layers but the first an SSRC of its own choice.
func (b *OBS) add(pc *webrtc.PeerConnection, ssrc uint32, tracks []*webrtc.TrackLocalStaticRTP) error {
	transceiver, err := pc.AddTransceiverFromTrack(tracks[0], webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
		SendEncodings: []webrtc.RTPEncodingParameters{
			{RTPCodingParameters: webrtc.RTPCodingParameters{SSRC: webrtc.SSRC(ssrc)}},
		},
	})
	if err != nil {
		return err
	}
	sender := transceiver.Sender()
	for _, layer := range tracks[1:] {
		if err := sender.AddEncoding(layer); err != nil {
			return err
		}
	}
	// What listens ends with pc.
	if len(tracks) == 1 {
		go b.listen(sender.ReadRTCP)
		return nil
	}
	for _, layer := range tracks {
		go b.listen(func() ([]rtcp.Packet, interceptor.Attributes, error) { return sender.ReadSimulcastRTCP(layer.RID()) })
	}
	return nil
}

// listen counts what the server asks for. Keyframe requests are ignored: OBS
// has nothing that handles them. NACKs are answered by an interceptor.
func (b *OBS) listen(read func() ([]rtcp.Packet, interceptor.Attributes, error)) {
	for {
		packets, _, err := read()
		if err != nil {
			return
		}
		b.mu.Lock()
		for _, packet := range packets {
			switch packet := packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				b.keyframes++
			case *rtcp.TransportLayerNack:
				for _, pair := range packet.Nacks {
					b.nacks += len(pair.PacketList())
				}
			}
		}
		b.mu.Unlock()
	}
}
