//go:build e2e && linux

package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// A publisher stops and returns: first as another ffmpeg with other SSRCs, then
// as a browser with another codec. The viewer goes on in the session it has.
func TestE2EPublisherReturns(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	first := gatewaytest.StartFFmpeg(t, node.URL+"/whip/demo", gatewaytest.FFmpegOptions{})
	awaitRoom(t, node, "demo") // else the page would ask more than once
	viewer := b.Open(node.URL+"/play/demo", gatewaytest.PageOptions{})
	viewer.WaitFrames(30, joinLimit)

	_ = first.Stop() // ffmpeg's status tells of its own end, not of ours
	second := gatewaytest.StartFFmpeg(t, node.URL+"/whip/demo", gatewaytest.FFmpegOptions{})
	goesOn(t, viewer, "video/H264", second.Frames)

	_ = second.Stop()
	third := onAir(t, b, node.URL+"/publish/demo?auto=1&codec=vp8&width=640&height=360&fps=30")
	goesOn(t, viewer, "video/VP8", encoded(third))
	checkQuiet(t, viewer, third)
}

// goesOn waits for frames of the codec and looks at some steady seconds.
func goesOn(t *testing.T, viewer *gatewaytest.Page, codec string, sent func() int) {
	t.Helper()
	was := viewer.Report().In("video").FramesDecoded
	viewer.Wait("frames of the new publisher", joinLimit, func(r gatewaytest.Report) bool {
		return r.In("video").Codec == codec && r.In("video").FramesDecoded > was+30
	})
	pause(t, 2*time.Second) // caught up with live
	from, before := sent(), viewer.Report()
	pause(t, 4*time.Second)
	to, after := sent(), viewer.Report()
	checkPlays(t, []window{between(before, after)}, to-from)
	if after.Posts != 1 || after.Connections != 1 {
		t.Errorf("the viewer has made %d POSTs and %d connections, want 1 each", after.Posts, after.Connections)
	}
}

// ICE restarts in mid-play: of the viewer, then of the publisher.
func TestE2EICERestart(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	publisher := onAir(t, b, node.URL+"/publish/demo?auto=1&codec=vp8&width=640&height=360&fps=30")
	viewer := b.Open(node.URL+"/play/demo", gatewaytest.PageOptions{})
	viewer.WaitFrames(60, joinLimit)
	for _, tt := range []struct {
		name string
		page *gatewaytest.Page
	}{{"viewer", viewer}, {"publisher", publisher}} {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.page.Report()
			began := time.Now()
			tt.page.RestartICE()
			after := tt.page.Wait("connection after the restart", joinLimit, func(r gatewaytest.Report) bool { return r.State == "connected" })
			if ufrag(before.Answer) == ufrag(after.Answer) || ufrag(before.Offer) == ufrag(after.Offer) {
				t.Error("the credentials did not change: ICE was not restarted")
			}
			n := viewer.Report().Callbacks
			viewer.WaitFrames(n+60, joinLimit)
			frames := viewer.Frames()
			last := began.Add(-time.Second) // not older: before, nothing is promised
			var longest time.Duration
			for _, f := range frames {
				if f.At.After(last) {
					longest = max(longest, f.At.Sub(last))
					last = f.At
				}
			}
			t.Logf("longest time without a frame: %v", longest)
			if longest > time.Second {
				t.Errorf("%v without a frame, want at most 1 s", longest)
			}
			if tt.page.Report().Posts != 1 {
				t.Error("the page made a new session instead of restarting")
			}
		})
	}
	checkQuiet(t, viewer, publisher)
}

func ufrag(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// SIGTERM with fifty viewers: each is told, and the node has ended within two
// seconds.
func TestE2EStop(t *testing.T) {
	const viewers, limit = 50, 2 * time.Second
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	gatewaytest.StartFFmpeg(t, node.URL+"/whip/demo", gatewaytest.FFmpegOptions{Size: "320x180", Bitrate: "100k"})
	awaitRoom(t, node, "demo")
	told := make(chan time.Time, viewers)
	for range viewers {
		joinPion(t, node.URL+"/whep/demo", func() { told <- time.Now() })
	}
	began := time.Now()
	if err := node.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-node.Done():
		took := time.Since(began)
		t.Logf("ended after %v", took)
		if err := node.Err(); err != nil {
			t.Errorf("exit: %v", err)
		}
		if took > limit {
			t.Errorf("ended after %v, want %v", took, limit)
		}
	case <-time.After(joinLimit):
		t.Fatal("the node does not end")
	}
	// close_notify was sent before the end; what pion needs to notice it is
	// not ours, but a consent timeout takes it five seconds at least.
	deadline := time.After(3 * time.Second)
	for n := range viewers {
		select {
		case <-told:
		case <-deadline:
			t.Fatalf("%d of %d viewers were told", n, viewers)
		}
	}
}

// joinPion plays with pion and calls closed when the gateway has sent
// close_notify. It returns when media came.
func joinPion(t *testing.T, url string, closed func()) {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	media := make(chan struct{}, 2)
	pc.OnTrack(func(*webrtc.TrackRemote, *webrtc.RTPReceiver) { media <- struct{}{} })
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	resp, err := http.Post(url, "application/sdp", strings.NewReader(pc.LocalDescription().SDP))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST: %s %v: %s", resp.Status, err, answer)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-media:
	case <-time.After(joinLimit):
		t.Fatal("no media")
	}
	pc.SCTP().Transport().OnStateChange(func(s webrtc.DTLSTransportState) {
		if s == webrtc.DTLSTransportStateClosed {
			closed()
		}
	})
}

// awaitRoom waits until a room is on air.
func awaitRoom(t *testing.T, node *gatewaytest.Binary, room string) {
	t.Helper()
	for deadline := time.Now().Add(joinLimit); ; pause(t, 50*time.Millisecond) {
		resp, err := http.Get(node.URL + "/v1/rooms/" + room)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && strings.Contains(string(text), `"live":true`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not live: %s %s", room, resp.Status, text)
		}
	}
}
