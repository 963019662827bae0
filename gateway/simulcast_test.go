package gateway_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// TestSimulcastOfOBS posts what OBS 32.2.2 offers with three layers. OBS counts
// the semicolons of the answer's line up to its CRLF, and stops when there are
// fewer than it offered (spec rows WHIP-SIM-04, -05 and -11).
func TestSimulcastOfOBS(t *testing.T) {
	t.Parallel()
	offer, err := os.ReadFile("../session/testdata/offers/obs-32.2.2-simulcast-3.sdp")
	if err != nil {
		t.Fatal(err)
	}
	without := strings.ReplaceAll(string(offer), "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n", "")
	if without == string(offer) {
		without = strings.ReplaceAll(string(offer), "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\n", "")
	}
	headers := []string{"Content-Type", "application/sdp"}

	n := start(t)
	_, resp := n.post(t, "/whip/obs", "", string(offer))
	_, line, ok := strings.Cut(resp.Body, "a=simulcast:")
	line, _, crlf := strings.Cut(line, "\r\n")
	if !ok || !crlf || line != "recv 0;1;2" {
		t.Errorf("the answer says simulcast:%q\n%s", line, resp.Body)
	}
	if got := n.do(t, "POST", "/whip/other", headers, without); got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "/problems/sdp-simulcast") {
		t.Errorf("without the extension: got %d %s", got.StatusCode, got.Body)
	}

	off := start(t, func(c *gateway.Config) { c.Simulcast = false })
	for name, sdp := range map[string]string{"with": string(offer), "without": without} {
		_, resp := off.post(t, "/whip/"+name, "", sdp)
		if strings.Contains(resp.Body, "simulcast") || strings.Contains(resp.Body, "a=rid") || strings.Contains(resp.Body, "rtp-stream-id") {
			t.Errorf("switched off, %s the extension: got\n%s", name, resp.Body)
		}
	}
}

// TestLayersOfOBS plays three layers whose keyframes come every two seconds and
// not on request: a change begins with the next one (spec row WHEP-LAY-08).
func TestLayersOfOBS(t *testing.T) {
	t.Parallel()
	const group = 60 // frames
	// The layers are as large as those of OBS in relation to each other. Their
	// sizes cannot be read from what only looks like H264.
	var layers []func(int) []byte
	for i := range 3 {
		fake := gatewaytest.FakeH264(group, 2000*(3-i))
		layers = append(layers, func(n int) []byte { return gatewaytest.Numbered(fake(n), n, i) })
	}
	n := start(t)
	obs, err := gatewaytest.StartOBS(t.Context(), gatewaytest.OBSOptions{URL: n.LocalURL() + "/whip/obs", HTTP: n.Client, Layers: layers})
	if err != nil {
		t.Fatal(err)
	}
	waitLive(t, n.LocalURL(), "obs")
	eventually(t, "three layers", func() bool {
		return strings.Count(n.do(t, "GET", "/v1/rooms/obs/publications", nil, "").Body, `"active":true`) == 3
	})
	v := &layerViewer{PacketViewer: gatewaytest.ViewPackets(t, n.LocalURL(), "obs", codecNamed(t, "H264")), t: t, layer: -1}
	v.until(0, 30)
	for _, c := range []struct {
		body  string
		layer int
	}{{`{"rid":"2"}`, 2}, {`{"rid":"1"}`, 1}, {`{}`, 0}} {
		asked, _ := gatewaytest.LayerOf(v.last)
		v.choose(n, c.body)
		v.until(c.layer, 1)
		if got, _ := gatewaytest.LayerOf(v.last); got%group != 0 || got > asked+group+5 {
			t.Errorf("%s at frame %d: the layer began with frame %d", c.body, asked, got)
		}
		v.until(c.layer, 10)
	}
	if v.longest > 100*time.Millisecond {
		t.Errorf("the longest step between two frames was %v", v.longest)
	}
	if err := obs.Stop(); err != nil {
		t.Error(err)
	}
	t.Logf("%+v", obs.Report())
}
