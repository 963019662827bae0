package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/sluicemedia/sluice/whep"
	"github.com/sluicemedia/sluice/whip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// start runs the program until the test ends and returns its base URL.
func start(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { // waited for by the cleanup through ended
		ended <- run(ctx, "127.0.0.1:0", "127.0.0.1:0", w)
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("run did not return")
		}
		http.DefaultClient.CloseIdleConnections()
	})
	lines := bufio.NewScanner(r)
	var address string
	for range 2 {
		if !lines.Scan() {
			t.Fatalf("the program said only %q", address)
		}
		if rest, ok := strings.CutPrefix(lines.Text(), "http "); ok {
			address = rest
		}
	}
	return "http://" + address
}

func connection(t *testing.T) *webrtc.PeerConnection {
	t.Helper()
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	engine := &webrtc.MediaEngine{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	return pc
}

// publisher sends a packet every 5 ms and counts keyframe requests.
type publisher struct {
	*whip.ClientSession
	asked chan struct{}
}

func publish(t *testing.T, base string) *publisher {
	t.Helper()
	pc := connection(t)
	p := &publisher{asked: make(chan struct{}, 64)}
	var work sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		if err := pc.Close(); err != nil {
			t.Error(err)
		}
		work.Wait()
	})
	for i, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeOpus} {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, fmt.Sprint(i), "test")
		if err != nil {
			t.Fatal(err)
		}
		sender, err := pc.AddTrack(track)
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() { p.listen(sender) })
		work.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for n := uint16(0); ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				// It fails before the connection is up; then the next one counts.
				_ = track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: n, Marker: true}, Payload: []byte("payload of " + mime)})
			}
		})
	}
	client := whip.Client{URL: base + "/whip"}
	var err error
	if p.ClientSession, err = client.Publish(t.Context(), pc); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *publisher) listen(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, ok := packet.(*rtcp.PictureLossIndication); ok {
				select {
				case p.asked <- struct{}{}:
				default:
				}
			}
		}
	}
}

// viewer tells what it got.
type viewer struct {
	*whep.ClientSession
	pc   *webrtc.PeerConnection
	got  chan *rtp.Packet
	gone chan struct{} // closed when its connection is closed
}

func play(t *testing.T, base string) *viewer {
	t.Helper()
	v := &viewer{pc: connection(t), got: make(chan *rtp.Packet, 64), gone: make(chan struct{})}
	var reading sync.WaitGroup
	t.Cleanup(func() {
		if err := v.pc.Close(); err != nil {
			t.Error(err)
		}
		reading.Wait()
	})
	v.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		reading.Go(func() {
			for {
				packet, _, err := track.ReadRTP()
				if err != nil {
					return
				}
				select {
				case v.got <- packet:
				default:
				}
			}
		})
	})
	v.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateClosed || s == webrtc.PeerConnectionStateFailed || s == webrtc.PeerConnectionStateDisconnected {
			select {
			case <-v.gone:
			default:
				close(v.gone)
			}
		}
	})
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := v.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	client := whep.Client{URL: base + "/whep"}
	var err error
	if v.ClientSession, err = client.Play(t.Context(), v.pc); err != nil {
		t.Fatal(err)
	}
	return v
}

// await takes from a channel until ok says yes.
func await[T any](t *testing.T, what string, from <-chan T, ok func(T) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case v := <-from:
			if ok(v) {
				return
			}
		case <-deadline:
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

func always[T any](T) bool { return true }

// TestForwards has a broadcast with two viewers: both tracks reach both, a
// viewer who joins and one who lost a picture have a keyframe asked for, and
// the end of one disturbs nobody else.
func TestForwards(t *testing.T) {
	base := start(t)
	p := publish(t, base)
	// The broadcast has its tracks when their first packets have come.
	var first *viewer
	for deadline := time.Now().Add(patience); ; {
		first = play(t, base)
		if strings.Count(first.pc.RemoteDescription().SDP, "a=msid:naive ") == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no viewer is offered both tracks")
		}
	}
	await(t, "keyframe request for a viewer who joins", p.asked, always)
	second := play(t, base)
	for _, v := range []*viewer{first, second} {
		for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeOpus} {
			await(t, "packet of "+mime, v.got, func(packet *rtp.Packet) bool {
				return bytes.Equal(packet.Payload, []byte("payload of "+mime))
			})
		}
	}

	for len(p.asked) > 0 {
		<-p.asked
	}
	if err := second.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(second.pc.GetReceivers()[0].Track().SSRC())}}); err != nil {
		t.Fatal(err)
	}
	await(t, "keyframe request for a viewer's loss", p.asked, always)

	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "end of the first viewer's connection", first.gone, always)
	for len(second.got) > 0 {
		<-second.got
	}
	await(t, "packet after another viewer has left", second.got, always)
}

func TestRefuses(t *testing.T) {
	base := start(t)
	for _, test := range []struct {
		method, path, body string
		want               int
	}{
		{http.MethodPost, "/whip", "no offer", http.StatusBadRequest},
		{http.MethodPost, "/whep", strings.Repeat("x", maxOffer+1), http.StatusBadRequest},
		{http.MethodDelete, "/session/1000", "", http.StatusNotFound},
		{http.MethodGet, "/whip", "", http.StatusMethodNotAllowed},
	} {
		r, err := http.NewRequestWithContext(t.Context(), test.method, base+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != test.want {
			t.Errorf("%s %s: got %d, want %d", test.method, test.path, response.StatusCode, test.want)
		}
	}
}

func TestRunTellsWhyItCannot(t *testing.T) {
	for _, test := range [][2]string{{"127.0.0.1:0", "nowhere"}, {"127.0.0.1:0", "203.0.113.1:1"}, {"203.0.113.1:1", "127.0.0.1:0"}} {
		if err := run(t.Context(), test[0], test[1], io.Discard); err == nil {
			t.Errorf("run(%q, %q) returned no error", test[0], test[1])
		}
	}
}
