//go:build linux

package gatewaytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// GStreamer is a simple-whip-client that publishes by WHIP: webrtcbin, trickle
// ICE by PATCH.
type GStreamer struct{ *Process }

// StartGStreamer publishes a moving ball in codec "H264" or "VP8", 640x360 at
// 30 frames/s, and noise in Opus to a WHIP URL. libnice uses no loopback
// address: the node must have another one, for instance in a namespace.
func StartGStreamer(t testing.TB, n *Namespace, url, token, codec string) *GStreamer {
	t.Helper()
	root := filepath.Join(Tools(t), "clients", "root")
	if _, err := os.Stat(filepath.Join(root, "usr/bin/whip-client")); err != nil {
		t.Fatalf("simple-whip-client is not there: run scripts/deps gst: %v", err)
	}
	args := []string{
		"-i", "PATH=/usr/sbin:/usr/bin", "HOME=/tmp", "GIO_USE_PROXY_RESOLVER=dummy", "LD_LIBRARY_PATH=" + libraries(t, root),
		Tool(t, "chroot"), root, "/usr/bin/whip-client", "-u", url, "-A", gstAudio, "-V", gstVideo(t, codec), "-o",
	}
	if token != "" {
		args = append(args, "-t", token)
	}
	cmd := exec.Command("env", args...)
	if n != nil {
		cmd = n.Command(t.Context(), "env", args...)
	}
	return &GStreamer{StartProcess(t, "whip-client", cmd, nil)}
}

const gstAudio = "audiotestsrc is-live=true wave=red-noise ! audioconvert ! audioresample ! queue ! opusenc ! " +
	"rtpopuspay pt=100 ssrc=1 ! queue ! application/x-rtp,media=audio,encoding-name=OPUS,payload=100"

func gstVideo(t testing.TB, codec string) string {
	t.Helper()
	encoders := map[string]string{
		"H264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=800 ! video/x-h264,profile=constrained-baseline ! " +
			"rtph264pay config-interval=-1 aggregate-mode=zero-latency",
		"VP8": "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=800000 ! rtpvp8pay",
	}
	encoder := encoders[codec]
	if encoder == "" {
		t.Fatalf("whip-client is not prepared for %s", codec)
	}
	return fmt.Sprintf("videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1 ! queue ! "+
		"%s pt=96 ssrc=2 ! queue ! application/x-rtp,media=video,encoding-name=%s,payload=96", encoder, codec)
}

// libraries is the library path inside of the unpacked tree.
func libraries(t testing.TB, root string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no libraries below %s: %v", root, err)
	}
	lib := strings.TrimPrefix(found[0], root)
	return strings.Join([]string{lib, lib + "/blas", lib + "/lapack", lib + "/pulseaudio"}, ":")
}

// Stop ends the publication as a user would: whip-client sends DELETE.
func (g *GStreamer) Stop() error { return g.Process.Stop(syscall.SIGINT, 10*time.Second) }
