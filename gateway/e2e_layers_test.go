//go:build e2e && linux

package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// What a change of layer may cost a viewer in a browser, beyond what the picture
// waits without: the old layer goes on until the new one has begun.
const changeGap = 300 * time.Millisecond

// encodings publishes the fake camera of a page with encodings of the test's
// own, which the publish page does not have.
const encodings = `(async (room, codec, sendEncodings) => {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 960, height: 544, frameRate: 30 } });
  const pc = new RTCPeerConnection();
  pc.addTransceiver(stream.getAudioTracks()[0], { direction: 'sendonly', streams: [stream] });
  const video = pc.addTransceiver(stream.getVideoTracks()[0], { direction: 'sendonly', streams: [stream], sendEncodings });
  video.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter((c) => c.mimeType === codec || c.mimeType === 'video/rtx'));
  await pc.setLocalDescription();
  const response = await fetch('/whip/' + room, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
  const sdp = await response.text();
  if (response.status !== 201) throw new Error(response.status + ' ' + sdp);
  await pc.setRemoteDescription({ type: 'answer', sdp });
  const parameters = video.sender.getParameters();
  parameters.degradationPreference = 'maintain-resolution';
  await video.sender.setParameters(parameters);
})(%q, %q, %s)`

// simulcast is three layers whose names and order do not say which is largest.
// Chromium sends no third one of a picture below 960 by 540.
const simulcast = `[
  { rid: 'm', scaleResolutionDownBy: 2, maxBitrate: 250000 },
  { rid: 'l', scaleResolutionDownBy: 4, maxBitrate: 100000 },
  { rid: 'h', scaleResolutionDownBy: 1, maxBitrate: 700000 }]`

// publishEncodings puts a page on air.
func publishEncodings(t *testing.T, b *gatewaytest.Browser, node *gatewaytest.Binary, room, codec, list string) *gatewaytest.Page {
	t.Helper()
	p := b.Open(node.URL+"/publish/"+room, gatewaytest.PageOptions{})
	p.Eval(fmt.Sprintf(encodings, room, codec, list), nil)
	p.Wait("frames sent", joinLimit, func(r gatewaytest.Report) bool {
		return r.State == "connected" && r.Out("video").FramesEncoded > 30
	})
	return p
}

