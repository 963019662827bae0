package gateway_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// patience bounds every wait for an event in these tests.
const patience = 20 * time.Second

// TestFramesArriveUnchanged publishes every codec the gateway forwards and
// compares what a viewer puts together with what was sent, byte for byte. The
// viewer joins late, so its first frames come from the keyframe cache.
func TestFramesArriveUnchanged(t *testing.T) {
	t.Parallel()
	node := gatewaytest.Start(t)
	for _, codec := range gatewaytest.Codecs() {
		t.Run(codec.Name, func(t *testing.T) {
			t.Parallel()
			room := "codec-" + codec.Name
			p := gatewaytest.Publish(t, node.URL(), room, 45, codec)
			waitLive(t, node.URL(), room)
			eventually(t, "20 frames sent", func() bool { return p.Sent(codec.Name, 20) != nil })
			v := gatewaytest.View(t, node.URL(), room, codec)
			next := -1
			for range 100 {
				f := nextFrame(t, v)
				if next >= 0 && f.Number != next {
					t.Fatalf("got frame %d after %d", f.Number, next-1)
				}
				next = f.Number + 1
				if want := p.Sent(codec.Name, f.Number); !bytes.Equal(f.Data, want) {
					t.Fatalf("frame %d differs: got %d bytes, sent %d", f.Number, len(f.Data), len(want))
				}
			}
		})
	}
}

// TestPublisherReturns lets the publisher go and come back twice, the second
// time with another codec: the viewer's one session plays on.
func TestPublisherReturns(t *testing.T) {
	t.Parallel()
	node := gatewaytest.Start(t)
	byName := map[string]gatewaytest.Codec{}
	for _, c := range gatewaytest.Codecs() {
		byName[c.Name] = c
	}
	h264, vp8, opus := byName["H264"], byName["VP8"], byName["opus"]
	p := gatewaytest.Publish(t, node.URL(), "back", 30, h264, opus)
	waitLive(t, node.URL(), "back")
	v := gatewaytest.View(t, node.URL(), "back", h264, vp8, opus)
	expectFrames(t, v, p, "H264", 30)
	expectFrames(t, v, p, "opus", 30)
	for _, codec := range []gatewaytest.Codec{h264, vp8, h264} {
		p.Close(t)
		p = gatewaytest.Publish(t, node.URL(), "back", 30, codec, opus)
		expectFrames(t, v, p, codec.Name, 30)
		expectFrames(t, v, p, "opus", 30)
	}
}

// TestRestartInMidPlay restarts ICE at the publisher, then at the viewer: media
// goes on with the same SSRCs and keys, within the second the issue allows.
func TestRestartInMidPlay(t *testing.T) {
	t.Parallel()
	node := gatewaytest.Start(t)
	vp8 := codecNamed(t, "VP8")
	p := gatewaytest.Publish(t, node.URL(), "restart", 30, vp8)
	waitLive(t, node.URL(), "restart")
	v := gatewaytest.View(t, node.URL(), "restart", vp8)
	last := expectFrames(t, v, p, "VP8", 30)
	for _, side := range []struct {
		name    string
		restart func() error
	}{
		{"publisher", func() error { return p.Session.Restart(t.Context()) }},
		{"viewer", func() error { return v.Session.Restart(t.Context()) }},
	} {
		if err := side.restart(); err != nil {
			t.Fatalf("%s: %v", side.name, err)
		}
		longest := time.Duration(0)
		for range 60 {
			f := nextFrame(t, v)
			longest, last = max(longest, f.At.Sub(last)), f.At
		}
		t.Logf("%s restarted: the longest wait for a frame was %v", side.name, longest)
		if longest > time.Second {
			t.Errorf("%s restarted: media stood still for %v", side.name, longest)
		}
	}
}

func codecNamed(t *testing.T, name string) gatewaytest.Codec {
	t.Helper()
	for _, c := range gatewaytest.Codecs() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no codec %s", name)
	panic("unreachable")
}

// expectFrames waits for n frames that the publisher sent, unchanged, and
// returns when the last came.
func expectFrames(t *testing.T, v *gatewaytest.Viewer, p *gatewaytest.Publisher, codec string, n int) time.Time {
	t.Helper()
	var last time.Time
	deadline := time.Now().Add(patience)
	for n > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d frames of %s are missing after %v", n, codec, patience)
		}
		f := nextFrame(t, v)
		// What is still on its way from an earlier publisher does not match.
		if f.Codec == codec && bytes.Equal(f.Data, p.Sent(codec, f.Number)) {
			n, last = n-1, f.At
		}
	}
	return last
}

// waitLive waits until a room is on air.
func waitLive(t *testing.T, base, room string) {
	t.Helper()
	eventually(t, "room "+room+" live", func() bool {
		response, err := http.Get(base + "/v1/rooms/" + room)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var body struct{ Live bool }
		return response.StatusCode == http.StatusOK && json.NewDecoder(response.Body).Decode(&body) == nil && body.Live
	})
}

func nextFrame(t *testing.T, v *gatewaytest.Viewer) gatewaytest.Sample {
	t.Helper()
	select {
	case f := <-v.Frames:
		return f
	case <-time.After(patience):
		t.Fatalf("no frame in %v", patience)
	}
	panic("unreachable")
}
