package whip_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
	"github.com/sluicemedia/sluice/whip"
)

const patience = 20 * time.Second // bounds every wait; none gets near it

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is an endpoint with all that is behind it, served on loopback.
type node struct {
	*whip.Endpoint
	url    string
	client *http.Client
	failed chan error // what Post returned
}

func newNode(t *testing.T) *node {
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
	rooms := sfu.NewRooms(sfu.DefaultConfig(), log)
	n.Endpoint = &whip.Endpoint{Rooms: rooms, Sessions: table}
	t.Cleanup(func() {
		n.client.CloseIdleConnections()
		server.Close()
		if err := table.Close(); err != nil {
			t.Error(err)
		}
		rooms.Close()
	})
	refuse := func(w http.ResponseWriter, err error) {
		if err == nil {
			return
		}
		n.failed <- err
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprintf(w, `{"type":"/problems/refused","detail":%q}`, err)
	}
	routes.HandleFunc("POST /whip/{room}", func(w http.ResponseWriter, r *http.Request) {
		identity := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		refuse(w, n.Post(w, r, session.Labels{Room: r.PathValue("room"), Identity: identity}))
	})
	routes.HandleFunc("POST /elsewhere", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/whip/demo", http.StatusTemporaryRedirect)
	})
	routes.HandleFunc("POST /lost", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/whip/demo", http.StatusFound)
	})
	routes.HandleFunc("PATCH /s/{id}", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, table.Patch(w, r, r.PathValue("id")))
	})
	routes.HandleFunc("DELETE /s/{id}", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, table.Delete(w, r, r.PathValue("id")))
	})
	return n
}

// publisher is a PeerConnection with one VP8 track.
type publisher struct {
	pc    *webrtc.PeerConnection
	track *webrtc.TrackLocalStaticRTP
	seq   uint16
}

func newPublisher(t *testing.T) *publisher {
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
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, "video", "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTrack(track); err != nil {
		t.Fatal(err)
	}
	return &publisher{pc: pc, track: track}
}

