//go:build e2e && linux

package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4/pkg/media/oggreader"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// A stranger clones the project, types "go run .", publishes with ffmpeg and
// opens the play page.
func TestE2EClone(t *testing.T) {
	root := gatewaytest.Root(t)
	clone := filepath.Join(t.TempDir(), "sluice")
	if out, err := exec.Command("git", "clone", "--quiet", root, clone).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{Command: []string{"go", "run", "."}, Dir: clone})
	publisher := gatewaytest.StartFFmpeg(t, node.URL+"/whip/demo", gatewaytest.FFmpegOptions{Token: "dummy"})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	windows, pages, sent := watch(t, b, node.URL+"/play/demo", 1, long(10*time.Second, 30*time.Second), gatewaytest.PageOptions{}, publisher.Frames)
	checkPlays(t, windows, sent)
	if w := windows[0]; w.rate() < 28 || w.freezes > 0 {
		t.Errorf("%.1f frames/s and %d freezes, want 28 and none", w.rate(), w.freezes)
	}
	checkQuiet(t, pages...)
	pages[0].Screenshot("play")
	if err := publisher.Stop(); err != nil {
		// ffmpeg's status tells of its own end, not of ours.
		t.Logf("ffmpeg: %v", err)
	}
	if left, err := os.ReadDir(clone); err == nil {
		for _, f := range left {
			if f.Name() == "sluice-data" {
				t.Error("--data was given, yet ./sluice-data was made")
			}
		}
	}
}

// simple-whip-client offers no loopback address, trickles by PATCH and sends
// packets larger than others.
func TestE2EGStreamer(t *testing.T) {
	for _, codec := range []string{"H264", "VP8"} {
		t.Run(codec, func(t *testing.T) {
			lab := gatewaytest.NewLab(t)
			srv, cli := lab.Namespace("srv"), lab.Namespace("cli")
			lab.Veth("eth0", srv, netip.MustParsePrefix("10.9.0.1/24"), cli, netip.MustParsePrefix("10.9.0.2/24"))
			node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{Host: "10.9.0.1", Namespace: srv, Flags: []string{"--open"}})
			publisher := gatewaytest.StartGStreamer(t, cli, node.URL+"/whip/demo", "dummy", codec)
			b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{Namespace: cli})
			const seconds = 5
			// It does not say how many frames it sent: it sends 30 a second.
			start := time.Now()
			sent := func() int { return int(30 * time.Since(start).Seconds()) }
			windows, pages, frames := watch(t, b, node.URL+"/play/demo", 3, seconds*time.Second, gatewaytest.PageOptions{}, sent)
			checkPlays(t, windows, frames)
			checkQuiet(t, pages...)
			if err := publisher.Stop(); err != nil {
				t.Logf("whip-client: %v", err)
			}
		})
	}
}

// Chromium publishes from its fake camera, in every codec that it sends, and
// from its screen.
func TestE2EBrowserPublishes(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	for _, tt := range []struct{ name, query, codec string }{
		{"h264", "codec=h264", "video/H264"},
		{"vp8", "codec=vp8", "video/VP8"},
		{"vp9", "codec=vp9", "video/VP9"},
		{"av1", "codec=av1", "video/AV1"},
		{"screen", "codec=vp8&video=screen", "video/VP8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			room := "browser-" + tt.name
			publisher := onAir(t, b, fmt.Sprintf("%s/publish/%s?auto=1&width=640&height=360&fps=30&bitrate=800&%s", node.URL, room, tt.query))
			defer publisher.Close()
			windows, pages, sent := watch(t, b, node.URL+"/play/"+room, 3, long(5*time.Second, 30*time.Second), gatewaytest.PageOptions{}, encoded(publisher))
			if tt.name == "screen" {
				for i := range windows {
					windows[i].energy = 1 // a screen has no sound of its own
				}
			}
			checkPlays(t, windows, sent)
			for _, p := range pages {
				if got := p.Report().In("video").Codec; got != tt.codec {
					t.Errorf("the viewer decodes %s, want %s", got, tt.codec)
				}
			}
			checkQuiet(t, append(pages, publisher)...)
			pages[0].Screenshot("play-" + tt.name)
			publisher.Screenshot("publish-" + tt.name)
			checkListed(t, b, node, room)
			for _, p := range pages {
				p.Close()
			}
		})
	}
}

