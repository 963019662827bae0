package session

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

const (
	// replayWindow is in packets. OBS sends lost packets again as they were,
	// under their old numbers: the usual 64 packets would refuse most of them.
	replayWindow = 1024
	// gatherLimit bounds the wait for pion to listen to new ICE credentials.
	gatherLimit = 2 * time.Second
)

var errGather = errors.New("session: pion did not gather in time")

// peerMux is the UDP mux of all publishers as the ice package sees it. It has
// one address of each family, not one for each address of the node: pion would
// keep a goroutine and a buffer for each, and the candidates of our answers do
// not come from here.
type peerMux struct {
	*ice.UDPMuxDefault
	addrs []net.Addr
}

func newPeerMux(side sideConn, logs pionLogs) (*peerMux, error) {
	addr, ok := side.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("session: media socket has no UDP address but %T", side.LocalAddr())
	}
	m := &peerMux{addrs: []net.Addr{addr}}
	if addr.IP.IsUnspecified() {
		m.addrs = []net.Addr{&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1).To4(), Port: addr.Port}}
		if addr.IP.To4() == nil {
			m.addrs = append(m.addrs, &net.UDPAddr{IP: net.IPv6loopback, Port: addr.Port})
		}
	}
	m.UDPMuxDefault = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: newHelloRepeater(side), Logger: logs.NewLogger("udpmux")})
	return m, nil
}

// GetListenAddresses implements ice.UDPMux.
func (m *peerMux) GetListenAddresses() []net.Addr { return m.addrs }

// peerCertificate is the node's certificate as pion wants it.
func peerCertificate(c tls.Certificate) (webrtc.Certificate, error) {
	leaf := c.Leaf
	if leaf == nil {
		if len(c.Certificate) == 0 {
			return webrtc.Certificate{}, errors.New("session: no certificate")
		}
		var err error
		if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return webrtc.Certificate{}, fmt.Errorf("session: read own certificate: %w", err)
		}
	}
	return webrtc.CertificateFromX509(c.PrivateKey, leaf), nil
}

// settings are those of one publisher's PeerConnection.
func (i *ingest) settings(in *inbound) webrtc.SettingEngine {
	se := webrtc.SettingEngine{LoggerFactory: i.logs, BufferFactory: in.buffer}
	se.SetLite(true)
	se.SetICEUDPMux(i.udp)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	se.SetIncludeLoopbackCandidate(true)
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	// The mux hears all that comes; see publisher.sweep. Pion's own limits would
	// not tell a publisher that pauses from one that is gone.
	se.SetICETimeouts(0, 0, 0)
	se.SetDTLSInsecureSkipHelloVerify(true) // ICE has verified the address
	se.SetSRTPProtectionProfiles(
		dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	se.SetSRTPReplayProtectionWindow(replayWindow)
	se.SetReceiveMTU(maxPacket)
	return se
}

// newPeer makes the PeerConnection of one publisher. It knows no codec and no
// extension but those of the plan, so that it cannot answer anything else, and
// has no interceptors: retransmissions are asked for by package sfu, reports
// and transport-wide feedback are written by publisher.
func (i *ingest) newPeer(plan *IngestPlan, in *inbound) (*webrtc.PeerConnection, error) {
	var me webrtc.MediaEngine
	for _, c := range plan.Codecs {
		if err := registerCodec(&me, c); err != nil {
			return nil, err
		}
	}
	for _, e := range plan.Extensions {
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if err := me.RegisterHeaderExtension(e, kind, webrtc.RTPTransceiverDirectionRecvonly); err != nil {
				return nil, fmt.Errorf("session: register extension %s: %w", e.URI, err)
			}
		}
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(&me), webrtc.WithSettingEngine(i.settings(in)),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	pc, err := api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{i.peerCert}})
	if err != nil {
		return nil, fmt.Errorf("session: make a peer connection: %w", err)
	}
	return pc, nil
}

func registerCodec(me *webrtc.MediaEngine, c Codec) error {
	kind := webrtc.NewRTPCodecType(mediaKind(c.RTPCodecCapability))
	err := me.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: c.RTPCodecCapability,
		PayloadType:        webrtc.PayloadType(c.PayloadType),
	}, kind)
	if err != nil {
		return fmt.Errorf("session: register %s: %w", c.MimeType, err)
	}
	if c.RTXPayloadType == 0 {
		return nil
	}
	err = me.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType:    webrtc.MimeTypeRTX,
			ClockRate:   c.ClockRate,
			SDPFmtpLine: fmt.Sprintf("apt=%d", c.PayloadType),
		},
		PayloadType: webrtc.PayloadType(c.RTXPayloadType),
	}, kind)
	if err != nil {
		return fmt.Errorf("session: register retransmissions of %s: %w", c.MimeType, err)
	}
	return nil
}

// negotiate lets pion answer an offer and waits until it listens to the ICE
// credentials of its answer, which is returned as pion wrote it.
func negotiate(pc *webrtc.PeerConnection, offer string) (string, error) {
	err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer})
	if err != nil {
		return "", fmt.Errorf("session: hand the offer to pion: %w", err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return "", fmt.Errorf("session: let pion answer: %w", err)
	}
	if err := pc.SetLocalDescription(answer); err != nil {
		return "", fmt.Errorf("session: hand the answer to pion: %w", err)
	}
	select {
	case <-gathered:
		return answer.SDP, nil
	case <-time.After(gatherLimit):
		return "", errGather
	}
}

// forPion makes every m-section announce an SSRC. Where none is announced pion
// takes packets apart by guessing, makes transceivers and probes; inbound knows
// better, and without the guesses pion stays out of the way.
func forPion(offer *sdp.SessionDescription) {
	for n, media := range offer.MediaDescriptions {
		if _, ok := media.Attribute(sdp.AttrKeySSRC); !ok {
			media.WithValueAttribute(sdp.AttrKeySSRC, fmt.Sprintf("%d cname:-", n+1))
		}
	}
}

// withCredentials writes new ICE credentials into an offer.
func withCredentials(offer *sdp.SessionDescription, c credentials) {
	replace := func(attributes []sdp.Attribute) {
		for i := range attributes {
			switch attributes[i].Key {
			case "ice-ufrag":
				attributes[i].Value = c.ufrag
			case "ice-pwd":
				attributes[i].Value = c.pwd
			}
		}
	}
	replace(offer.Attributes)
	for _, media := range offer.MediaDescriptions {
		replace(media.Attributes)
	}
}

// agreed reads from pion's answer which ICE credentials it uses and, by
// section, which header extensions were accepted.
func agreed(answer string) (credentials, [][]extension, error) {
	var parsed sdp.SessionDescription
	if err := parsed.UnmarshalString(answer); err != nil {
		return credentials{}, nil, fmt.Errorf("session: read own answer: %w", err)
	}
	var own credentials
	extensions := make([][]extension, len(parsed.MediaDescriptions))
	for i, media := range parsed.MediaDescriptions {
		if own.ufrag == "" {
			own.ufrag, _ = media.Attribute("ice-ufrag")
			own.pwd, _ = media.Attribute("ice-pwd")
		}
		extensions[i] = parseExtensions(media.Attributes)
	}
	if own.ufrag == "" || own.pwd == "" {
		return own, nil, errors.New("session: own answer has no ICE credentials")
	}
	return own, extensions, nil
}
