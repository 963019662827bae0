//go:build e2e && linux

package gateway_test

import (
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

	took, still []time.Duration // of each cut: until the picture was there, and the longest without a new one
}

// cut goes to the other publication so many times and looks at what was shown.
func (c *cutting) cut(from, times int) {
	c.t.Helper()
	var at []time.Time
	for i := range times {
		pause(c.t, cutPace+time.Duration(i%7)*10*time.Millisecond) // not in step with anything
		at = append(at, time.Now())
		if _, err := c.rooms.Update("cuts", sfu.Settings{Program: c.names[(from+i)%2]}); err != nil {
			c.t.Fatal(err)
		}
	}
	pause(c.t, cutPace)
	frames := c.page.Frames()
	for i, begun := range at {
		end := time.Now()
		if i+1 < len(at) {
			end = at[i+1]
		}
		c.look(frames, begun, end, (from+i)%2)
	}
}

// look follows one cut.
func (c *cutting) look(frames []gatewaytest.Frame, begun, end time.Time, to int) {
	c.t.Helper()
	first := slices.IndexFunc(frames, func(f gatewaytest.Frame) bool { return f.At.After(begun) })
	if first < 1 {
		c.t.Errorf("no picture after the cut")
		return
	}
	var took, still time.Duration
	for i, f := range frames[first:] {
		if f.At.After(end) {
			break
		}
		still = max(still, f.At.Sub(frames[first+i-1].At))
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
		c.t.Errorf("not cut within %v", end.Sub(begun))
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
	c := &cutting{t: t, rooms: node.Rooms(), names: [2]string{"one", "two"}}
	if _, err := c.rooms.Create("cuts", sfu.Settings{Program: "one"}); err != nil {
		t.Fatal(err)
	}
	var publishers []*gatewaytest.FilmPublisher
	for i, film := range films(t) {
		publishers = append(publishers, gatewaytest.PublishFilm(t, node.URL()+"/whip/cuts/"+c.names[i], film))
	}
	waitLive(t, node.URL(), "cuts")
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	c.page = b.Open(node.URL()+"/play/cuts", gatewaytest.PageOptions{Barcode: true})
	c.page.WaitFrames(60, joinLimit)
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

// judge compares with what is promised. Busy is how long the publishers
// themselves stood still.
func (c *cutting) judge(before, after gatewaytest.Report, busy time.Duration) {
	c.t.Helper()
	slices.Sort(c.took)
	slices.Sort(c.still)
	n := len(c.took)
	if n == 0 {
		c.t.Fatal("no cut was seen")
	}
	c.t.Logf("%d cuts: on the screen after %v in the middle, 90 %% %v, at most %v; longest without a new picture %v, 90 %% %v, in the middle %v",
		n, c.took[n/2], c.took[n*9/10], c.took[n-1], c.still[n-1], c.still[n*9/10], c.still[n/2])
	if c.took[n/2] > cutLimit {
		c.t.Errorf("the middle cut took %v, want at most %v", c.took[n/2], cutLimit)
	}
	if c.still[n-1] > cutFreeze+busy {
		c.t.Errorf("the picture stood still for %v", c.still[n-1])
	}
	from, to := before.In("video"), after.In("video")
	if lost := fmt.Sprintf("%d requests, %d dropped, %d freezes", to.PliCount-from.PliCount, to.FramesDropped-from.FramesDropped, to.FreezeCount-from.FreezeCount); lost != "0 requests, 0 dropped, 0 freezes" {
		c.t.Errorf("the decoder: %s", lost)
	}
}
