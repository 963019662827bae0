package session_test

import (
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
	"github.com/sluicemedia/sluice/session"
)

// patience bounds every wait of these tests; none of them gets near it.
const patience = 20 * time.Second

var vp8 = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}

// newTable opens a table on loopback and closes it with the test.
func newTable(t *testing.T, change func(*session.Config)) *session.Table {
	t.Helper()
	cfg := session.Config{Node: "n1", Media: netip.MustParseAddrPort("127.0.0.1:0")}
	if change != nil {
		change(&cfg)
	}
	table, err := session.NewTable(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return table
}

// viewing is a viewer made of a pion PeerConnection, and its session.
type viewing struct {
	t       *testing.T
	pc      *webrtc.PeerConnection
	session *session.Session
	table   *session.Table

	connected chan *egress.Viewer
	sections  []session.ViewerSection // valid once connected
	closed    chan session.Cause
	packets   chan *rtp.Packet
	source    *source
}

// viewerOptions say how a viewer differs from the ordinary.
type viewerOptions struct {
	profiles  []dtls.SRTPProtectionProfile
	offer     func(sdp string) string // changes the offer that the table sees
	answer    func(sdp string) string // changes the answer that the viewer sees
	connected func()                  // runs inside the callback
}

// view opens a session for a new PeerConnection and lets it connect.
func view(t *testing.T, table *session.Table, o viewerOptions) *viewing {
	t.Helper()
	w := &viewing{
		t: t, table: table, pc: newPeer(t, o),
		connected: make(chan *egress.Viewer, 1), closed: make(chan session.Cause, 1),
		packets: make(chan *rtp.Packet, 64), source: &source{},
	}
	w.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			select {
			case w.packets <- p:
			default:
			}
		}
	})
	offer, err := w.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.pc.SetLocalDescription(offer); err != nil {
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
	w.session, err = table.OpenViewer(parsed, session.ViewerSetup{
		Labels: session.Labels{Room: "demo", Publication: "main"},
		Prefer: []webrtc.RTPCodecCapability{vp8},
		Connected: func(v *egress.Viewer, sections []session.ViewerSection) {
			w.sections = sections
			w.bind(v)
			if o.connected != nil {
				o.connected()
			}
			w.connected <- v
		},
		Closed: func(c session.Cause) { w.closed <- c },
	})
	if err != nil {
		t.Fatal(err)
	}
	answer := string(w.session.Answer())
	if o.answer != nil {
		answer = o.answer(answer)
	}
	if err := w.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatalf("answer: %v\n%s", err, answer)
	}
	return w
}

// newPeer makes a PeerConnection that wants audio and video.
func newPeer(t *testing.T, o viewerOptions) *webrtc.PeerConnection {
	t.Helper()
	var media webrtc.MediaEngine
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	var set webrtc.SettingEngine
	set.SetIncludeLoopbackCandidate(true)
	set.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	set.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	set.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	set.LoggerFactory = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	if o.profiles != nil {
		set.SetSRTPProtectionProfiles(o.profiles...)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(set)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	return pc
}

// source is a video track without a past.
type source struct {
	seq   uint64
	asked atomic.Int64 // keyframe requests
}

func (*source) Packet(uint64) *egress.Packet      { return nil }
func (*source) Clock(time.Time) (uint32, bool)    { return 0, false }
func (*source) Expected(time.Time) (uint32, bool) { return 0, false }
func (*source) Timeline() any                     { return nil }
func (s *source) RequestKeyframe()                { s.asked.Add(1) }

func (w *viewing) bind(v *egress.Viewer) {
	s := v.Stream("video")
	if s == nil {
		w.t.Error("no video stream")
		return
	}
	for _, section := range w.sections {
		if f, ok := section.Format(vp8); ok {
			s.Bind(w.source, f, nil)
			return
		}
	}
	w.t.Error("no VP8 in the answer")
}

// send writes one keyframe of one packet.
func (w *viewing) send(v *egress.Viewer, payload string) {
	w.source.seq++
	v.Stream("video").Write(&egress.Packet{
		Seq: 1<<16 + w.source.seq, Timestamp: uint32(w.source.seq) * 3000, Marker: true, Key: true,
		Payload: []byte("\x10\x00" + payload), Arrived: time.Now(),
	})
}

// up waits until the session is connected.
func (w *viewing) up() *egress.Viewer {
	w.t.Helper()
	select {
	case v := <-w.connected:
		return v
	case c := <-w.closed:
		w.t.Fatalf("ended: %s", c)
	case <-time.After(patience):
		w.t.Fatalf("not connected: %+v, %+v", w.session.Info(), w.table.Stats())
	}
	return nil
}

// ended waits for the end of the session.
func (w *viewing) ended(want session.Cause) {
	w.t.Helper()
	select {
	case c := <-w.closed:
		if c != want {
			w.t.Errorf("ended by %q, want %q", c, want)
		}
	case <-time.After(patience):
		w.t.Fatalf("not ended: %+v", w.session.Info())
	}
	<-w.session.Done()
	if _, err := w.table.Find(w.session.ID()); err == nil {
		w.t.Error("an ended session is still found")
	}
	if !w.table.Ended(w.session.ID()) {
		w.t.Error("the end is not remembered")
	}
}

// plays sends frames until the viewer has one of them.
func (w *viewing) plays(v *egress.Viewer, payload string) {
	w.t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case p := <-w.packets:
			if strings.HasSuffix(string(p.Payload), payload) {
				return
			}
		case <-tick.C:
			w.send(v, payload)
		case <-limit:
			w.t.Fatalf("no media: %+v", v.Stats())
		}
	}
}

// poll waits until ok says so.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(limit) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// transport waits for a state of the viewer's DTLS transport. Failed may have
// become closed by the time anybody looks.
func (w *viewing) transport(want webrtc.DTLSTransportState) {
	w.t.Helper()
	poll(w.t, "DTLS transport "+want.String(), func() bool {
		got := w.pc.GetTransceivers()[0].Receiver().Transport().State()
		return got == want || want == webrtc.DTLSTransportStateFailed && got == webrtc.DTLSTransportStateClosed
	})
}
