package session_test

import (
	"io"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/session"
)

// publishing is a publisher made of a pion PeerConnection, and its session.
type publishing struct {
	t       *testing.T
	pc      *webrtc.PeerConnection
	tracks  map[string]*webrtc.TrackLocalStaticRTP // by kind
	session *session.Session
	seq     uint16

	connected chan struct{}
	incoming  chan *session.IncomingTrack
	closed    chan session.Cause
	reports   atomic.Int32 // sender reports that came

	reported atomic.Uint32 // SSRC of the last receiver report
	arrivals atomic.Int32  // transport-wide feedback packets
}

// publisherOptions say how a publisher differs from the ordinary.
type publisherOptions struct {
	profiles  []dtls.SRTPProtectionProfile
	offer     func(sdp string) string // changes the offer that the table sees
	connected func() error
	v6        bool
	keepalive time.Duration // interval of its checks
	silent    bool          // no reports of its own
	kinds     []string
}

// publish opens a session for a new PeerConnection and lets it connect.
func publish(t *testing.T, table *session.Table, o publisherOptions) *publishing {
	t.Helper()
	p := newPublishing(t, o)
	p.open(table, o)
	return p
}

// open opens the session.
func (p *publishing) open(table *session.Table, o publisherOptions) {
	t := p.t
	t.Helper()
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	text := offer.SDP
	if o.offer != nil {
		text = o.offer(text)
	}
	parsed, err := session.ParseOffer([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.CheckPublish(); err != nil {
		t.Fatal(err)
	}
	p.session, err = table.OpenPublisher(parsed, session.PublisherSetup{
		Labels: session.Labels{Room: "demo", Publication: "main"},
		Connected: func() error {
			defer close(p.connected)
			if o.connected != nil {
				return o.connected()
			}
			return nil
		},
		Track: func(in *session.IncomingTrack) {
			in.OnSenderReport = func(uint64, uint32, time.Time) { p.reports.Add(1) }
			p.incoming <- in
		},
		Closed: func(c session.Cause) { p.closed <- c },
	})
	if err != nil {
		t.Fatal(err)
	}
	p.accept(string(p.session.Answer()))
}

func (p *publishing) accept(answer string) {
	p.t.Helper()
	err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
	if err != nil {
		p.t.Fatalf("answer: %v\n%s", err, answer)
	}
}

// newPublishing makes a PeerConnection that sends Opus and VP8.
func newPublishing(t *testing.T, o publisherOptions) *publishing {
	t.Helper()
	p := &publishing{
		t: t, tracks: make(map[string]*webrtc.TrackLocalStaticRTP),
		connected: make(chan struct{}), incoming: make(chan *session.IncomingTrack, 64), closed: make(chan session.Cause, 1),
	}
	var media webrtc.MediaEngine
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	var chain interceptor.Registry
	if !o.silent {
		if err := webrtc.ConfigureTWCCHeaderExtensionSender(&media, &chain); err != nil {
			t.Fatal(err)
		}
		if err := webrtc.RegisterDefaultInterceptors(&media, &chain); err != nil {
			t.Fatal(err)
		}
	}
	var set webrtc.SettingEngine
	set.SetIncludeLoopbackCandidate(true)
	set.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	set.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if o.v6 {
		conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
		if err != nil {
			t.Skipf("no IPv6 here: %v", err)
		}
		mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn}) // pion does not gather ::1 by itself
		t.Cleanup(func() { _ = mux.Close() })
		set.SetICEUDPMux(mux)
		set.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP6})
	}
	if o.keepalive != 0 {
		set.SetICETimeouts(time.Minute, time.Minute, o.keepalive)
	}
	set.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	set.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	if o.profiles != nil {
		set.SetSRTPProtectionProfiles(o.profiles...)
	}
	var err error
	p.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(set),
		webrtc.WithInterceptorRegistry(&chain)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.pc.GracefulClose() })
	if o.kinds == nil {
		o.kinds = []string{"audio", "video"}
	}
	for _, kind := range o.kinds {
		p.add(kind)
	}
	return p
}

func (p *publishing) add(kind string) {
	p.t.Helper()
	codec := vp8
	if kind == "audio" {
		codec = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	}
	track, err := webrtc.NewTrackLocalStaticRTP(codec, kind, "test")
	if err != nil {
		p.t.Fatal(err)
	}
	sender, err := p.pc.AddTrack(track)
	if err != nil {
		p.t.Fatal(err)
	}
	p.tracks[kind] = track
	go p.watch(sender)
}

