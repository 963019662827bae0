package gateway_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// TestHealthyTrafficHasNoCause watches publishers as they are in the wild, and
// their viewers, for 20 s or, with SLUICE_LONG, for 10 minutes: no session may
// show a cause at any moment, nor may the log or the metrics tell of one.
func TestHealthyTrafficHasNoCause(t *testing.T) {
	length := 20 * time.Second
	if os.Getenv("SLUICE_LONG") != "" {
		length = 10 * time.Minute
	}
	r := newRig(t)
	h264 := clip(t, "gop300.h264")
	pausing := func(n int) []byte {
		if n%300 >= 210 { // for 3 of 10 s
			return nil
		}
		return h264(n)
	}
	sessions := map[string]*peer{
		// An encoder with a keyframe every 10 s that ignores requests.
		"keyframes every 10 s": sending(t.Context(), t, r, "seldom", h264, sound),
		"video pauses":         sending(t.Context(), t, r, "pauses", pausing, sound),
		"sound only":           r.publisher(t, "radio", peerOptions{codecs: []string{"opus"}}).connected(t),
		// A browser: keyframes on request only, temporal layers, muted with DTX.
		"keyframes on request": browserLike(t, r, "browser"),
	}
	sessions["sound only"].sends(t, t.Context(), nil, comfort)
	for _, room := range []string{"seldom", "pauses", "radio", "browser"} {
		eventually(t, room+" is on air", func() bool {
			info, err := r.Rooms().Info(room)
			return err == nil && info.Live
		})
		sessions["viewer of "+room] = r.viewer(t, room, peerOptions{codecs: []string{"H264", "VP8", "opus"}}).connected(t)
	}
	// A simulcast, of which viewers see one layer, and which sends without its
	// largest one for the second half of the time, as browsers do.
	simulcast := gatewaytest.PublishLayers(t, r.LocalURL(), "layers", layers()...)
	waitLive(t, r.LocalURL(), "layers")
	gatewaytest.ViewPackets(t, r.LocalURL(), "layers", codecNamed(t, "VP8"))
	half := time.Now().Add(length / 2)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); <-tick.C {
		if time.Now().After(half) {
			simulcast.Pause("b")
		}
		for _, s := range r.Sessions().List() {
			if i := s.Info(); i.Labels.Room == "layers" && (i.Cause != "" || i.State == "silent") {
				t.Fatalf("%s of a simulcast: got the state %q and the cause %q, want none", i.Role, i.State, i.Cause)
			}
		}
		for name, p := range sessions {
			h, ok := r.status(t, p)
			if !ok || h.Cause != nil || h.Advice != nil || h.State == "silent" || h.State == "ended" {
				cause := ""
				if h.Cause != nil {
					cause = *h.Cause
				}
				t.Fatalf("%s (answered: %t): got the state %q and the cause %q, want none", name, ok, h.State, cause)
			}
		}
	}
	for name, p := range sessions {
		if h, _ := r.status(t, p); h.State != "live" {
			t.Errorf("%s is %s at the end, want live", name, h.State)
		}
	}
	if r.log.tells("session in trouble") {
		t.Error("the log tells of trouble")
	}
	if a, err := r.request(t, "GET", r.AdminURL()+"/metrics", "", ""); err != nil || strings.Contains(a.Body, "sluice_session_causes{") {
		t.Errorf("the metrics tell of a cause (%v)", err)
	}
}

// comfort is a microphone that is muted, with discontinuous transmission: a
// packet every 400 ms.
func comfort(n int) []byte {
	if n%20 != 0 {
		return nil
	}
	return sound(n)
}

// browserLike publishes VP8 in three temporal layers, with keyframes when the
// gateway asks for one, beside a muted microphone.
func browserLike(t *testing.T, r *rig, room string) *peer {
	t.Helper()
	o := peerOptions{codecs: []string{"VP8", "opus"}}
	p := newPeer(t, o)
	codec := codecsNamed([]string{"VP8"})[0]
	track, err := webrtc.NewTrackLocalStaticRTP(codec.Parameters.RTPCodecCapability, "video", "faulty")
	if err != nil {
		t.Fatal(err)
	}
	sender, err := p.pc.AddTrack(track)
	if err != nil {
		t.Fatal(err)
	}
	p.addTracks(t, peerOptions{codecs: []string{"opus"}})
	var wanted atomic.Bool
	wanted.Store(true)
	go func() { // ends with the connection
		for {
			packets, _, err := sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, packet := range packets {
				if _, ok := packet.(*rtcp.PictureLossIndication); ok {
					wanted.Store(true)
				}
			}
		}
	}()
	p.open(t, r, "/whip/"+room, o)
	p.connected(t).sends(t, t.Context(), nil, comfort)
	layered(t, codec, track, &wanted)
	return p
}

// layered sends 30 frames a second in the rhythm 0 2 1 2 of temporal layers (RFC
// 7741 section 4.2).
func layered(t *testing.T, codec gatewaytest.Codec, track *webrtc.TrackLocalStaticRTP, wanted *atomic.Bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / 30)
		defer tick.Stop()
		for n := 0; ; n++ {
			layer := [...]byte{0, 2, 1, 2}[n%4]
			key := layer == 0 && wanted.Swap(false)
			descriptor := []byte{0x90, 0x20, layer << 6} // X and S; T
			packet := &rtp.Packet{
				Header:  rtp.Header{Version: 2, Marker: true, SequenceNumber: uint16(n), Timestamp: uint32(n) * 3000},
				Payload: append(descriptor, codec.Frame(n, key)[:50]...),
			}
			if err := track.WriteRTP(packet); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("send: %v", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
}
