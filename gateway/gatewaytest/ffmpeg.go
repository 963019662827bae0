//go:build linux

package gatewaytest

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BarcodeBits is how many bits of the frame number a publisher with Barcode
// writes into its picture. A black and a white cell stand before and after
// them, so that other pictures are not taken for numbers.
const BarcodeBits = 12

// barcodeCell is the edge of one cell in pixels.
const barcodeCell = 24

// FFmpegOptions describe what ffmpeg publishes: a moving test picture in H264
// and a tone in Opus.
type FFmpegOptions struct {
	Size    string // "" is 640x360
	FPS     int    // 0 is 30
	GOP     int    // frames between keyframes, 0 is 60; ffmpeg makes no others
	Bitrate string // of the video, "" is 800k
	Token   string // for the Authorization header
	Barcode bool   // write the frame number into the picture, at its top left
	Muted   bool   // no sound
	// DTLSActive makes ffmpeg the DTLS client; by itself it is the server.
	DTLSActive bool
	Namespace  *Namespace // nil: here
}

// FFmpeg is an ffmpeg that publishes by WHIP.
type FFmpeg struct {
	*Process

	mu   sync.Mutex  // guards sent
	sent []time.Time // by frame number: when the encoder got it
}

// StartFFmpeg publishes to a WHIP URL until Stop or the end of the test.
func StartFFmpeg(t testing.TB, url string, o FFmpegOptions) *FFmpeg {
	t.Helper()
	tool, args := Tool(t, "ffmpeg"), o.args(url)
	cmd := exec.Command(tool, args...)
	if o.Namespace != nil {
		cmd = o.Namespace.Command(t.Context(), tool, args...)
	}
	f := &FFmpeg{}
	f.Process = StartProcess(t, "ffmpeg", cmd, f.line)
	return f
}

func (o FFmpegOptions) args(url string) []string {
	size, fps, gop, bitrate := o.Size, o.FPS, o.GOP, o.Bitrate
	if size == "" {
		size = "640x360"
	}
	if fps == 0 {
		fps = 30
	}
	if gop == 0 {
		gop = 60
	}
	if bitrate == "" {
		bitrate = "800k"
	}
	filters := "showinfo=checksum=0"
	if o.Barcode {
		filters = BarcodeFilter(0) + "," + filters
	}
	args := []string{
		"-hide_banner", "-nostdin", "-nostats", "-loglevel", "info",
		"-re", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%s:rate=%d", size, fps),
	}
	if !o.Muted {
		args = append(args, "-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")
	}
	args = append(args,
		"-vf", filters, "-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-tune", "zerolatency",
		"-pix_fmt", "yuv420p", "-bf", "0", "-g", strconv.Itoa(gop), "-keyint_min", strconv.Itoa(gop), "-sc_threshold", "0", "-b:v", bitrate)
	if !o.Muted {
		args = append(args, "-c:a", "libopus", "-ac", "2", "-b:a", "64k")
	}
	if o.Token != "" {
		args = append(args, "-authorization", o.Token)
	}
	if o.DTLSActive {
		args = append(args, "-whip_flags", "dtls_active")
	}
	return append(args, "-f", "whip", url)
}

// BarcodeFilter draws the frame number, counted from first, as a row of cells,
// lowest bit first.
func BarcodeFilter(first int) string {
	cell := func(i int, color, enable string) string {
		return fmt.Sprintf("drawbox=x=%d:y=0:w=%d:h=%d:color=%s:t=fill%s", i*barcodeCell, barcodeCell, barcodeCell, color, enable)
	}
	filters := []string{
		fmt.Sprintf("drawbox=x=0:y=0:w=%d:h=%d:color=black:t=fill", (BarcodeBits+4)*barcodeCell, barcodeCell),
		cell(1, "white", ""), cell(BarcodeBits+2, "white", ""),
	}
	for bit := range BarcodeBits {
		filters = append(filters, cell(bit+2, "white", fmt.Sprintf(":enable=bitand(n+%d\\,%d)", first, 1<<bit)))
	}
	return strings.Join(filters, ",")
}

// line notes when a frame went by: showinfo writes lines for each.
func (f *FFmpeg) line(line string) (keep bool) {
	if !strings.Contains(line, "showinfo") {
		return true
	}
	now := time.Now()
	_, rest, _ := strings.Cut(line, "] n:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.sent) <= n {
		f.sent = append(f.sent, now)
	}
	return false
}

// Sent returns when the encoder got a frame; the number may have lost the bits
// that a barcode does not hold. False when there was no such frame yet.
func (f *FFmpeg) Sent(frame int) (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	const cycle = 1 << BarcodeBits
	// The newest frame with these bits.
	n := frame%cycle + (len(f.sent)-1-frame%cycle)/cycle*cycle
	if frame%cycle >= len(f.sent) {
		return time.Time{}, false
	}
	return f.sent[n], true
}

// Frames returns how many frames the encoder has got.
func (f *FFmpeg) Frames() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

// Stop ends the publication as a user would: ffmpeg sends DELETE.
func (f *FFmpeg) Stop() error { return f.Process.Stop(syscall.SIGINT, 10*time.Second) }