// send writes a keyframe.
func (p *publisher) send(t *testing.T) {
	t.Helper()
	p.seq++
	err := p.track.WriteRTP(&rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: p.seq, Timestamp: uint32(p.seq) * 3000, Marker: true},
		Payload: []byte("\x10\x00key"),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// goesLive sends until the room is live from that publisher.
func (n *node) goesLive(t *testing.T, p *publisher, s *whip.ClientSession) {
	t.Helper()
	poll(t, "the room live", func() bool {
		p.send(t)
		info, err := n.Rooms.Info("demo")
		return err == nil && info.Live && strings.Contains(s.Location(), "/s/"+info.Publications[0].Session)
	})
}

// gone waits until no session and no publication is left.
func (n *node) gone(t *testing.T) {
	t.Helper()
	poll(t, "all gone", func() bool {
		return len(n.Sessions.List()) == 0 && n.Rooms.Stats().Publications == 0
	})
}

// ended checks that one publisher's session ended, for that cause.
func (n *node) ended(t *testing.T, want session.Cause) {
	t.Helper()
	if got := n.Sessions.Stats().Ended[session.RolePublisher]; len(got) != 1 || got[want] != 1 {
		t.Errorf("publishers' sessions ended by cause: got %v, want one %q", got, want)
	}
}

func (n *node) connect(t *testing.T, path, token string) (*publisher, *whip.ClientSession, error) {
	t.Helper()
	p := newPublisher(t)
	c := whip.Client{URL: n.url + path, Token: token, HTTP: n.client}
	s, err := c.Publish(t.Context(), p.pc)
	return p, s, err
}

func TestPublish(t *testing.T) {
	for _, path := range []string{"/whip/demo", "/elsewhere"} {
		t.Run(path, func(t *testing.T) {
			n := newNode(t)
			p, s, err := n.connect(t, path, "alice")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(s.Location(), n.url+"/s/n1.") || !strings.HasPrefix(s.ETag(), `"`) {
				t.Errorf("Location %q, ETag %q", s.Location(), s.ETag())
			}
			n.goesLive(t, p, s)
			info, err := n.Rooms.Info("demo")
			if err != nil {
				t.Fatal(err)
			}
			got := info.Publications[0]
			if got.Name != "main" || got.Identity != "alice" || len(got.Tracks) != 1 || got.Tracks[0].Codec != "VP8" {
				t.Errorf("got %+v", got)
			}
			if err := s.Trickle(t.Context()); err != nil {
				t.Errorf("trickle: %v", err)
			}
			before := s.ETag()
			if err := s.Restart(t.Context()); err != nil {
				t.Fatalf("restart: %v", err)
			}
			if s.ETag() == before {
				t.Error("the ETag is the same after an ICE restart")
			}
			packets := n.Rooms.Stats().Packets
			poll(t, "media after the restart", func() bool {
				p.send(t)
				return n.Rooms.Stats().Packets > packets+5
			})
			for range 2 { // OBS says DELETE again when it exits
				if err := s.Close(t.Context()); err != nil {
					t.Errorf("close: %v", err)
				}
			}
			n.gone(t)
			poll(t, "close_notify", func() bool { return p.pc.ConnectionState() == webrtc.PeerConnectionStateClosed })
		})
	}
}

// A publisher who took over ends the session of the one before.
func TestTakeover(t *testing.T) {
	n := newNode(t)
	p1, s1, err := n.connect(t, "/whip/demo", "alice")
	if err != nil {
		t.Fatal(err)
	}
	n.goesLive(t, p1, s1)
	var refused *whip.ResponseError
	if _, _, err := n.connect(t, "/whip/demo", "bob"); !errors.As(err, &refused) {
		t.Fatalf("another's publication: %v, want a refusal", err)
	}
	if refused.Status != http.StatusConflict || refused.Problem != "refused" || refused.RetryAfter != 3*time.Second {
		t.Errorf("got %+v", refused)
	}
	if err := <-n.failed; !errors.Is(err, sfu.ErrPublicationBusy) {
		t.Errorf("got %v, want ErrPublicationBusy", err)
	}
	p2, s2, err := n.connect(t, "/whip/demo", "alice")
	if err != nil {
		t.Fatal(err)
	}
	n.goesLive(t, p2, s2)
	poll(t, "the first publisher sent away", func() bool {
		return p1.pc.ConnectionState() == webrtc.PeerConnectionStateClosed
	})
	if l := n.Sessions.List(); len(l) != 1 || l[0].Info().State != "live" {
		t.Errorf("%d sessions, want the second alone", len(l))
	}
	n.ended(t, session.CauseReplaced)
}

func TestRoomDeleted(t *testing.T) {
	n := newNode(t)
	p, s, err := n.connect(t, "/whip/demo", "")
	if err != nil {
		t.Fatal(err)
	}
	n.goesLive(t, p, s)
	if err := n.Rooms.Delete("demo"); err != nil {
		t.Fatal(err)
	}
	n.gone(t)
	n.ended(t, session.CauseRoomEnded)
}

func TestPublisherLeaves(t *testing.T) {
	n := newNode(t)
	p, s, err := n.connect(t, "/whip/demo", "")
	if err != nil {
		t.Fatal(err)
	}
	n.goesLive(t, p, s)
	if err := p.pc.Close(); err != nil {
		t.Fatal(err)
	}
	n.gone(t)
}

// What is refused leaves neither a session nor a claim behind.
func TestRefused(t *testing.T) {
	n := newNode(t)
	p := newPublisher(t)
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, room, mediaType, body string
		want                        error
		problem                     string
	}{
		{"media type", "demo", "text/plain", offer.SDP, session.ErrMediaType, ""},
		{"not SDP", "demo", "application/sdp", "hello", nil, session.ProblemMalformed},
		{"viewer's offer", "demo", "application/sdp", strings.ReplaceAll(offer.SDP, "a=sendrecv", "a=recvonly"), nil, session.ProblemDirection},
		{"no codec", "demo", "application/sdp", strings.ReplaceAll(offer.SDP, "a=rtpmap:", "a=x:"), nil, session.ProblemNoCommonCodec},
		{"name of the room", ".demo", "application/sdp", offer.SDP, sfu.ErrName, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/whip/x", strings.NewReader(c.body))
			request.Header.Set("Content-Type", c.mediaType)
			response := httptest.NewRecorder()
			err := n.Post(response, request, session.Labels{Room: c.room})
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
			if len(n.Sessions.List()) > 0 || n.Rooms.Stats().Publications > 0 {
				t.Error("something was left behind")
			}
		})
	}
}

// brokenWriter fails as when the client has gone.
type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAnswerNotDelivered(t *testing.T) {
	n := newNode(t)
	p := newPublisher(t)
	offer, err := p.pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/whip/demo", strings.NewReader(offer.SDP))
	request.Header.Set("Content-Type", "application/sdp")
	if err := n.Post(brokenWriter{httptest.NewRecorder()}, request, session.Labels{Room: "demo"}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	n.gone(t)
}

func TestClientRefusesToLoseTheOffer(t *testing.T) {
	n := newNode(t)
	if _, _, err := n.connect(t, "/lost", ""); err == nil {
		t.Error("a redirect that turns POST into GET was followed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := whip.Client{URL: n.url + "/whip/demo", HTTP: n.client}
	if _, err := c.Publish(ctx, newPublisher(t).pc); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
	n.gone(t)
}

// What package sfu finds wrong is a cause that sessions can have.
func TestTroublesAreCauses(t *testing.T) {
	for _, trouble := range []sfu.Trouble{
		sfu.NoRTP, sfu.Silent, sfu.NoVideo, sfu.NoKeyframe, sfu.BFrames, sfu.ProfileDiffers, sfu.NotLive, sfu.CodecRefused,
	} {
		if _, ok := session.Cause(trouble).Advice(); !ok {
			t.Errorf("%s is not of the closed list", trouble)
		}
	}
}
