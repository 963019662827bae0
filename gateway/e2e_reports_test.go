//go:build e2e && linux

package gateway_test

import (
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// The sender reports of both streams come in one datagram (RFC 8108 section
// 5.3): a browser must take each of them to the stream that it is of.
func TestE2ESenderReports(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	publisher := onAir(t, b, node.URL+"/publish/reports?auto=1&codec=vp8&width=640&height=360&fps=30")
	page := b.Open(node.URL+"/play/reports", gatewaytest.PageOptions{})
	page.WaitFrames(30, joinLimit)
	type report struct {
		Kind                     string
		ReportsSent, PacketsSent float64
	}
	reports := func() map[string]report {
		var all []report
		page.Eval("window.sluice.raw().then((all) => all.filter((s) => s.type === 'remote-outbound-rtp'))", &all)
		found := map[string]report{}
		for _, r := range all {
			found[r.Kind] = r
		}
		return found
	}
	before, from := reports(), time.Now()
	pause(t, 5*time.Second)
	after, gone := reports(), time.Since(from).Seconds()
	for _, kind := range []string{"audio", "video"} {
		more := after[kind].ReportsSent - before[kind].ReportsSent
		t.Logf("%s: %.0f reports in %.1f s, of %.0f packets", kind, more, gone, after[kind].PacketsSent)
		if more < 0.6*gone || more > 1.5*gone {
			t.Errorf("%s: got %.0f reports in %.1f s, want one a second", kind, more, gone)
		}
		if after[kind].PacketsSent <= before[kind].PacketsSent {
			t.Errorf("%s: got reports of %.0f and then %.0f packets, want more", kind, before[kind].PacketsSent, after[kind].PacketsSent)
		}
	}
	if after["audio"].PacketsSent == after["video"].PacketsSent {
		t.Errorf("got %+v, want reports that tell the streams apart", after)
	}
	checkQuiet(t, page, publisher)
}
