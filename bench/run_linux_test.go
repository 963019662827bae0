package bench_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/bench"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// small is a load that a busy machine bears.
func small(url string) bench.Config {
	c := bench.DefaultConfig()
	c.WHIP, c.WHEP = url+"/whip/demo", url+"/whep/demo"
	c.Viewers, c.Duration, c.Settle = []int{6}, 1500*time.Millisecond, 300*time.Millisecond
	c.Bitrate, c.Sample = 300_000, 2
	return c
}

// TestRun measures a node of this process, viewer by viewer and packet by packet.
func TestRun(t *testing.T) {
	node := gatewaytest.Start(t)
	c := small(node.URL())
	c.Viewers = []int{3, 6}
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Served() || len(report.Steps) != 2 {
		t.Fatalf("not everybody was served: %+v", report)
	}
	for i, s := range report.Steps {
		v, m := s.Viewers, s.Media
		if v.Connected != c.Viewers[i] || v.Asked != c.Viewers[i] || v.Refused != 0 || v.Failed != 0 {
			t.Errorf("step %d: got %+v", i, v)
		}
		if m.Stamps == 0 || m.Packets <= m.Stamps || m.Undecryptable != 0 {
			t.Errorf("step %d: %d stamps in %d packets, %d undecryptable", i, m.Stamps, m.Packets, m.Undecryptable)
		}
		if m.Latency == nil || m.Latency.P50 <= 0 || m.Latency.P99 < m.Latency.P50 || m.Latency.Max < m.Latency.P99 {
			t.Errorf("step %d: latency %+v", i, m.Latency)
		}
		var bars uint64
		for _, b := range s.Histogram {
			bars += b.Packets
		}
		// The stamps of a picture's parameter sets and of viewers who came with the step count alike.
		if bars != m.Stamps {
			t.Errorf("step %d: the histogram has %d packets, the viewers %d", i, bars, m.Stamps)
		}
		if s.Join.Post == nil || s.Join.FirstMedia == nil || s.Join.FirstKeyframe == nil || s.Join.Tried != 3 {
			t.Errorf("step %d: joins %+v", i, s.Join)
		}
	}
	if o := report.Steps[1].Join.Others; o == nil || o.Viewers != 3 {
		t.Errorf("got %+v, want what the first three got while the others joined", o)
	}
	var text, out bytes.Buffer
	if err := report.WriteText(&text); err != nil || !bytes.Contains(text.Bytes(), []byte("viewers connected")) {
		t.Errorf("got %v and\n%s", err, text.String())
	}
	if err := report.WriteJSON(&out); err != nil || !json.Valid(out.Bytes()) {
		t.Errorf("got %v and\n%s", err, out.String())
	}
}
