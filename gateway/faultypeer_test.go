package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// What a wire may lose.
const (
	loseSTUN uint32 = 1 << iota
	loseDTLS
	loseMedia
)

// faultyConn loses datagrams of some kinds, both ways.
type faultyConn struct {
	net.PacketConn
	lose *atomic.Uint32
}

func (c faultyConn) loses(b []byte) bool {
	kind := loseMedia
	switch {
	case len(b) == 0:
		return false
	case b[0] < 4:
		kind = loseSTUN
	case b[0] >= 20 && b[0] < 64:
		kind = loseDTLS
	}
	return c.lose.Load()&kind != 0
}

func (c faultyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := c.PacketConn.ReadFrom(b)
		if err != nil || !c.loses(b[:n]) {
			return n, addr, err
		}
	}
}

func (c faultyConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if c.loses(b) {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, addr)
}

// rig is a node with a log that the test reads.
type rig struct {
	*gatewaytest.Node
	log *journal
}

func newRig(t *testing.T, options ...func(*gateway.Config)) *rig {
	t.Helper()
	cfg := onLoopback(t)
	cfg.Open = true
	for _, o := range options {
		o(&cfg)
	}
	r := &rig{log: &journal{}}
	r.Node = gatewaytest.Run(t, cfg, slog.New(slog.NewTextHandler(r.log, nil)))
	return r
}

// request sends a request and reads the answer; a body is an offer.
// Any goroutine may use it.
func (r *rig) request(t *testing.T, method, url, token, body string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/sdp")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // it was read, or failed
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// health is what the API shows of a session.
type health struct {
	ID, Role, State string
	Cause           *string
	Advice          *struct{ Title, Next, Type string }
}

// status asks a session how it is.
func (r *rig) status(t *testing.T, p *peer) (h health, ok bool) {
	t.Helper()
	a, err := r.request(t, http.MethodGet, p.location+"/status", "", "")
	if err != nil || a.StatusCode != http.StatusOK {
		return h, false // a node that has stopped, for one
	}
	return h, json.Unmarshal([]byte(a.Body), &h) == nil
}

// metric is the value of one series of /metrics; -1: there is none.
func (r *rig) metric(t *testing.T, series string) float64 {
	t.Helper()
	a, err := r.request(t, http.MethodGet, r.AdminURL()+"/metrics", "", "")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(a.Body) {
		if text, ok := strings.CutPrefix(line, series+" "); ok {
			var v float64
			if _, err := fmt.Sscan(text, &v); err != nil {
				return -1
			}
			return v
		}
	}
	return -1
}

// peerOptions say what is wrong with a peer.
type peerOptions struct {
	codecs   []string            // by name; nil: H264 and opus
	offer    func(string) string // changes the offer that the gateway sees
	answer   func(string) string // changes the answer that the peer sees
	lose     uint32              // from the beginning
	profiles []dtls.SRTPProtectionProfile
	deaf     bool   // never learns the answer
	token    string // of the POST
}

// peer is a publisher or a viewer made of a PeerConnection.
type peer struct {
	pc       *webrtc.PeerConnection
	location string
	up       chan struct{} // closed when connected
	lose     atomic.Uint32
	tracks   map[string]*webrtc.TrackLocalStaticSample // by kind; publishers only
}

func codecsNamed(names []string) (list []gatewaytest.Codec) {
	if names == nil {
		names = []string{"H264", "opus"}
	}
	for _, c := range gatewaytest.Codecs() {
		for _, name := range names {
			if c.Name == name {
				list = append(list, c)
			}
		}
	}
	return list
}

// newPeer makes the connection; nothing is offered yet.
func newPeer(t *testing.T, o peerOptions) *peer {
	t.Helper()
	p := &peer{up: make(chan struct{}), tracks: map[string]*webrtc.TrackLocalStaticSample{}}
	p.lose.Store(o.lose)
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	mux := webrtc.NewICEUDPMux(quiet.NewLogger("mux"), faultyConn{socket, &p.lose})
	settings := webrtc.SettingEngine{LoggerFactory: quiet}
	settings.SetICEUDPMux(mux)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if o.profiles != nil {
		settings.SetSRTPProtectionProfiles(o.profiles...)
	}
	engine := &webrtc.MediaEngine{}
	for _, c := range codecsNamed(o.codecs) {
		if err := engine.RegisterCodec(c.Parameters, c.Kind); err != nil {
			t.Fatal(err)
		}
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	if p.pc, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.pc.GracefulClose(); err != nil {
			t.Errorf("close: %v", err)
		}
		_ = mux.Close() // of a socket that nobody uses any more
	})
	var once sync.Once
	p.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(p.up) })
		}
	})
	return p
}

