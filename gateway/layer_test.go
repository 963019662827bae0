package gateway_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

const relLayer = "urn:ietf:params:whep:ext:core:layer"

// layers are those of the tests: neither the names nor the order say which is
// the largest.
func layers() []*gatewaytest.Layer {
	return []*gatewaytest.Layer{
		{RID: "a", Width: 640, Height: 360}, {RID: "b", Width: 1280, Height: 720}, {RID: "c", Width: 320, Height: 180},
	}
}

// layerViewer follows what one viewer gets of them.
type layerViewer struct {
	*gatewaytest.PacketViewer
	t       *testing.T
	last    *rtp.Packet
	frames  int           // complete ones of the present layer
	layer   int           // -1: none yet
	longest time.Duration // between the timestamps of two frames
	vp8     bool          // whose pictures are numbered
}

func viewLayers(t *testing.T, n node, room string) *layerViewer {
	t.Helper()
	v := gatewaytest.ViewPackets(t, n.LocalURL(), room, codecNamed(t, "VP8"))
	return &layerViewer{PacketViewer: v, t: t, layer: -1, vp8: true}
}

// pictureID reads what browsers go by (RFC 7741 section 4.2).
func pictureID(t *testing.T, p *rtp.Packet) uint16 {
	t.Helper()
	var d codecs.VP8Packet
	if _, err := d.Unmarshal(p.Payload); err != nil {
		t.Fatalf("%x: %v", p.Payload, err)
	}
	return d.PictureID
}

// next takes a packet and holds it against the one before: sequence numbers,
// timestamps and picture ids go on over every change of layer, and a layer begins with a
// keyframe (spec rows WHEP-PLAY-03 and WHEP-LAY-09).
func (v *layerViewer) next() {
	v.t.Helper()
	var p *rtp.Packet
	select {
	case p = <-v.Packets:
	case <-time.After(patience):
		v.t.Fatal("no packet came")
	}
	if v.last != nil {
		if p.SequenceNumber != v.last.SequenceNumber+1 || p.SSRC != v.last.SSRC {
			v.t.Fatalf("packet %d of %d follows %d of %d", p.SequenceNumber, p.SSRC, v.last.SequenceNumber, v.last.SSRC)
		}
		step := int32(p.Timestamp - v.last.Timestamp)
		if step < 0 || step > 90000*3/2 || step == 0 && v.last.Marker {
			v.t.Fatalf("the timestamp steps by %d", step)
		}
		v.longest = max(v.longest, time.Duration(step)*time.Second/90000)
		if v.vp8 {
			want := pictureID(v.t, v.last)
			if step != 0 {
				want = (want + 1) & 0x7fff
			}
			if got := pictureID(v.t, p); got != want {
				v.t.Fatalf("picture %d comes where %d should", got, want)
			}
		}
	}
	v.last = p
	if !p.Marker {
		return
	}
	frame, layer := gatewaytest.LayerOf(p)
	if layer != v.layer {
		v.layer, v.frames = layer, 0
		v.t.Logf("layer %d from frame %d on", layer, frame)
	}
	v.frames++
}

// until waits for frames of a layer.
func (v *layerViewer) until(layer, frames int) {
	v.t.Helper()
	for limit := time.Now().Add(patience); v.layer != layer || v.frames < frames; v.next() {
		if time.Now().After(limit) {
			v.t.Fatalf("layer %d has not come, it is %d", layer, v.layer)
		}
	}
}

// choose selects a layer.
func (v *layerViewer) choose(n node, body string) {
	v.t.Helper()
	_, path, _ := strings.Cut(v.Session.Location(), "/s/")
	if got := n.do(v.t, "POST", "/s/"+path+"/layer", []string{"Content-Type", "application/json"}, body); got.StatusCode != http.StatusOK || got.Body != "" {
		v.t.Fatalf("%s: got %d %s", body, got.StatusCode, got.Body)
	}
}

