//go:build e2e && linux

package gatewaytest_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// loop is a page that plays its own camera through two connections.
const loop = `<!doctype html><video autoplay playsinline></video><script>
(async () => {
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 360, frameRate: 30}});
  const a = new RTCPeerConnection(), b = new RTCPeerConnection();
  a.onicecandidate = (e) => e.candidate && b.addIceCandidate(e.candidate);
  b.onicecandidate = (e) => e.candidate && a.addIceCandidate(e.candidate);
  b.ontrack = (e) => { document.querySelector('video').srcObject = e.streams[0]; };
  for (const track of stream.getTracks()) a.addTrack(track, stream);
  await a.setLocalDescription(await a.createOffer());
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription(await b.createAnswer());
  await a.setRemoteDescription(b.localDescription);
})();
</script>`

func page(html string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(html))
	})
}

func TestE2EBrowser(t *testing.T) {
	srv := httptest.NewServer(page(loop))
	t.Cleanup(srv.Close)
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	// The second page must not stop the first from showing its frames.
	pages := []*gatewaytest.Page{b.Open(srv.URL, gatewaytest.PageOptions{}), b.Open(srv.URL, gatewaytest.PageOptions{})}
	for _, p := range pages {
		first := p.WaitFrames(1, 20*time.Second)
		if first.FirstFrame <= first.Started || first.Connections != 2 || len(first.Errors) > 0 {
			t.Errorf("got %+v", first)
		}
		p.WaitFrames(first.Callbacks+30, 10*time.Second)
	}
	r := pages[0].WaitFrames(90, 20*time.Second)
	if v := r.In("video"); v.FramesDecoded < 60 || v.FrameWidth != 640 {
		t.Errorf("got %+v", v)
	}
	if r.In("audio").TotalAudioEnergy == 0 {
		t.Error("the fake microphone is silent")
	}
	if frames := pages[0].Frames(); len(frames) < 90 || time.Since(frames[len(frames)-1].At) > 5*time.Second || frames[0].Number != -1 {
		t.Errorf("got %d frames, the last %+v", len(frames), frames[len(frames)-1])
	}
	pages[0].Screenshot("rig")
	pages[1].Close()
}

func TestE2EBrowserInNamespace(t *testing.T) {
	lab := gatewaytest.NewLab(t)
	a, b := lab.Namespace("a"), lab.Namespace("b")
	lab.Veth("eth0", a, netip.MustParsePrefix("10.9.0.1/24"), b, netip.MustParsePrefix("10.9.0.2/24"))
	srv := httptest.NewUnstartedServer(page(loop))
	srv.Listener.Close()
	if err := b.Do(func() (err error) {
		srv.Listener, err = net.Listen("tcp", "10.9.0.2:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(srv.Close)
	chromium := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{Namespace: a, Trusted: []string{srv.URL}})
	chromium.Open(srv.URL, gatewaytest.PageOptions{}).WaitFrames(30, 20*time.Second)
}