// videoLayers are what the API says of a room's video.
func videoLayers(t *testing.T, node *gatewaytest.Binary, room string) []layerItem {
	t.Helper()
	resp, err := http.Get(node.URL + "/v1/rooms/" + room + "/publications")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Items []struct {
			Tracks []struct {
				Kind   string
				Layers []layerItem
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		for _, track := range item.Tracks {
			if track.Kind == "video" {
				return track.Layers
			}
		}
	}
	return nil
}

// waitLayers waits until so many layers flow whose sizes are known and all
// differ, and returns them by size, the smallest first. Browsers begin with the
// lower ones and add others as their estimate of the link grows.
func waitLayers(t *testing.T, node *gatewaytest.Binary, room string, n int) []layerItem {
	t.Helper()
	begun := time.Now()
	for {
		all := videoLayers(t, node, room)
		flowing := slices.DeleteFunc(slices.Clone(all), func(l layerItem) bool { return !l.Active || l.Width == 0 })
		slices.SortFunc(flowing, func(a, b layerItem) int { return a.Width - b.Width })
		if len(slices.CompactFunc(slices.Clone(flowing), func(a, b layerItem) bool { return a.Width == b.Width })) == n {
			t.Logf("%d layers after %v: %+v", n, time.Since(begun).Round(time.Millisecond), flowing)
			return flowing
		}
		if time.Since(begun) > joinLimit {
			t.Fatalf("no %d layers: %+v", n, all)
		}
		pause(t, 100*time.Millisecond)
	}
}

// layerPage is a play page whose layer is chosen by hand.
type layerPage struct {
	*gatewaytest.Page
	t    *testing.T
	sent func() int // pictures of the publisher
}

// ask sends a choice, or takes it back. On a busy machine a layer may just be
// silent, which is refused.
func (p layerPage) ask(method, body string) {
	p.t.Helper()
	url := p.Report().Session + "/layer"
	for limit := time.Now().Add(joinLimit); ; pause(p.t, 200*time.Millisecond) {
		req, err := http.NewRequestWithContext(p.t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			p.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			p.t.Fatal(err)
		}
		if resp.StatusCode == http.StatusOK {
			return
		}
		if resp.StatusCode != http.StatusUnprocessableEntity || time.Now().After(limit) {
			p.t.Fatalf("%s %s: got %d %s", method, body, resp.StatusCode, text)
		}
	}
}

// chosen is how a choice went.
type chosen struct {
	took        time.Duration // until pictures of the layer were decoded
	gap, before time.Duration // longest times without a new picture: from then on until shortly after, and of the moment before
	rate        float64       // of the publisher's pictures meanwhile, per second
}

// choose asks for a layer, or takes the choice back when that is what brings
// it, and waits until pictures as wide as the layer are decoded.
func (p layerPage) choose(to layerItem, automatic bool) (c chosen) {
	p.t.Helper()
	sent, begun := p.sent(), time.Now()
	if automatic {
		p.ask(http.MethodDelete, "")
	} else {
		p.ask(http.MethodPost, `{"rid":"`+to.RID+`"}`)
	}
	p.Wait(fmt.Sprintf("picture %d wide", to.Width), joinLimit, func(r gatewaytest.Report) bool {
		return r.In("video").FrameWidth == to.Width
	})
	c.took = time.Since(begun)
	pause(p.t, 600*time.Millisecond)
	c.rate = float64(p.sent()-sent) / time.Since(begun).Seconds()
	frames := p.Frames()
	for i := 1; i < len(frames); i++ {
		waited := frames[i].At.Sub(frames[i-1].At)
		switch at := frames[i].At; {
		case at.After(begun):
			c.gap = max(c.gap, waited)
		case at.After(begun.Add(-500 * time.Millisecond)):
			c.before = max(c.before, waited)
		}
	}
	c.gap = max(c.gap, time.Since(frames[len(frames)-1].At))
	return c
}

// change lets the viewer go from one layer to another. What is wrong with two
// layers shows at every change between them; what a busy machine does to one
// change it hardly does to all, so some more are made. Nothing is said of
// changes during which not even the publisher got on.
func (p layerPage) change(from, to layerItem, automatic bool) {
	p.t.Helper()
	const tries, pace = 3, 24 // pictures per second, of 30
	judged := false
	for try := range tries {
		if try > 0 {
			p.choose(from, false)
		}
		c := p.choose(to, automatic)
		p.t.Logf("from %d to %d wide: took %v, longest gap %v, before %v, publisher %.1f/s", from.Width, to.Width,
			c.took.Round(time.Millisecond), c.gap.Round(time.Millisecond), c.before.Round(time.Millisecond), c.rate)
		if c.gap <= changeGap+c.before {
			return
		}
		judged = judged || c.rate >= pace
	}
	if judged {
		p.t.Errorf("from %d to %d wide: each of %d times more than %v without a new picture", from.Width, to.Width, tries, changeGap)
	}
}

// watchLayers plays a room whose best layer it waits for.
func watchLayers(t *testing.T, b *gatewaytest.Browser, url string, best layerItem, sent func() int) layerPage {
	t.Helper()
	p := layerPage{b.Open(url, gatewaytest.PageOptions{}), t, sent}
	p.Wait("the best layer", joinLimit, func(r gatewaytest.Report) bool {
		return r.Callbacks > 30 && r.In("video").FrameWidth == best.Width
	})
	pause(t, time.Second)
	return p
}

// Chromium publishes three layers and plays them: the best one by itself, every
// other by hand, up and down, and back to the best.
func TestE2ELayersOfBrowser(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	for _, tt := range []struct {
		codec  string
		rounds int // of six changes
	}{{"VP8", long(2, 10)}, {"H264", long(1, 10)}} {
		t.Run(tt.codec, func(t *testing.T) {
			room := "layers-" + strings.ToLower(tt.codec)
			publisher := publishEncodings(t, b, node, room, "video/"+tt.codec, simulcast)
			all := waitLayers(t, node, room, 3)
			small, middle, large := all[0], all[1], all[2]
			p := watchLayers(t, b, node.URL+"/play/"+room, large, encoded(publisher))
			before, now := p.Report(), large
			for range tt.rounds {
				for _, to := range []layerItem{small, large, middle, small, middle, large} {
					p.change(now, to, false)
					now = to
				}
			}
			p.change(large, small, false)
			p.change(small, large, true)
			logChanges(t, before, p.Report())
			if got := p.Report().In("video").Codec; got != "video/"+tt.codec {
				t.Errorf("the viewer decodes %s", got)
			}
			checkQuiet(t, p.Page, publisher)
			p.Close()
			publisher.Close()
		})
	}
}

// logChanges tells what a viewer decoded.
func logChanges(t *testing.T, a, b gatewaytest.Report) {
	t.Helper()
	w, from, to := between(a, b), a.In("video"), b.In("video")
	t.Logf("%d frames in %.1f s (%.1f/s), %d keyframes, %d dropped, %d freezes, %d requests for a keyframe, %d packets lost",
		w.frames, w.seconds, w.rate(), to.KeyFramesDecoded-from.KeyFramesDecoded, to.FramesDropped-from.FramesDropped,
		w.freezes, to.PliCount-from.PliCount, to.PacketsLost-from.PacketsLost)
}

// OBS makes a keyframe of all its layers every two seconds and none besides: a
// change waits for that, and the picture for nothing.
func TestE2ELayersOfOBS(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	var layers []func(int) []byte
	var sent atomic.Int64
	for _, l := range []struct{ size, rate string }{{"960x540", "1200k"}, {"640x360", "800k"}, {"320x180", "400k"}} {
		layers = append(layers, gatewaytest.LoopH264(recordedVideo(t, l.size, l.rate, 60)))
	}
	largest := layers[0]
	layers[0] = func(n int) []byte { sent.Add(1); return largest(n) }
	publisher, err := gatewaytest.StartOBS(t.Context(), gatewaytest.OBSOptions{URL: node.URL + "/whip/demo", Token: "dummy", Layers: layers})
	if err != nil {
		t.Fatal(err)
	}
	all := waitLayers(t, node, "demo", 3)
	small, middle, large := all[0], all[1], all[2]
	if small.RID != "2" || middle.RID != "1" || large.RID != "0" {
		t.Errorf("the layers are %+v", all)
	}
	p := watchLayers(t, b, node.URL+"/play/demo", large, func() int { return int(sent.Load()) })
	before := p.Report()
	p.change(large, small, false)
	p.change(small, middle, false)
	p.change(middle, large, false)
	logChanges(t, before, p.Report())
	checkQuiet(t, p.Page)
	if err := publisher.Stop(); err != nil {
		t.Error(err)
	}
}

// Layers within one stream are not negotiated: the publisher just sends them,
// and viewers who choose none get all (spec row WHIP-SIM-10).
func TestE2ELayersWithinStream(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	publisher := publishEncodings(t, b, node, "svc", "video/VP9", `[{ scalabilityMode: 'L3T3_KEY', maxBitrate: 1000000 }]`)
	// Each picture counts as three.
	sent := func() int { return encoded(publisher)() / 3 }
	windows, pages, pictures := watch(t, b, node.URL+"/play/svc", 1, 3*time.Second, gatewaytest.PageOptions{}, sent)
	checkPlays(t, windows, pictures)
	out, in := publisher.Report().Out("video"), pages[0].Report().In("video")
	if out.ScalabilityMode != "L3T3_KEY" || in.Codec != "video/VP9" || in.FrameWidth != out.FrameWidth {
		t.Errorf("sent as %+v, came as %+v", out, in)
	}
	checkQuiet(t, append(pages, publisher)...)
}
