//go:build e2e && linux

package gateway_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
	"github.com/sluicemedia/sluice/sfu"
)

const (
	// filmFirst is from where on the pictures of the second of two films are
	// numbered, so that a picture on the screen tells whose it is.
	filmFirst = 1 << (gatewaytest.BarcodeBits - 1)
	// cutFreeze is how long the picture may stand still over a cut, and cutLimit
	// how long a cut may take in the middle of all of them.
	cutFreeze, cutLimit = 200 * time.Millisecond, 100 * time.Millisecond
	// cutPace is from one cut to the next: a publisher is asked for two
	// keyframes in a second at most, and it is the turn of each every other time.
	cutPace = 260 * time.Millisecond
)

// films are two that differ in their numbers and in what moves, with a keyframe
// a second.
func films(t *testing.T) (list []gatewaytest.Film) {
	t.Helper()
	_, sound := recordedMedia(t)
	for i, picture := range []string{"testsrc2", "testsrc"} {
		file := filepath.Join(t.TempDir(), "film.h264")
		ffmpeg(t, "-f", "lavfi", "-i", picture+"=size=480x270:rate=30",
			"-vf", gatewaytest.BarcodeFilter(i*filmFirst), "-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast",
			"-pix_fmt", "yuv420p", "-bf", "0", "-g", "30", "-sc_threshold", "0", "-b:v", "400k",
			"-x264-params", "aud=0:repeat-headers=1", "-t", "8", "-f", "h264", file)
		video, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, gatewaytest.Film{Video: video, Audio: sound})
	}
	return list
}

// cutting is one who watches a program of two publications.
type cutting struct {
	t     *testing.T
	rooms *sfu.Rooms
	page  *gatewaytest.Page
	names [2]string

	// Of each cut: until the picture came, until it was on the screen, and the
	// longest without a new one there.
	came, took, still []time.Duration

	films   []gatewaytest.Film
	witness *gatewaytest.PacketViewer // tells when the picture comes, whatever a browser does with it
}

// comes waits until a packet of a film comes.
func (c *cutting) comes(to int) {
	c.t.Helper()
	for limit := time.After(joinLimit); ; {
		select {
		case p := <-c.witness.Packets:
			// A part of a slice that is not the first of its packet: no header of RTP's.
			if b := p.Payload; len(b) > 60 && bytes.Contains(c.films[to].Video, b[20:60]) {
				return
			}
		case <-limit:
			c.t.Fatalf("no picture of %q", c.names[to])
		}
	}
}

// forget drops the packets that have come.
func (c *cutting) forget() {
	for len(c.witness.Packets) > 0 {
		<-c.witness.Packets
	}
}

// cut goes to the other publication so many times and looks at what was shown.
func (c *cutting) cut(from, times int) {
	c.t.Helper()
	at := make([]time.Time, 0, times+1)
	for i := range times {
		to := (from + i) % 2
		pause(c.t, time.Duration(i%7)*10*time.Millisecond) // not in step with anything
		c.forget()
		at = append(at, time.Now())
		if _, err := c.rooms.Update("cuts", sfu.Settings{Program: c.names[to]}); err != nil {
			c.t.Fatal(err)
		}
		c.comes(to)
		c.came = append(c.came, time.Since(at[i]))
		c.await(to)
		pause(c.t, time.Until(at[i].Add(cutPace)))
	}
	at = append(at, time.Now())
	frames := c.page.Frames()
	for i := range times {
		c.look(frames, at[i], at[i+1], (from+i)%2)
	}
}

// await waits until the picture of a publication is shown.
func (c *cutting) await(to int) {
	c.t.Helper()
	for limit := time.Now().Add(joinLimit); ; pause(c.t, 10*time.Millisecond) {
		number := -1
		c.page.Eval("window.__probe.frames.at(-1)[2]", &number)
		switch {
		case number >= 0 && number/filmFirst == to:
			return
		case time.Now().After(limit):
			c.t.Fatalf("%q is not cut to", c.names[to])
		}
	}
}

// look follows one cut.
func (c *cutting) look(frames []gatewaytest.Frame, begun, end time.Time, to int) {
	c.t.Helper()
	var took, still time.Duration
	for i, f := range frames {
		if i == 0 || !f.At.After(begun) || f.At.After(end) {
			continue
		}
		still = max(still, f.At.Sub(frames[i-1].At))
		switch {
		case f.Number < 0:
			c.t.Errorf("a picture that is of neither film")
		case f.Number/filmFirst == to && took == 0:
			took = f.At.Sub(begun)
		case f.Number/filmFirst != to && took != 0:
			c.t.Errorf("the old picture is back %v after the cut", f.At.Sub(begun))
		}
	}
	if took == 0 {
		c.t.Errorf("no picture of %q within %v", c.names[to], end.Sub(begun))
		return
	}
	c.took, c.still = append(c.took, took), append(c.still, still)
}

