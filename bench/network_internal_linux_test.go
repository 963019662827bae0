package bench

import (
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// TestPortableNetwork measures by the network of systems without a better one.
func TestPortableNetwork(t *testing.T) {
	node := gatewaytest.Start(t)
	c := DefaultConfig()
	c.WHIP, c.WHEP = node.URL()+"/whip/demo", node.URL()+"/whep/demo"
	c.Viewers, c.Sample, c.Bitrate = []int{4}, 2, 300_000
	c.Duration, c.Settle = time.Second, 300*time.Millisecond
	c.network = newPortableNetwork
	report, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Steps[0]; s.Viewers.Connected != 4 || s.Viewers.Silent != 0 || s.Media.Stamps == 0 || s.Media.Latency == nil {
		t.Errorf("got %+v", s)
	}
}
