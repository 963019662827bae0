//go:build e2e && linux

package gateway_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// footprint is what a node holds when nobody is connected.
type footprint struct {
	goroutines, files float64
	heap, rss         float64 // bytes; the heap after a collection
}

// TestE2EChurn connects and disconnects publishers and viewers, in the three
// ways they leave: DELETE, close_notify, and both. Afterwards the node must hold
// what it held before.
func TestE2EChurn(t *testing.T) {
	warmUp, rounds := long(20, 100), long(100, 1000)
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	churn(t, node, warmUp, 0)
	before := atRest(t, node)
	began := time.Now()
	churn(t, node, rounds, warmUp)
	took := time.Since(began)
	after := atRest(t, node)
	t.Logf("%d rounds in %v: goroutines %v -> %v, files %v -> %v, heap %.0f -> %.0f KiB, RSS %.0f -> %.0f KiB", rounds, took.Round(time.Second),
		before.goroutines, after.goroutines, before.files, after.files, before.heap/1024, after.heap/1024, before.rss/1024, after.rss/1024)
	if after.goroutines > before.goroutines {
		t.Errorf("goroutines grew from %v to %v:\n%s", before.goroutines, after.goroutines, goroutineProfile(t, node))
	}
	if after.files > before.files {
		t.Errorf("open files grew from %v to %v", before.files, after.files)
	}
	if os.Getenv("SLUICE_LONG") == "" {
		return // too few rounds and too soon for a word on memory
	}
	if after.heap > 1.05*before.heap {
		t.Errorf("the live heap grew from %.0f to %.0f bytes, more than 5 %%", before.heap, after.heap)
	}
	if after.rss > 1.2*before.rss {
		t.Errorf("RSS grew from %.0f to %.0f bytes, more than 20 %%", before.rss, after.rss)
	}
}

// churn runs rounds of one publisher and one viewer each, a few at a time.
func churn(t *testing.T, node *gatewaytest.Binary, rounds, from int) {
	t.Helper()
	const workers = 5
	t.Run(fmt.Sprintf("%d rounds", rounds), func(t *testing.T) {
		for worker := range workers {
			t.Run(fmt.Sprintf("worker %d", worker), func(t *testing.T) {
				t.Parallel()
				for n := from + worker; n < from+rounds; n += workers {
					churnOnce(t, node, n)
				}
			})
		}
	})
}

func churnOnce(t *testing.T, node *gatewaytest.Binary, n int) {
	t.Helper()
	room := fmt.Sprintf("churn-%d", n)
	vp8, opus := codecNamed(t, "VP8"), codecNamed(t, "opus")
	p := gatewaytest.Publish(t, node.URL, room, 30, vp8, opus)
	waitLive(t, node.URL, room)
	v := gatewaytest.View(t, node.URL, room, vp8, opus)
	nextFrame(t, v)
	switch n % 3 {
	case 0: // DELETE comes after close_notify, as from OBS
		closeConnection(t, v.PC.Close)
		closeConnection(t, p.PC.Close)
	case 1: // DELETE comes first
	case 2: // no DELETE at all
		v.Session, p.Session = nil, nil
	}
	v.Close(t)
	p.Close(t)
}

func closeConnection(t *testing.T, end func() error) {
	t.Helper()
	if err := end(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// atRest waits until the node has let go of all sessions, also of the memory
// that they had ended, and measures it.
func atRest(t *testing.T, node *gatewaytest.Binary) footprint {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "no session is left", func() bool {
		return metric(t, node, "sluice_sessions") == 0
	})
	pause(t, long(2*time.Second, 65*time.Second)) // ended sessions are remembered for a minute
	http.DefaultClient.CloseIdleConnections()
	return footprint{
		goroutines: restingGoroutines(t, node),
		files:      metric(t, node, "process_open_fds"),
		heap:       liveHeap(t, node),
		rss:        metric(t, node, "process_resident_memory_bytes"),
	}
}

// restingGoroutines is the least number of goroutines seen within a second:
// connections of ours that were closed a moment ago end in their own time. The
// profile is asked, since the collectors of the metrics are goroutines that may
// or may not count themselves.
func restingGoroutines(t *testing.T, node *gatewaytest.Binary) float64 {
	t.Helper()
	least := math.Inf(1)
	for range 20 {
		http.DefaultClient.CloseIdleConnections() // each is one at the node
		var n float64
		if _, err := fmt.Sscanf(goroutineProfile(t, node), "goroutine profile: total %g", &n); err != nil {
			t.Fatalf("the goroutine profile has no total: %v", err)
		}
		least = min(least, n)
		pause(t, 50*time.Millisecond)
	}
	return least
}

func goroutineProfile(t *testing.T, node *gatewaytest.Binary) string {
	t.Helper()
	return fetchText(t, "http://"+node.Admin+"/debug/pprof/goroutine?debug=1")
}

// liveHeap is what a collection leaves. The profile in words begins with a
// collection and takes the memory statistics before it allocates itself.
func liveHeap(t *testing.T, node *gatewaytest.Binary) float64 {
	t.Helper()
	var text string
	for range 2 { // the second frees what the first finalized
		text = fetchText(t, "http://"+node.Admin+"/debug/pprof/heap?gc=1&debug=1")
	}
	const key = "# HeapAlloc = "
	_, rest, ok := strings.Cut(text, key)
	line, _, _ := strings.Cut(rest, "\n")
	bytes, err := strconv.ParseFloat(line, 64)
	if !ok || err != nil {
		t.Fatalf("the heap profile has no line %q", key)
	}
	return bytes
}

// metric sums a metric of the node over its labels.
func metric(t *testing.T, node *gatewaytest.Binary, name string) float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(fetchText(t, "http://"+node.Admin+"/metrics")))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() { // a gauge by label is not there before its first label
		sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
	}
	return sum
}

func fetchText(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, response.Status, err)
	}
	return string(body)
}