// open offers and, unless the peer is deaf, applies the answer.
func (p *peer) open(t *testing.T, r *rig, path string, o peerOptions) {
	t.Helper()
	sdp := p.offer(t)
	if o.offer != nil {
		sdp = o.offer(sdp)
	}
	a, err := r.request(t, http.MethodPost, r.LocalURL()+path, o.token, sdp)
	if err != nil || a.StatusCode != http.StatusCreated {
		t.Fatalf("%s: got %d %s (%v)", path, a.StatusCode, a.Body, err)
	}
	p.location = a.Header.Get("Location")
	if o.deaf {
		return
	}
	text := a.Body
	if o.answer != nil {
		text = o.answer(text)
	}
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text}); err != nil {
		t.Fatalf("answer: %v\n%s", err, text)
	}
}

func (p *peer) offer(t *testing.T) string {
	t.Helper()
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return p.pc.LocalDescription().SDP
}

// publisher opens a publisher's session.
func (r *rig) publisher(t *testing.T, room string, o peerOptions) *peer {
	t.Helper()
	p := newPeer(t, o)
	p.addTracks(t, o)
	p.open(t, r, "/whip/"+room, o)
	return p
}

func (p *peer) addTracks(t *testing.T, o peerOptions) {
	t.Helper()
	for _, c := range codecsNamed(o.codecs) {
		track, err := webrtc.NewTrackLocalStaticSample(c.Parameters.RTPCodecCapability, c.Kind.String(), "faulty")
		if err != nil {
			t.Fatal(err)
		}
		sender, err := p.pc.AddTrack(track)
		if err != nil {
			t.Fatal(err)
		}
		go drainSender(sender) // ends with the connection
		p.tracks[c.Kind.String()] = track
	}
}

// drainSender throws away what the gateway asks for: keyframe requests, too.
func drainSender(s *webrtc.RTPSender) {
	for {
		if _, _, err := s.ReadRTCP(); err != nil {
			return
		}
	}
}

// viewer opens a viewer's session.
func (r *rig) viewer(t *testing.T, room string, o peerOptions) *peer {
	t.Helper()
	p := newPeer(t, o)
	asked := map[webrtc.RTPCodecType]bool{}
	for _, c := range codecsNamed(o.codecs) {
		if asked[c.Kind] {
			continue
		}
		asked[c.Kind] = true
		_, err := p.pc.AddTransceiverFromKind(c.Kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			t.Fatal(err)
		}
	}
	p.open(t, r, "/whep/"+room, o)
	return p
}

// connected waits for the connection.
func (p *peer) connected(t *testing.T) *peer {
	t.Helper()
	select {
	case <-p.up:
		return p
	case <-time.After(45 * time.Second): // a busy machine
		t.Fatal("the peer does not connect")
		return nil
	}
}

// sends sends until the test ends, or the context: video with 30 and sound with
// 50 frames a second, nil for none. A nil frame is left out.
func (p *peer) sends(t *testing.T, ctx context.Context, video, sound func(n int) []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	t.Cleanup(func() { cancel(); sending.Wait() })
	for kind, frame := range map[string]func(int) []byte{"video": video, "audio": sound} {
		track, interval := p.tracks[kind], time.Second/30
		if kind == "audio" {
			interval = 20 * time.Millisecond
		}
		if frame == nil || track == nil {
			continue
		}
		sending.Go(func() {
			tick := time.NewTicker(interval)
			defer tick.Stop()
			for n, began := 0, time.Now(); ; {
				for ; time.Duration(n)*interval <= time.Since(began); n++ { // a busy machine leaves ticks out
					if data := frame(n); data != nil {
						_ = track.WriteSample(media.Sample{Data: data, Duration: interval}) // fails once the connection is closed
					}
				}
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
}

// clip reads the frames of a clip and plays them for ever.
func clip(t *testing.T, name string) func(n int) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "sfu", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return gatewaytest.LoopH264(b)
}

func sound(n int) []byte { return []byte{0xfc, byte(n), byte(n >> 8), 0xff} }

// Changes of an SDP.

func otherFingerprint(sdp string) string {
	return regexp.MustCompile(`(a=fingerprint:sha-256 )(..)`).ReplaceAllStringFunc(sdp, func(s string) string {
		if strings.HasSuffix(s, "00") {
			return s[:len(s)-2] + "01"
		}
		return s[:len(s)-2] + "00"
	})
}

func otherPassword(sdp string) string {
	return regexp.MustCompile(`a=ice-pwd:\S+`).ReplaceAllString(sdp, "a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaaaa")
}

// renumber replaces a payload type.
func renumber(from, to string) func(string) string {
	at := regexp.MustCompile(`(m=video .*|a=(?:rtpmap|fmtp|rtcp-fb):)\b` + from + `\b`)
	return func(sdp string) string { return at.ReplaceAllString(sdp, "${1}"+to) }
}