// TestLayers plays a simulcast: the best layer by itself, every other by hand,
// and what is there when one stops.
func TestLayers(t *testing.T) {
	t.Parallel()
	n := start(t)
	p := gatewaytest.PublishLayers(t, n.LocalURL(), "sim", layers()...)
	waitLive(t, n.LocalURL(), "sim")
	v := viewLayers(t, n, "sim")
	v.until(1, 30)
	for _, c := range []struct {
		body  string
		layer int
	}{
		{`{"rid":"c"}`, 2},
		{`{"mediaId":"0","rid":"a"}`, 0},
		{`{"mediaId":"0"}`, 1},
		{`{"encodingId":"c","unknown":true}`, 2},
		{`{"maxWidth":700}`, 0},
		{`{}`, 1},
		{`{"maxHeight":200,"maxWidth":700}`, 2},
	} {
		before := time.Now()
		v.choose(n, c.body)
		v.until(c.layer, 1)
		t.Logf("%s took %v", c.body, time.Since(before).Round(time.Millisecond))
		if took := time.Since(before); took > time.Second {
			t.Errorf("%s: the change took %v", c.body, took)
		}
		v.until(c.layer, 10)
	}
	_, path, _ := strings.Cut(v.Session.Location(), "/s/")
	if got := n.do(t, "DELETE", "/s/"+path+"/layer", nil, ""); got.StatusCode != http.StatusOK {
		t.Errorf("DELETE: got %d", got.StatusCode)
	}
	v.until(1, 10)

	p.Pause("b")
	v.until(0, 10)
	p.Resume("b")
	v.until(1, 10)
	t.Logf("the longest step between two frames was %v", v.longest)
	for _, rid := range []string{"a", "b", "c"} {
		t.Logf("%d keyframe requests for %s", p.Requests(rid), rid)
	}
}

// TestLayersAreTold: the control API and the events of a session say what
// layers there are (spec row WHEP-SSE-16).
func TestLayersAreTold(t *testing.T) {
	t.Parallel()
	n := start(t)
	p := gatewaytest.PublishLayers(t, n.LocalURL(), "told", layers()...)
	waitLive(t, n.LocalURL(), "told")
	v := viewLayers(t, n, "told")
	v.until(1, 45)
	var list struct {
		Items []struct {
			Tracks []struct {
				Kind, Codec string
				Layers      []layerItem
			}
		}
	}
	read := func(text string, out any) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), out); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	read(n.do(t, "GET", "/v1/rooms/told/publications", nil, "").Body, &list)
	if len(list.Items) != 1 || len(list.Items[0].Tracks) != 1 || list.Items[0].Tracks[0].Codec != "VP8" {
		t.Fatalf("got %+v", list)
	}
	wantLayers(t, "publications", list.Items[0].Tracks[0].Layers, "b", "")

	_, id, _ := strings.Cut(v.Session.Location(), "/s/")
	events := n.subscribe(t, "/s/"+id+"/events", `["layers"]`)
	stream := openStream(t, http1.client(t), n.LocalURL()+events)
	told := func() []layerItem {
		t.Helper()
		var media map[string][]layerItem
		read(stream.want(t, "layers").data, &media)
		if len(media) != 1 {
			t.Fatalf("got %+v", media)
		}
		return media["0"]
	}
	// Bit rates are told of, too, so other news may come before.
	toldThat := func(what string, ok func(layerItem) bool) []layerItem {
		t.Helper()
		for limit := time.Now().Add(patience); ; {
			items := told()
			if slices.ContainsFunc(items, ok) {
				return items
			}
			if time.Now().After(limit) {
				t.Fatalf("%s: still told %+v", what, items)
			}
		}
	}
	wantLayers(t, "first", told(), "b", "b")
	v.choose(n, `{"rid":"c"}`)
	v.until(2, 10)
	wantLayers(t, "after a choice", toldThat("after a choice", func(l layerItem) bool { return l.RID == "c" && l.Selected }), "b", "c")
	p.Pause("a")
	items := toldThat("a stopped", func(l layerItem) bool { return l.RID == "a" && !l.Active })
	i := slices.IndexFunc(items, func(l layerItem) bool { return l.RID == "a" })
	if items[i].Bitrate != 0 || !items[0].Active {
		t.Errorf("a stopped: got %+v", items)
	}
}

type layerItem struct {
	RID              string
	Width, Height    int
	FPS              float64
	Bitrate          uint64
	Active, Selected bool
}

// wantLayers are all three, active and ranked, with their sizes.
func wantLayers(t *testing.T, what string, got []layerItem, best, selected string) {
	t.Helper()
	if len(got) != 3 || got[0].RID != best {
		t.Fatalf("%s: got %+v", what, got)
	}
	for _, l := range layers() {
		i := slices.IndexFunc(got, func(g layerItem) bool { return g.RID == l.RID })
		if i < 0 || got[i].Width != l.Width || got[i].Height != l.Height || !got[i].Active || got[i].Bitrate == 0 || got[i].FPS <= 0 || got[i].Selected != (l.RID == selected) {
			t.Errorf("%s: layer %s is not in %+v", what, l.RID, got)
		}
	}
}