// Two publishers that answer keyframe requests: each cut of the program is on
// the screen at once, and nothing is left out, neither by the decoder nor for
// the eye.
func TestE2ECuts(t *testing.T) {
	const group = 10
	node := gatewaytest.Start(t)
	c := &cutting{t: t, rooms: node.Rooms(), names: [2]string{"one", "two"}, films: films(t)}
	if _, err := c.rooms.Create("cuts", sfu.Settings{Program: "one"}); err != nil {
		t.Fatal(err)
	}
	var publishers []*gatewaytest.FilmPublisher
	for i, film := range c.films {
		publishers = append(publishers, gatewaytest.PublishFilm(t, node.URL()+"/whip/cuts/"+c.names[i], film))
	}
	waitLive(t, node.URL(), "cuts")
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	c.page = b.Open(node.URL()+"/play/cuts", gatewaytest.PageOptions{Barcode: true})
	c.page.WaitFrames(60, joinLimit)
	c.witness = gatewaytest.ViewPackets(t, node.URL(), "cuts", codecNamed(t, "H264"))
	c.comes(0)
	pause(t, 2*time.Second)
	before := c.page.Report()
	for _, p := range publishers {
		p.Gap()
	}
	for done := 0; done < long(50, 1000); done += group {
		c.cut(done+1, group)
	}
	after := c.page.Report()
	logChanges(t, before, after)
	var busy time.Duration
	for i, p := range publishers {
		gap := p.Gap()
		t.Logf("%s was asked for %d keyframes; at most %v between two of its pictures", c.names[i], p.Requests(), gap)
		busy = max(busy, gap-time.Second/30)
	}
	c.judge(before, after, busy)
	checkQuiet(t, c.page)
}

// spread is the middle, nine tenths and the last of what is sorted.
func spread(d []time.Duration) []time.Duration {
	var out []time.Duration
	for _, i := range []int{len(d) / 2, len(d) * 9 / 10, len(d) - 1} {
		out = append(out, d[i].Round(time.Millisecond))
	}
	return out
}

// judge compares with what is promised. Busy is how long the publishers
// themselves stood still.
func (c *cutting) judge(before, after gatewaytest.Report, busy time.Duration) {
	c.t.Helper()
	slices.Sort(c.came)
	slices.Sort(c.took)
	slices.Sort(c.still)
	n := len(c.took)
	if n == 0 {
		c.t.Fatal("no cut was seen")
	}
	from, to := before.In("video"), after.In("video")
	buffered := (to.JitterBufferDelay - from.JitterBufferDelay) / (to.JitterBufferEmittedCount - from.JitterBufferEmittedCount)
	c.t.Logf("%d cuts; the middle, 90 %% and the worst: came after %v, on the screen after %v (%.0f ms of it in the browser's buffer), without a new picture for %v",
		n, spread(c.came), spread(c.took), 1000*buffered, spread(c.still))
	if middle := c.came[len(c.came)/2]; middle > cutLimit+busy {
		c.t.Errorf("the middle cut took %v, want at most %v", middle, cutLimit)
	}
	if c.still[n-1] > cutFreeze+busy {
		c.t.Errorf("the picture stood still for %v", c.still[n-1])
	}
	// A decoder that fails asks for a keyframe. What it drops besides came too
	// late to be shown: a busy machine does that now and then, a bad cut each time.
	if n := to.PliCount - from.PliCount; n > 0 {
		c.t.Errorf("the decoder asked for %d keyframes", n)
	}
	if dropped, freezes := to.FramesDropped-from.FramesDropped, to.FreezeCount-from.FreezeCount; dropped > n/10 || freezes > 0 && busy < cutFreeze {
		c.t.Errorf("%d pictures dropped, %d freezes", dropped, freezes)
	}
}

// Two browsers whose pictures differ in size, in VP8: their encoders number
// pictures each in its own way, and make a keyframe when asked for one.
func TestE2ECutsBetweenBrowsers(t *testing.T) {
	node := gatewaytest.Start(t)
	c := &cutting{t: t, rooms: node.Rooms(), names: [2]string{"one", "two"}}
	if _, err := c.rooms.Create("cuts", sfu.Settings{Program: "one"}); err != nil {
		t.Fatal(err)
	}
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	widths := [2]int{480, 240}
	var publishers []*gatewaytest.Page
	for i, name := range c.names {
		p := b.Open(node.URL()+"/publish/cuts", gatewaytest.PageOptions{})
		list := fmt.Sprintf("[{ scaleResolutionDownBy: %d, maxBitrate: 300000 }]", 960/widths[i])
		p.Eval(fmt.Sprintf(encodings, "cuts/"+name, "video/VP8", list), nil)
		publishers = append(publishers, p)
	}
	c.page = b.Open(node.URL()+"/play/cuts", gatewaytest.PageOptions{})
	shows := func(width int) {
		t.Helper()
		c.page.Wait(fmt.Sprintf("picture %d wide", width), joinLimit, func(r gatewaytest.Report) bool {
			return r.Callbacks > 30 && r.In("video").FrameWidth == width
		})
	}
	shows(widths[0])
	pause(t, 2*time.Second)
	before := c.page.Report()
	for i := range long(8, 50) {
		to := (i + 1) % 2
		begun := time.Now()
		if _, err := c.rooms.Update("cuts", sfu.Settings{Program: c.names[to]}); err != nil {
			t.Fatal(err)
		}
		shows(widths[to])
		pause(t, 400*time.Millisecond)
		frames := c.page.Frames()
		still := time.Since(frames[len(frames)-1].At)
		for i := len(frames) - 1; i > 0 && frames[i].At.After(begun); i-- {
			still = max(still, frames[i].At.Sub(frames[i-1].At))
		}
		c.still = append(c.still, still)
	}
	after := c.page.Report()
	logChanges(t, before, after)
	slices.Sort(c.still)
	t.Logf("longest without a new picture: %v", c.still)
	// What is wrong with a cut is wrong with each; what a busy machine does to
	// one, three of which encode and decode here, it does not do to most.
	if middle := c.still[len(c.still)/2]; middle > cutFreeze {
		t.Errorf("the picture stood still for %v over the middle cut", middle)
	}
	if n := after.In("video").PliCount - before.In("video").PliCount; n > 0 {
		t.Errorf("the decoder asked for %d keyframes", n)
	}
	checkQuiet(t, append(publishers, c.page)...)
}
