//go:build linux

package gatewaytest

import (
	"context"
	_ "embed" // the probe
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

//go:embed probe.js
var probe string

// Browser is a headless Chromium with a fake camera and microphone.
type Browser struct {
	t   testing.TB
	ctx context.Context // chromedp keeps its state in contexts
}

// BrowserOptions say how a browser is started.
type BrowserOptions struct {
	Namespace *Namespace // nil: here
	// Trusted origins may use the camera although they are plain HTTP off
	// loopback.
	Trusted []string
}

// StartBrowser starts a browser that the test's end closes. A test needs one,
// with as many pages as it likes.
func StartBrowser(t testing.TB, o BrowserOptions) *Browser {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(Tool(t, "chromium")), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1000, 800),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.NoSandbox,
		chromedp.Flag("headless", "new"),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("use-fake-device-for-media-stream", "fps=30"),
		chromedp.Flag("auto-select-desktop-capture-source", "Entire screen"),
	}
	for _, name := range []string{
		"use-fake-ui-for-media-stream",
		"disable-gpu", "disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-extensions", "disable-dev-shm-usage",
		// Every page is to run as if it were looked at.
		"disable-background-timer-throttling", "disable-backgrounding-occluded-windows", "disable-renderer-backgrounding",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	if len(o.Trusted) > 0 {
		options = append(options, chromedp.Flag("unsafely-treat-insecure-origin-as-secure", strings.Join(o.Trusted, ",")))
	}
	if o.Namespace != nil {
		// The browser is spoken to through a pipe, which knows no namespaces.
		options = append(options, chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			inside := o.Namespace.Command(context.Background(), cmd.Path, cmd.Args[1:]...)
			cmd.Path, cmd.Args = inside.Path, inside.Args
		}))
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		closing, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		if err := chromedp.Cancel(closing); err != nil {
			t.Logf("chromium: close: %v", err)
		}
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return &Browser{t: t, ctx: ctx}
}

// PageOptions change what a page sees.
type PageOptions struct {
	Passive bool // offers say a=setup:passive: the gateway must be DTLS client
	Barcode bool // read the frame numbers that FFmpegOptions.Barcode writes
	Light   bool // watch the first frames of each video alone: for pages with many
	Private bool // in a browser context of its own: another person's browser
}

// Page is one page, in a window of its own.
type Page struct {
	t      testing.TB
	ctx    context.Context // chromedp keeps its state in contexts
	cancel context.CancelFunc
	URL    string
}

// Open opens a page in a window of its own and waits until it has loaded.
func (b *Browser) Open(url string, o PageOptions) *Page {
	b.t.Helper()
	var private []chromedp.ContextOption
	if o.Private {
		private = append(private, chromedp.WithNewBrowserContext())
	}
	ctx, cancel := chromedp.NewContext(b.ctx, private...)
	b.t.Cleanup(cancel)
	p := &Page{t: b.t, ctx: ctx, cancel: cancel, URL: url}
	settings, err := json.Marshal(o.settings())
	if err != nil {
		b.t.Fatal(err)
	}
	script := fmt.Sprintf("window.__settings = %s;\n%s", settings, probe)
	err = chromedp.Do(ctx,
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
			return err
		}),
		chromedp.Navigate(url))
	if err != nil {
		b.t.Fatalf("open %s: %v", url, err)
	}
	return p
}

func (o PageOptions) settings() map[string]any {
	s := map[string]any{"passive": o.Passive, "cell": barcodeCell, "light": o.Light}
	if o.Barcode {
		s["bits"] = BarcodeBits
	}
	return s
}

// Report is what the probe knows of a page. Times are in milliseconds on the
// page's clock; Origin is where that clock began, in Unix time.
type Report struct {
	Now, Origin         float64
	State               string // of the newest RTCPeerConnection
	Started, FirstFrame float64
	Presented           int // frames presented on the screen
	Callbacks           int
	Posts, Connections  int
	Session             string // URL
	Errors              []string
	Inbound, Outbound   []RTPStats
	Offer, Answer       string // descriptions in force
}

// RTPStats is the part of RTCInboundRtpStreamStats and
// RTCOutboundRtpStreamStats that tests use.
type RTPStats struct {
	Kind, Codec                  string
	RID, ScalabilityMode         string
	SSRC                         uint32
	FramesEncoded, FramesDecoded int
	FramesDropped, FreezeCount   int
	KeyFramesDecoded             int
	FrameWidth, FrameHeight      int
	PacketsReceived, PacketsLost int
	PacketsSent                  int
	RetransmittedPacketsSent     int
	RetransmittedPacketsReceived int
	NackCount, PliCount          int
	TotalAudioEnergy             float64
	TotalSamplesReceived         float64
	ConcealedSamples             float64
	JitterBufferDelay            float64
	JitterBufferEmittedCount     float64
}