// checkListed looks for a live room on the front page and in the API.
func checkListed(t *testing.T, b *gatewaytest.Browser, node *gatewaytest.Binary, room string) {
	t.Helper()
	front := b.Open(node.URL+"/", gatewaytest.PageOptions{})
	defer front.Close()
	deadline := time.Now().Add(joinLimit)
	for text := ""; !strings.Contains(text, room); {
		if time.Now().After(deadline) {
			t.Errorf("the front page does not list %s: %s", room, strings.Join(strings.Fields(text), " "))
			break
		}
		front.Eval("document.body.innerText", &text)
	}
	front.Screenshot("front")
	resp, err := http.Get(node.URL + "/v1/rooms/" + room)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var info struct {
		Live    bool
		Viewers int
	}
	if err := json.NewDecoder(resp.Body).Decode(&info); err != nil || !info.Live || info.Viewers != 3 {
		t.Errorf("the API says %+v (%v), want live with 3 viewers", info, err)
	}
}

func TestE2EIPv6(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{Host: "[::1]"})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	publisher := onAir(t, b, node.URL+"/publish/six?auto=1&codec=vp8&width=640&height=360&fps=30")
	windows, pages, sent := watch(t, b, node.URL+"/play/six", 1, 5*time.Second, gatewaytest.PageOptions{}, encoded(publisher))
	checkPlays(t, windows, sent)
	checkQuiet(t, append(pages, publisher)...)
	if answer := pages[0].Report().Answer; !strings.Contains(answer, " ::1 ") {
		t.Errorf("no candidate on ::1 in the answer\n%s", answer)
	}
}

// The viewer's offer says setup:passive: the gateway begins the handshake.
func TestE2EGatewayIsDTLSClient(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	publisher := gatewaytest.StartFFmpeg(t, node.URL+"/whip/demo", gatewaytest.FFmpegOptions{})
	windows, pages, sent := watch(t, b, node.URL+"/play/demo", 1, 5*time.Second, gatewaytest.PageOptions{Passive: true}, publisher.Frames)
	checkPlays(t, windows, sent)
	if answer := pages[0].Report().Answer; !strings.Contains(answer, "a=setup:active") {
		t.Errorf("the gateway does not say that it is active\n%s", answer)
	}
}

// The OBS-shaped publisher sends real H264 with a keyframe every four seconds
// and ignores requests for more.
func TestE2EOBS(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	video, audio := recordedMedia(t)
	var sent atomic.Int64
	loop := gatewaytest.LoopH264(video)
	publisher, err := gatewaytest.StartOBS(t.Context(), gatewaytest.OBSOptions{
		URL: node.URL + "/whip/demo", Token: "dummy",
		Video: func(n int) []byte { sent.Add(1); return loop(n) },
		Audio: func(n int) []byte { return audio[n%len(audio)] },
	})
	if err != nil {
		t.Fatal(err)
	}
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	windows, pages, frames := watch(t, b, node.URL+"/play/demo", 3, long(5*time.Second, 30*time.Second), gatewaytest.PageOptions{},
		func() int { return int(sent.Load()) })
	checkPlays(t, windows, frames)
	checkQuiet(t, pages...)
	if err := publisher.Stop(); err != nil {
		t.Errorf("OBS: %v", err)
	}
}

func ffmpeg(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(gatewaytest.Tool(t, "ffmpeg"), append([]string{"-hide_banner", "-nostdin", "-loglevel", "error"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
}

// recordedVideo has ffmpeg encode eight seconds of H264, 30 frames each.
func recordedVideo(t *testing.T, size, rate string, gop int) []byte {
	t.Helper()
	h264 := filepath.Join(t.TempDir(), "v.h264")
	ffmpeg(t, "-f", "lavfi", "-i", "testsrc2=size="+size+":rate=30",
		"-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "0",
		"-g", strconv.Itoa(gop), "-sc_threshold", "0", "-b:v", rate, "-x264-params", "aud=0:repeat-headers=1", "-t", "8", "-f", "h264", h264)
	video, err := os.ReadFile(h264)
	if err != nil {
		t.Fatal(err)
	}
	return video
}

// recordedMedia has ffmpeg encode eight seconds: H264 in Annex B, and Opus in
// frames of 20 ms.
func recordedMedia(t *testing.T) (video []byte, audio [][]byte) {
	t.Helper()
	ogg := filepath.Join(t.TempDir(), "a.ogg")
	ffmpeg(t, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-c:a", "libopus", "-ac", "2", "-b:a", "64k", "-frame_duration", "20", "-page_duration", "20000", "-t", "8", "-f", "ogg", ogg)
	video = recordedVideo(t, "640x360", "800k", 120)
	file, err := os.Open(ogg)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pages, _, err := oggreader.NewWith(file)
	if err != nil {
		t.Fatal(err)
	}
	for {
		page, _, err := pages.ParseNextPage()
		if errors.Is(err, io.EOF) {
			return video, audio
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(page), "OpusTags") {
			audio = append(audio, page)
		}
	}
}
