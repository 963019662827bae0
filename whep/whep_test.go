package whep_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
	"github.com/sluicemedia/sluice/whep"
)

const patience = 20 * time.Second // bounds every wait; none gets near it

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is an endpoint with all that is behind it, served on loopback.
type node struct {
	*whep.Endpoint
	url    string
	client *http.Client
	failed chan error // what Post returned
}

func newNode(t *testing.T) *node {
	t.Helper()
	return newNodeWith(t, sfu.DefaultConfig())
}

func newNodeWith(t *testing.T, cfg sfu.Config) *node {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	n := &node{failed: make(chan error, 16)}
	routes := http.NewServeMux()
	server := httptest.NewServer(routes)
	n.url, n.client = server.URL, server.Client()
	table, err := session.NewTable(session.Config{
		Node: "n1", URL: server.URL, Media: netip.MustParseAddrPort("127.0.0.1:0"),
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	rooms := sfu.NewRooms(cfg, log)
	n.Endpoint = &whep.Endpoint{Rooms: rooms, Sessions: table}
	t.Cleanup(func() {
		n.client.CloseIdleConnections()
		server.Close()
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		rooms.Close()
	})
	refuse := func(w http.ResponseWriter, err error) {
		if err != nil {
			n.failed <- err
			w.WriteHeader(http.StatusConflict)
		}
	}
	routes.HandleFunc("POST /whep/{room}", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, n.Post(w, r, session.Labels{Room: r.PathValue("room")}))
	})
	routes.HandleFunc("GET /s/{id}/events", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, n.GetEvents(w, r, r.PathValue("id")))
	})
	routes.HandleFunc("PATCH /s/{id}", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, table.Patch(w, r, r.PathValue("id")))
	})
	routes.HandleFunc("DELETE /s/{id}", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, table.Delete(w, r, r.PathValue("id")))
	})
	return n
}

// source is a publisher's track that sends keyframes.
type source struct {
	ended chan struct{}
	seq   uint16
}

func (s *source) Read(b []byte) (int, error) {
	select {
	case <-s.ended:
		return 0, io.EOF
	case <-time.After(10 * time.Millisecond):
	}
	s.seq++
	p := rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: s.seq, Timestamp: uint32(s.seq) * 900, SSRC: 7, Marker: true},
		Payload: []byte("\x10\x00\x00\x00\x9d\x01\x2akey"), // a VP8 keyframe as far as its header goes
	}
	return p.MarshalTo(b)
}

func (*source) WriteRTCP([]rtcp.Packet) error { return nil }

// publish puts VP8 on air in the room "demo", until the test ends or end is
// called.
func (n *node) publish(t *testing.T) (end func()) {
	t.Helper()
	claim, err := n.Rooms.Publish("demo", "", sfu.ClaimConfig{Session: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.Start(); err != nil {
		t.Fatal(err)
	}
	src := &source{ended: make(chan struct{})}
	_, err = claim.AddTrack(sfu.TrackConfig{
		Kind: "video", SSRC: 7, Codec: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000},
	}, src)
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() { close(src.ended); claim.Close() })
	t.Cleanup(end)
	poll(t, "the room live", func() bool {
		info, err := n.Rooms.Info("demo")
		return err == nil && info.Live
	})
	return end
}

func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// viewer is a PeerConnection that wants audio and video.
type viewer struct {
	pc      *webrtc.PeerConnection
	packets chan *rtp.Packet
}

func newViewer(t *testing.T) *viewer {
	t.Helper()
	var media webrtc.MediaEngine
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	set := webrtc.SettingEngine{
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	}
	set.SetIncludeLoopbackCandidate(true)
	set.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	set.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	set.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&media), webrtc.WithSettingEngine(set)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		_, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			t.Fatal(err)
		}
	}
	v := &viewer{pc: pc, packets: make(chan *rtp.Packet, 16)}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			select {
			case v.packets <- p:
			default:
			}
		}
	})
	return v
}

// plays waits for some packets in a row.
func (v *viewer) plays(t *testing.T) {
	t.Helper()
	for len(v.packets) > 0 {
		<-v.packets
	}
	limit := time.After(patience)
	for range 5 {
		select {
		case p := <-v.packets:
			if !strings.HasSuffix(string(p.Payload), "key") {
				t.Errorf("got %v", p)
			}
		case <-limit:
			t.Fatal("no media")
		}
	}
}