// In returns the incoming statistics of a kind, zero when there are none.
func (r Report) In(kind string) RTPStats { return ofKind(r.Inbound, kind) }

// Out returns the outgoing statistics of a kind, zero when there are none.
func (r Report) Out(kind string) RTPStats { return ofKind(r.Outbound, kind) }

func ofKind(all []RTPStats, kind string) RTPStats {
	for _, s := range all {
		if s.Kind == kind {
			return s
		}
	}
	return RTPStats{}
}

// Report asks the probe.
func (p *Page) Report() Report {
	p.t.Helper()
	var r Report
	p.Eval("window.__probe.report()", &r)
	return r
}

// Eval evaluates an expression, waits for it when it is a promise, and stores
// its value in out, which may be nil.
func (p *Page) Eval(expression string, out any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	wrapped := "(async () => JSON.stringify((await (" + expression + ")) ?? null))()"
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](wrapped, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.URL, expression, err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		p.t.Fatalf("%s: %s: %v: %s", p.URL, expression, err, text)
	}
}

// Wait asks the probe until ok holds, at most for limit; then the test fails.
func (p *Page) Wait(what string, limit time.Duration, ok func(Report) bool) Report {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		r := p.Report()
		if ok(r) {
			return r
		}
		if time.Now().After(deadline) {
			var said string
			p.Eval("document.body.innerText", &said)
			p.t.Fatalf("%s: no %s within %v: state %s, in %+v, out %+v, errors %v\nthe page says: %s",
				p.URL, what, limit, r.State, r.Inbound, r.Outbound, r.Errors, strings.Join(strings.Fields(said), " "))
		}
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("%s: %v", p.URL, p.ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// WaitFrames waits until n frames were presented.
func (p *Page) WaitFrames(n int, limit time.Duration) Report {
	p.t.Helper()
	return p.Wait(fmt.Sprintf("%d frames", n), limit, func(r Report) bool { return r.Callbacks >= n })
}

// Frame is one frame as it was presented.
type Frame struct {
	At        time.Time
	Presented int // frames presented until then: a page may be told of some only
	Number    int // read from the picture, -1 without a barcode
}

// Frames returns the newest frames that were presented, at most some thousand.
func (p *Page) Frames() []Frame {
	p.t.Helper()
	var origin float64
	p.Eval("performance.timeOrigin", &origin)
	var raw [][3]float64
	p.Eval("window.__probe.frames", &raw)
	frames := make([]Frame, len(raw))
	for i, f := range raw {
		at := time.UnixMicro(int64((origin + f[0]) * 1000))
		frames[i] = Frame{At: at, Presented: int(f[1]), Number: int(f[2])}
	}
	return frames
}

// RestartICE restarts ICE by PATCH on the page's own session.
func (p *Page) RestartICE() {
	p.t.Helper()
	p.Eval("window.__probe.restart()", nil)
}

// Close closes the page as a user would: it ends its session.
func (p *Page) Close() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		p.t.Errorf("leave %s: %v", p.URL, err)
	}
	p.cancel()
}

// CloseTab closes the tab as a user does by its cross: the page gets no time to
// say anything that it does not say at once.
func (p *Page) CloseTab() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.Close, cdp.Empty{})
		return err
	})); err != nil {
		p.t.Errorf("close %s: %v", p.URL, err)
	}
}

// Resize gives the page another size, such as that of a phone.
func (p *Page) Resize(width, height int64) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(width, height)); err != nil {
		p.t.Errorf("resize %s: %v", p.URL, err)
	}
}

// WaitFor waits until an expression is true, at most for limit; then the test
// fails and tells what the page shows.
func (p *Page) WaitFor(expression string, limit time.Duration) {
	p.t.Helper()
	for deadline := time.Now().Add(limit); ; {
		var yes bool
		if p.Eval("Boolean("+expression+")", &yes); yes {
			return
		}
		if time.Now().After(deadline) {
			var said string
			p.Eval("document.body.innerText", &said)
			p.t.Fatalf("%s: waited %v in vain for %s\nthe page says: %s", p.URL, limit, expression, strings.Join(strings.Fields(said), " "))
		}
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("%s: %v", p.URL, p.ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Picture is a video on the page that can be heard, that is one of somebody
// else.
type Picture struct {
	Frames int     // presented
	Moving float64 // Unix time in milliseconds of the second frame; 0: it does not move
}

// Pictures lists the videos of others that are on the page, in its order.
func (p *Page) Pictures() []Picture {
	p.t.Helper()
	var all []Picture
	p.Eval("window.__probe.pictures()", &all)
	return all
}

// Screenshot saves a picture of the page as name.png in $SLUICE_SHOTS, for
// people to look at; without that variable it only proves that one can be made.
func (p *Page) Screenshot(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Errorf("screenshot of %s: %v", p.URL, err)
		return
	}
	dir := os.Getenv("SLUICE_SHOTS")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}
