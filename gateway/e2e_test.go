//go:build e2e && linux

package gateway_test

import (
	"os"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// The end-to-end tests run real clients against the built program. They assert
// the figures that the product promises; how long they look is shorter than
// the promise unless SLUICE_LONG is set (make test-long).

// long returns the full value in long runs.
func long[T any](short, full T) T {
	if os.Getenv("SLUICE_LONG") != "" {
		return full
	}
	return short
}

// joinLimit is how long anything may take that is not measured. It is not a
// promise: a machine may be slow.
const joinLimit = 30 * time.Second

// pause lets a measured time go by.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// window is what a viewer saw between two reports.
type window struct {
	frames, freezes int
	seconds         float64
	energy          float64 // of the sound
}

// rate is in frames per second.
func (w window) rate() float64 { return float64(w.frames) / w.seconds }

func between(a, b gatewaytest.Report) window {
	va, vb := a.In("video"), b.In("video")
	return window{
		frames:  vb.FramesDecoded - va.FramesDecoded,
		freezes: vb.FreezeCount - va.FreezeCount,
		seconds: (b.Now - a.Now) / 1000,
		energy:  b.In("audio").TotalAudioEnergy - a.In("audio").TotalAudioEnergy,
	}
}

// watch opens n viewers, waits for their pictures, lets them play for d and
// returns what each saw. Sent tells how many frames the publisher has encoded;
// watch returns how many it encoded meanwhile.
func watch(t *testing.T, b *gatewaytest.Browser, url string, n int, d time.Duration, o gatewaytest.PageOptions, sent func() int) ([]window, []*gatewaytest.Page, int) {
	t.Helper()
	pages := make([]*gatewaytest.Page, n)
	for i := range pages {
		pages[i] = b.Open(url, o)
	}
	before := make([]gatewaytest.Report, n)
	for i, p := range pages {
		before[i] = p.WaitFrames(30, joinLimit)
	}
	// All have caught up with live: what follows is a steady state.
	pause(t, 2*time.Second)
	for i, p := range pages {
		before[i] = p.Report()
	}
	from := sent()
	pause(t, d)
	windows := make([]window, n)
	to := sent()
	for i, p := range pages {
		windows[i] = between(before[i], p.Report())
	}
	return windows, pages, to - from
}

// checkPlays fails the test for a viewer that saw less than 90 % of the frames
// or heard nothing.
func checkPlays(t *testing.T, windows []window, encoded int) {
	t.Helper()
	for i, w := range windows {
		t.Logf("viewer %d: %d of %d frames in %.1f s (%.1f/s), %d freezes", i, w.frames, encoded, w.seconds, w.rate(), w.freezes)
		if encoded == 0 || float64(w.frames) < 0.9*float64(encoded) {
			t.Errorf("viewer %d decoded %d of %d frames, want 90 %%", i, w.frames, encoded)
		}
		if w.energy <= 0 {
			t.Errorf("viewer %d hears nothing", i)
		}
	}
}

// checkQuiet fails the test when a page had errors of its own.
func checkQuiet(t *testing.T, pages ...*gatewaytest.Page) {
	t.Helper()
	for _, p := range pages {
		if r := p.Report(); len(r.Errors) > 0 {
			t.Errorf("%s: errors on the page: %q", p.URL, r.Errors)
		}
	}
}

// onAir opens the publish page and waits until it sends frames.
func onAir(t *testing.T, b *gatewaytest.Browser, url string) *gatewaytest.Page {
	t.Helper()
	p := b.Open(url, gatewaytest.PageOptions{})
	p.Wait("frames sent", joinLimit, func(r gatewaytest.Report) bool {
		return r.State == "connected" && r.Out("video").FramesEncoded > 30
	})
	return p
}

// encoded counts the frames that a publish page has encoded.
func encoded(p *gatewaytest.Page) func() int {
	return func() int { return p.Report().Out("video").FramesEncoded }
}
