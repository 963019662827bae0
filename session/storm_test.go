package session_test

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/egress"
	"github.com/sluicemedia/sluice/session"
)

// storm is how many viewers join at the same time, and how many watch meanwhile.
// SLUICE_LONG makes it a thousand in ten seconds.
func storm() (joining, watching int, every time.Duration) {
	if os.Getenv("SLUICE_LONG") != "" {
		return 1000, 50, 10 * time.Millisecond
	}
	return 100, 10, 0
}

// watcher is a viewer that looks for gaps in what it is sent.
type watcher struct {
	*raw
	viewer *egress.Viewer
	source *source
	got    atomic.Int64
	gaps   atomic.Int64
	worst  atomic.Int64 // longest time between two packets
	last   time.Time
	next   uint16
}

func (w *watcher) packet(b []byte) {
	now, seq := time.Now(), uint16(b[2])<<8|uint16(b[3])
	if w.got.Add(1) > 1 {
		if seq != w.next {
			w.gaps.Add(1)
		}
		w.worst.Store(max(w.worst.Load(), int64(now.Sub(w.last))))
	}
	w.next, w.last = seq+1, now
}

func (w *watcher) send() {
	w.source.seq++
	w.viewer.Stream("video").Write(&egress.Packet{
		Seq: 1<<16 + w.source.seq, Timestamp: uint32(w.source.seq) * 3000, Key: true, Marker: true, Payload: []byte("\x10\x00x"), Arrived: time.Now(),
	})
}

// crowd lets viewers join, all of them, and returns how many handshakes were
// seen under way and waiting at most.
func crowd(t *testing.T, table *session.Table, joining int, every time.Duration) (peak session.HandshakeStats) {
	t.Helper()
	shaken := make(chan error, joining)
	look := func() {
		now := table.Stats().Handshakes
		peak.UnderWay, peak.Waiting = max(peak.UnderWay, now.UnderWay), max(peak.Waiting, now.Waiting)
	}
	begin := time.Now()
	for i := range joining {
		r := openRaw(t, table)
		r.check(checkOption{nominate: true})
		go func() { shaken <- r.shake(r.cert) }()
		look()
		time.Sleep(time.Until(begin.Add(time.Duration(i+1) * every))) // the pace of the crowd, not a wait for anything
	}
	poll(t, "the crowd is in", func() bool { look(); return len(shaken) == joining })
	for range joining {
		if err := <-shaken; err != nil {
			t.Error(err)
		}
	}
	return peak
}

// A crowd joins while others watch: they miss nothing, everybody in the crowd
// gets in, and the handshakes under way are no more than there is room for.
func TestStorm(t *testing.T) { //nolint:paralleltest // a crowd is enough for one machine
	joining, watching, every := storm()
	const places = 16
	table := newTable(t, nil)
	table.Limits(places, time.Hour, 0)
	var watchers []*watcher
	for range watching {
		w := &watcher{raw: openRaw(t, table), source: &source{}}
		w.rtp = w.packet
		w.viewer = w.join()
		bindRaw(t, w.viewer, w.source)
		w.report()
		watchers = append(watchers, w)
	}
	over := make(chan struct{})
	var sending sync.WaitGroup
	sent := 0
	sending.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			sent++
			for _, w := range watchers {
				w.send()
			}
		}
	})
	poll(t, "they watch", func() bool { return watchers[watching-1].got.Load() > 0 })

	peak := crowd(t, table, joining, every)
	close(over)
	sending.Wait()
	if peak.UnderWay > places {
		t.Errorf("%d handshakes under way, want at most %d", peak.UnderWay, places)
	}
	if st := table.Stats(); st.Handshakes.Failed != 0 || st.Drops["too_many_handshakes"] != 0 {
		t.Errorf("got %+v, %v", st.Handshakes, st.Drops)
	}
	var worst time.Duration
	for i, w := range watchers {
		poll(t, "all of it", func() bool { return w.got.Load() >= int64(sent) })
		if n := w.gaps.Load(); n != 0 {
			t.Errorf("watcher %d: %d gaps in %d packets", i, n, sent)
		}
		worst = max(worst, time.Duration(w.worst.Load()))
	}
	t.Logf("%d joined beside %d on %d processors: %d under way at most, %d waiting; longest silence of a packet each 2 ms: %v",
		joining, watching, runtime.GOMAXPROCS(0), peak.UnderWay, peak.Waiting, worst)
}
