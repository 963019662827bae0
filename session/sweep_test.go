package session_test

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/session"
)

// Looking at a connected viewer makes no garbage.
func TestSweepDoesNotAllocate(t *testing.T) {
	table := newTable(t, nil)
	for range 3 {
		r := openRaw(t, table)
		r.join()
		r.report()
		poll(t, "dropped", func() bool { return r.session.Phase() == "dropped" })
	}
	now := time.Now()
	if got := testing.AllocsPerRun(200, func() { table.Sweep(now) }); got > 0 {
		t.Errorf("%v allocations for each turn of the wheel, want none", got)
	}
}

// BenchmarkSweep is the cost of one second's looks at 2,000 connected viewers,
// and that of a slot, which is looked at in one go.
func BenchmarkSweep(b *testing.B) {
	const viewers = 2000
	table, err := session.NewTable(session.Config{Node: "n1", Media: netip.MustParseAddrPort("127.0.0.1:0")}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := table.Close(); err != nil {
			b.Error(err)
		}
	})
	offer, err := session.ParseOffer(rawOfferText(b))
	if err != nil {
		b.Fatal(err)
	}
	for range viewers {
		s, err := table.OpenViewer(offer, session.ViewerSetup{
			Closed:   func(session.Cause) {},
			Diagnose: func(time.Time) session.Cause { return "" },
		})
		if err != nil {
			b.Fatal(err)
		}
		s.PretendConnected()
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		table.Sweep(now)
	}
	turn := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	b.ReportMetric(turn/viewers, "ns/viewer")
	b.ReportMetric(turn/float64(table.Slots()), "ns/slot")
}