func (n *node) play(t *testing.T) (*viewer, *whep.ClientSession, error) {
	t.Helper()
	v := newViewer(t)
	s, err := n.playInto(t, v)
	return v, s, err
}

func (n *node) playInto(t *testing.T, v *viewer) (*whep.ClientSession, error) {
	t.Helper()
	c := whep.Client{URL: n.url + "/whep/demo", HTTP: n.client}
	return c.Play(t.Context(), v.pc)
}

func (n *node) gone(t *testing.T) {
	t.Helper()
	poll(t, "all gone", func() bool {
		return len(n.Sessions.List()) == 0 && n.Rooms.Stats().Subscriptions == 0
	})
}

func TestPlay(t *testing.T) {
	n := newNode(t)
	n.publish(t)
	v, s, err := n.play(t)
	if err != nil {
		t.Fatal(err)
	}
	v.plays(t)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatalf("restart: %v", err)
	}
	v.plays(t)
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	n.gone(t)
	poll(t, "close_notify", func() bool { return v.pc.ConnectionState() == webrtc.PeerConnectionStateClosed })
}

// A viewer who waits begins by himself when the publisher comes.
func TestViewerFirst(t *testing.T) {
	n := newNode(t)
	if _, err := n.Rooms.Create("demo", sfu.Settings{Wait: true}); err != nil {
		t.Fatal(err)
	}
	v, _, err := n.play(t)
	if err != nil {
		t.Fatal(err)
	}
	poll(t, "the viewer live", func() bool {
		l := n.Sessions.List()
		return len(l) == 1 && l[0].Info().State == "live"
	})
	n.publish(t)
	v.plays(t)
}

func TestViewerLeaves(t *testing.T) {
	n := newNode(t)
	n.publish(t)
	v, _, err := n.play(t)
	if err != nil {
		t.Fatal(err)
	}
	v.plays(t)
	if err := v.pc.Close(); err != nil {
		t.Fatal(err)
	}
	n.gone(t)
}

func TestRoomDeleted(t *testing.T) {
	n := newNode(t)
	n.publish(t)
	v, _, err := n.play(t)
	if err != nil {
		t.Fatal(err)
	}
	v.plays(t)
	if err := n.Rooms.Delete("demo"); err != nil {
		t.Fatal(err)
	}
	n.gone(t)
	poll(t, "close_notify", func() bool { return v.pc.ConnectionState() == webrtc.PeerConnectionStateClosed })
}

// What is refused leaves neither a session nor a subscription behind.
func TestRefused(t *testing.T) {
	n := newNode(t)
	if _, _, err := n.play(t); err == nil {
		t.Error("a room that is not there was played")
	}
	if err := <-n.failed; !errors.Is(err, sfu.ErrRoomNotFound) && !errors.Is(err, sfu.ErrNotLive) {
		t.Errorf("got %v", err)
	}
	n.publish(t)
	v := newViewer(t)
	offer, err := v.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, mediaType, body string
		want                  error
		problem               string
	}{
		{"media type", "text/plain", offer.SDP, session.ErrMediaType, ""},
		{"not SDP", "application/sdp", "hello", nil, session.ProblemMalformed},
		{"publisher's offer", "application/sdp", strings.ReplaceAll(offer.SDP, "a=recvonly", "a=sendonly"), nil, session.ProblemDirection},
		{"no codec", "application/sdp", strings.ReplaceAll(offer.SDP, "a=rtpmap:", "a=x:"), nil, session.ProblemNoCommonCodec},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := c.body
			if c.name == "no codec" { // those that need no rtpmap
				body = strings.NewReplacer(" 9 0 8\r\n", "\r\n").Replace(body)
			}
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/whep/demo", strings.NewReader(body))
			request.Header.Set("Content-Type", c.mediaType)
			response := httptest.NewRecorder()
			err := n.Post(response, request, session.Labels{Room: "demo"})
			var offer *session.OfferError
			switch {
			case c.want != nil && !errors.Is(err, c.want):
				t.Errorf("got %v, want %v", err, c.want)
			case c.want == nil && (!errors.As(err, &offer) || offer.Problem != c.problem):
				t.Errorf("got %v, want %s", err, c.problem)
			}
			if response.Body.Len() > 0 {
				t.Errorf("wrote %q besides the error", response.Body)
			}
			if len(n.Sessions.List()) > 0 || n.Rooms.Stats().Subscriptions > 0 {
				t.Error("something was left behind")
			}
		})
	}
}
