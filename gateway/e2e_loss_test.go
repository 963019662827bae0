//go:build e2e && linux

package gateway_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// lossyLab is a node and its clients with an emulated link between.
type lossyLab struct {
	srv, cli     *gatewaytest.Namespace
	link         *gatewaytest.Link // AB is towards the server
	toSrv, toCli *gatewaytest.RTPCounter
	node         *gatewaytest.Binary
	browser      *gatewaytest.Browser
}

func newLossyLab(t *testing.T) *lossyLab {
	t.Helper()
	lab := gatewaytest.NewLab(t)
	l := &lossyLab{srv: lab.Namespace("srv"), cli: lab.Namespace("cli"), toSrv: &gatewaytest.RTPCounter{}, toCli: &gatewaytest.RTPCounter{}}
	l.link = lab.Link(l.cli, netip.MustParsePrefix("10.9.0.2/24"), l.srv, netip.MustParsePrefix("10.9.0.1/24"), 1, l.toSrv.Observe, l.toCli.Observe)
	l.link.Set(gatewaytest.Impairment{Delay: 10 * time.Millisecond})
	l.node = gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{Host: "10.9.0.1", Namespace: l.srv, Flags: []string{"--open"}})
	l.browser = gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{Namespace: l.cli, Trusted: []string{l.node.URL}})
	return l
}

// sums adds up what a counter saw between two moments: packets lost, and packets
// sent again, be it in a retransmission stream or with their old numbers.
func sums(before, after map[uint32]gatewaytest.RTPCount, rtx func(gatewaytest.RTPCount) bool) (packets, lost, again uint64) {
	for ssrc, c := range after {
		was := before[ssrc]
		packets += c.Packets - was.Packets
		lost += c.Lost - was.Lost
		if rtx(c) {
			again += c.Packets - was.Packets
		} else {
			again += c.Repeats - was.Repeats
		}
	}
	return packets, lost, again
}

// rtxTypes are the payload types of retransmission streams in an SDP.
func rtxTypes(sdp string) map[string]bool {
	types := map[string]bool{}
	for line := range strings.Lines(sdp) {
		if rest, found := strings.CutPrefix(line, "a=rtpmap:"); found && strings.Contains(rest, " rtx/") {
			pt, _, _ := strings.Cut(rest, " ")
			types[pt] = true
		}
	}
	return types
}

const lossShare = 0.1

// Ten per cent of what the publisher sends is lost on its way to the server.
func TestE2ELossTowardsServer(t *testing.T) {
	t.Run("ffmpeg", func(t *testing.T) {
		l := newLossyLab(t)
		publisher := gatewaytest.StartFFmpeg(t, l.node.URL+"/whip/demo", gatewaytest.FFmpegOptions{Namespace: l.cli})
		const ffmpegRTX = 105
		lossTowardsServer(t, l, publisher.Frames, func(before, after map[uint32]gatewaytest.RTPCount) (uint64, uint64, uint64) {
			return sums(before, after, func(c gatewaytest.RTPCount) bool { return c.PayloadType == ffmpegRTX })
		})
	})
	t.Run("browser", func(t *testing.T) {
		l := newLossyLab(t)
		publisher := onAir(t, l.browser, l.node.URL+"/publish/demo?auto=1&codec=vp8&width=640&height=360&fps=30&bitrate=800")
		// Chromium fills its retransmission stream with probes for bandwidth,
		// so what it resent is taken from its own count.
		resent := publisher.Report().Out("video").RetransmittedPacketsSent
		lossTowardsServer(t, l, encoded(publisher), func(before, after map[uint32]gatewaytest.RTPCount) (packets, lost, again uint64) {
			packets, lost, _ = sums(before, after, func(gatewaytest.RTPCount) bool { return false })
			return packets, lost, uint64(publisher.Report().Out("video").RetransmittedPacketsSent - resent)
		})
	})
}

func lossTowardsServer(t *testing.T, l *lossyLab, sent func() int, sum func(before, after map[uint32]gatewaytest.RTPCount) (packets, lost, again uint64)) {
	t.Helper()
	viewer := l.browser.Open(l.node.URL+"/play/demo", gatewaytest.PageOptions{})
	viewer.WaitFrames(60, joinLimit)
	before := l.toSrv.Counts()
	l.link.AB.Set(gatewaytest.Impairment{Delay: 10 * time.Millisecond, Loss: lossShare})
	from, was := sent(), viewer.Report()
	pause(t, long(10*time.Second, time.Minute))
	to, is := sent(), viewer.Report()
	packets, lost, again := sum(before, l.toSrv.Counts())
	checkLoss(t, between(was, is), to-from, packets, lost, again)
}

// Ten per cent of what the gateway sends is lost on its way to the viewer.
func TestE2ELossTowardsViewer(t *testing.T) {
	l := newLossyLab(t)
	publisher := gatewaytest.StartFFmpeg(t, l.node.URL+"/whip/demo", gatewaytest.FFmpegOptions{Namespace: l.srv})
	viewer := l.browser.Open(l.node.URL+"/play/demo", gatewaytest.PageOptions{})
	was := viewer.WaitFrames(60, joinLimit)
	rtx := rtxTypes(was.Answer)
	if len(rtx) == 0 {
		t.Fatalf("no retransmission stream in the answer\n%s", was.Answer)
	}
	before := l.toCli.Counts()
	l.link.BA.Set(gatewaytest.Impairment{Delay: 10 * time.Millisecond, Loss: lossShare})
	was = viewer.Report()
	from := publisher.Frames()
	pause(t, long(10*time.Second, time.Minute))
	to, is := publisher.Frames(), viewer.Report()
	packets, lost, again := sums(before, l.toCli.Counts(), func(c gatewaytest.RTPCount) bool { return rtx[strconv.Itoa(int(c.PayloadType))] })
	checkLoss(t, between(was, is), to-from, packets, lost, again)
}

// checkLoss holds the promise under loss.
func checkLoss(t *testing.T, w window, frames int, packets, lost, again uint64) {
	t.Helper()
	t.Logf("%d of %d packets lost, %d sent again; %d of %d frames decoded, %d freezes", lost, packets, again, w.frames, frames, w.freezes)
	if share := float64(lost) / float64(packets); share < lossShare/2 || share > lossShare*2 {
		t.Errorf("the link lost %.3f of the packets, want about %.1f", share, lossShare)
	}
	if again == 0 || again > 2*lost {
		t.Errorf("%d packets sent again for %d lost, want some and at most twice as many", again, lost)
	}
	if float64(w.frames) < 0.9*float64(frames) {
		t.Errorf("%d of %d frames decoded, want 90 %%", w.frames, frames)
	}
}