// watch reads the feedback to a sender until the PeerConnection ends.
func (p *publishing) watch(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet := packet.(type) {
			case *rtcp.ReceiverReport:
				for _, block := range packet.Reports {
					p.reported.Store(block.SSRC)
				}
			case *rtcp.TransportLayerCC:
				p.arrivals.Add(1)
			}
		}
	}
}

// send writes one packet and returns its sequence number.
func (p *publishing) send(kind, payload string) uint16 {
	p.t.Helper()
	p.seq++
	err := p.tracks[kind].WriteRTP(&rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: p.seq, Timestamp: uint32(p.seq) * 3000, Marker: true},
		Payload: []byte(payload),
	})
	if err != nil {
		p.t.Fatalf("send: %v", err)
	}
	return p.seq
}

// up waits until the session is connected.
func (p *publishing) up() *publishing {
	p.t.Helper()
	select {
	case <-p.connected:
	case c := <-p.closed:
		p.t.Fatalf("ended: %s", c)
	case <-time.After(patience):
		p.t.Fatalf("not connected: %+v", p.session.Info())
	}
	poll(p.t, "publisher's own end connected", func() bool {
		return p.pc.ConnectionState() == webrtc.PeerConnectionStateConnected
	})
	return p
}

// track sends until the track of that kind begins.
func (p *publishing) track(kind string) *session.IncomingTrack {
	p.t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		p.send(kind, "first")
		select {
		case in := <-p.incoming:
			if in.Kind != kind {
				p.t.Fatalf("got a track of kind %s, want %s", in.Kind, kind)
			}
			return in
		case <-tick.C:
		case <-limit:
			p.t.Fatalf("no %s track: %+v", kind, p.session.Info())
		}
	}
}

// read returns packets of a track until ok accepts one.
func (p *publishing) read(in *session.IncomingTrack, ok func(*rtp.Packet) bool) *rtp.Packet {
	p.t.Helper()
	found := make(chan *rtp.Packet, 1)
	go func() {
		defer close(found)
		b := make([]byte, 2048)
		for {
			n, err := in.Read(b)
			if err != nil {
				return
			}
			var packet rtp.Packet
			if err := packet.Unmarshal(b[:n]); err != nil {
				p.t.Errorf("not RTP: %v", err)
				return
			}
			if ok(&packet) {
				packet.Payload = append([]byte(nil), packet.Payload...)
				found <- &packet
				return
			}
		}
	}()
	select {
	case packet := <-found:
		if packet == nil {
			p.t.Fatal("the track ended")
		}
		return packet
	case <-time.After(patience):
		p.t.Fatal("the packet did not come")
	}
	return nil
}

// ended waits for the end of the session.
func (p *publishing) ended(want session.Cause) {
	p.t.Helper()
	select {
	case c := <-p.closed:
		if c != want {
			p.t.Errorf("ended by %q, want %q", c, want)
		}
	case <-time.After(patience):
		p.t.Fatalf("not ended: %+v", p.session.Info())
	}
	<-p.session.Done()
}

var announcements = regexp.MustCompile(`(?m)^a=(ssrc|ssrc-group|msid):.*\r\n`)

// unannounced is an offer that says nothing of SSRCs.
func unannounced(sdp string) string { return announcements.ReplaceAllString(sdp, "") }

// active makes the publisher the DTLS client.
func active(sdp string) string { return strings.ReplaceAll(sdp, "a=setup:actpass", "a=setup:active") }

var ufragLine = regexp.MustCompile(`(?m)^a=ice-ufrag:.*\r\n`)

// otherUFrag is an offer whose sender will not be recognized.
func otherUFrag(sdp string) string { return ufragLine.ReplaceAllString(sdp, "a=ice-ufrag:other\r\n") }

// restart does an ICE restart.
func (p *publishing) restart() {
	p.t.Helper()
	offer, err := p.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.pc.SetLocalDescription(offer); err != nil {
		p.t.Fatal(err)
	}
	parsed, err := session.ParseOffer([]byte(offer.SDP))
	if err != nil {
		p.t.Fatal(err)
	}
	reply, _, err := p.session.Restart(&session.Fragment{UFrag: parsed.UFrag, Pwd: parsed.Pwd})
	if err != nil {
		p.t.Fatal(err)
	}
	f, err := session.ParseFragment(reply)
	if err != nil {
		p.t.Fatal(err)
	}
	answer := p.pc.CurrentRemoteDescription().SDP
	answer = ufragLine.ReplaceAllString(answer, "a=ice-ufrag:"+f.UFrag+"\r\n")
	answer = regexp.MustCompile(`(?m)^a=ice-pwd:.*\r\n`).ReplaceAllString(answer, "a=ice-pwd:"+f.Pwd+"\r\n")
	p.accept(answer)
}