// TestLayerRefusals are spec rows WHEP-LAY-01, -02 and -07.
func TestLayerRefusals(t *testing.T) {
	t.Parallel()
	n := start(t)
	publisher := gatewaytest.PublishLayers(t, n.LocalURL(), "refuse", layers()...)
	waitLive(t, n.LocalURL(), "refuse")
	eventually(t, "three layers", func() bool {
		return strings.Count(n.do(t, "GET", "/v1/rooms/refuse/publications", nil, "").Body, `"active":true`) == 3
	})
	session, resp := n.post(t, "/whep/refuse", "", offerOf(t, "audio", "video"))
	got := links(t, resp.Header)
	if got[relLayer] != n.URL()+session+"/layer" || got[relEvents] == "" {
		t.Errorf("the Links are %q", got)
	}
	layer := session + "/layer"
	for _, c := range []struct {
		name, media, body, problem string
		status                     int
	}{
		{"rid", "application/json", `{"mediaId":"1","rid":"a"}`, "", 200},
		{"no media", "application/json; charset=utf-8", `{"rid":"a"}`, "", 200},
		{"nothing asked for", "application/json", `{}`, "", 200},
		{"the only temporal layer", "application/json", `{"temporalLayerId":0,"maxTemporalLayerId":3}`, "", 200},
		{"unknown rid", "application/json", `{"rid":"x"}`, "layer-unknown", 422},
		{"two rids", "application/json", `{"rid":"a","encodingId":"b"}`, "layer-unknown", 422},
		{"media that is audio", "application/json", `{"mediaId":"0","rid":"a"}`, "layer-unknown", 422},
		{"media that is not there", "application/json", `{"mediaId":"7"}`, "layer-unknown", 422},
		{"media that is no number", "application/json", `{"mediaId":"video"}`, "layer-unknown", 422},
		{"nothing so small", "application/json", `{"maxWidth":10}`, "layer-unknown", 422},
		{"no such spatial layer", "application/json", `{"spatialLayerId":1}`, "layer-unknown", 422},
		{"more than the most", "application/json", `{"temporalLayerId":1,"maxTemporalLayerId":0}`, "layer-unknown", 422},
		{"keys without quotes", "application/json", `{mediaId:"0"}`, "json-malformed", 400},
		{"an array", "application/json", `["a"]`, "json-malformed", 400},
		{"null", "application/json", `null`, "json-malformed", 400},
		{"a number for a rid", "application/json", `{"rid":1}`, "json-malformed", 400},
		{"no body", "application/json", ``, "json-malformed", 400},
		{"the draft's own example", "application/sjon", `{"rid":"a"}`, "media-type", 415},
		{"no type", "", `{"rid":"a"}`, "media-type", 415},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.media != "" {
				headers = []string{"Content-Type", c.media}
			}
			got := n.do(t, "POST", layer, headers, c.body)
			if got.StatusCode != c.status || c.problem != "" && !strings.Contains(got.Body, "/problems/"+c.problem) {
				t.Errorf("got %d %s, want %d %s", got.StatusCode, got.Body, c.status, c.problem)
			}
			if c.status == 415 && got.Header.Get("Accept-Post") != "application/json" {
				t.Errorf("Accept-Post is %q", got.Header.Get("Accept-Post"))
			}
		})
	}
	for _, method := range []string{"GET", "PATCH"} {
		if got := n.do(t, method, layer, nil, ""); got.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(got.Header.Get("Allow"), "POST") {
			t.Errorf("%s: got %d, Allow %q", method, got.StatusCode, got.Header.Get("Allow"))
		}
	}
	publisher.Close(t)
	eventually(t, "off air", func() bool {
		got := n.do(t, "POST", layer, []string{"Content-Type", "application/json"}, `{"rid":"a"}`)
		return got.StatusCode == http.StatusConflict && strings.Contains(got.Body, "/problems/not-live")
	})
	if got := n.do(t, "DELETE", layer, nil, ""); got.StatusCode != http.StatusOK {
		t.Errorf("DELETE: got %d", got.StatusCode)
	}
	n.do(t, "DELETE", session, nil, "")
	for _, method := range []string{"POST", "DELETE"} {
		if got := n.do(t, method, layer, []string{"Content-Type", "application/json"}, `{}`); got.StatusCode != http.StatusNotFound {
			t.Errorf("%s after the end: got %d, want 404", method, got.StatusCode)
		}
	}
}

// offerOf is a viewer's offer of sections in an order.
func offerOf(t *testing.T, kinds ...string) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pc.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, kind := range kinds {
		if _, err := pc.AddTransceiverFromKind(webrtc.NewRTPCodecType(kind), webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	o, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return o.SDP
}
