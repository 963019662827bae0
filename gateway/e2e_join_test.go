//go:build e2e && linux

package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// The promise to viewers who join while the publisher makes a keyframe every
// ten seconds and ignores requests for more.
const (
	firstFrameMedian = 400 * time.Millisecond
	firstFrameWorst  = 800 * time.Millisecond
	behindLive       = 500 * time.Millisecond // three seconds after the first frame
	distinctFrames   = 25                     // in each of these three seconds
)

func TestE2EFirstFrame(t *testing.T) {
	const joins, gop, step = 10, 300, 143 // gop and step in frames
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	publisher := gatewaytest.StartFFmpeg(t, node.URL+"/whip/demo", gatewaytest.FFmpegOptions{GOP: gop, Barcode: true})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	// The first page warms the browser up.
	warm := b.Open(node.URL+"/play/demo", gatewaytest.PageOptions{Barcode: true})
	warm.WaitFrames(30, joinLimit)
	warm.Close()

	// The joins are spread over the keyframe interval; the first comes right
	// after a keyframe.
	start := (publisher.Frames()/gop + 1) * gop
	var took, fromNavigation []time.Duration
	for join := range joins {
		for publisher.Frames() < start+join*step {
			pause(t, 10*time.Millisecond)
		}
		p := b.Open(node.URL+"/play/demo", gatewaytest.PageOptions{Barcode: true})
		r := p.WaitFrames(1, joinLimit)
		pause(t, 3500*time.Millisecond-milliseconds(r.Now-r.FirstFrame))
		frames := p.Frames()
		took = append(took, milliseconds(r.FirstFrame-r.Started))
		fromNavigation = append(fromNavigation, milliseconds(r.FirstFrame))
		perSecond, behind := afterJoin(t, publisher, frames)
		t.Logf("join %d: first frame after %v (%v from navigation), frames in the next seconds %v, then %v behind live",
			join, took[join], fromNavigation[join], perSecond, behind.Round(time.Millisecond))
		for second, n := range perSecond {
			if n < distinctFrames {
				t.Errorf("join %d: %d distinct frames in second %d, want %d:%s", join, n, second+1, distinctFrames, trace(frames))
			}
		}
		if behind < 0 || behind > behindLive {
			t.Errorf("join %d: %v behind live after 3 s, want at most %v", join, behind, behindLive)
		}
		p.Close()
	}
	slices.Sort(took)
	slices.Sort(fromNavigation)
	median, worst := (took[joins/2-1]+took[joins/2])/2, took[joins-1]
	t.Logf("first frame: median %v, worst %v; from navigation: median %v, worst %v", median, worst, fromNavigation[joins/2], fromNavigation[joins-1])
	if median > firstFrameMedian || worst > firstFrameWorst {
		t.Errorf("first frame: median %v, worst %v; want at most %v and %v", median, worst, firstFrameMedian, firstFrameWorst)
	}
}

// afterJoin returns how many frames were presented in each of the first three
// seconds, and how far behind live the viewer was after them.
func afterJoin(t *testing.T, publisher *gatewaytest.FFmpeg, frames []gatewaytest.Frame) (perSecond [3]int, behind time.Duration) {
	t.Helper()
	behind = -1
	last := frames[0]
	for _, f := range frames[1:] {
		since := f.At.Sub(frames[0].At)
		// The picture may be one frame newer than what the callback tells of,
		// so the same number may be read twice; it never goes back.
		const cycle = 1 << gatewaytest.BarcodeBits
		if f.Number < 0 || (f.Number-last.Number+cycle)%cycle > cycle/2 {
			t.Errorf("%v after the first frame number %d follows %d", since, f.Number, last.Number)
		}
		if since < 3*time.Second {
			perSecond[since/time.Second] += f.Presented - last.Presented
		} else if sent, ok := publisher.Sent(f.Number); ok && behind < 0 {
			behind = f.At.Sub(sent)
		}
		last = f
	}
	return perSecond, behind
}

// trace writes frames as milliseconds after the first and number.
func trace(frames []gatewaytest.Frame) string {
	var b strings.Builder
	for _, f := range frames {
		fmt.Fprintf(&b, " %d:%d", f.At.Sub(frames[0].At).Milliseconds(), f.Number)
	}
	return b.String()
}

func milliseconds(ms float64) time.Duration {
	return time.Duration(ms * float64(time.Millisecond)).Round(time.Millisecond)
}
