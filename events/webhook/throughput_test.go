package webhook_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events/webhook"
)

// TestManyWait: ten thousand events of a thousand rooms cost no goroutine each.
func TestManyWait(t *testing.T) {
	r := newReceiver(t)
	r.does(status(http.StatusServiceUnavailable))
	o := open(t, quick(t, r.server.URL))
	before := runtime.NumGoroutine()
	for n := 1; n <= 10; n++ {
		for room := range 1000 {
			o.Put(event("room-"+itoa(room), n))
		}
	}
	if err := o.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := only(t, o); s.Backlog != 10_000 {
		t.Errorf("%d wait", s.Backlog)
	}
	if more := runtime.NumGoroutine() - before; more > 100 {
		t.Errorf("%d goroutines more", more)
	}
	r.does(nil)
	eventually(t, "they begin to arrive", func() bool { return only(t, o).Sent >= 1000 })
	if more := runtime.NumGoroutine() - before; more > 100 {
		t.Errorf("%d goroutines more while they are sent", more)
	}
	r.inOrder()
}

// BenchmarkEvents puts ten thousand events of a hundred rooms, and waits until
// a receiver on this machine has them and the file knows.
func BenchmarkEvents(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer server.Close()
	cfg := webhook.DefaultConfig()
	cfg.Path, cfg.URLs, cfg.Secrets = filepath.Join(b.TempDir(), "webhooks.db"), []string{server.URL}, []webhook.Secret{make([]byte, 32)}
	cfg.Log = slog.New(slog.DiscardHandler)
	o, err := webhook.Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := o.Close(); err != nil {
			b.Error(err)
		}
	}()
	const count = 10_000
	var putting, storing time.Duration
	for b.Loop() {
		began := time.Now()
		for n := range count {
			o.Put(event("room-"+itoa(n%100), n))
		}
		putting += time.Since(began)
		if err := o.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
		storing += time.Since(began)
		for left := 1; left > 0; {
			list, err := o.Endpoints()
			if err != nil {
				b.Fatal(err)
			}
			left = list[0].Backlog
			runtime.Gosched()
		}
	}
	rounds := float64(b.N) * count
	b.ReportMetric(float64(putting.Nanoseconds())/rounds, "ns/put")
	b.ReportMetric(rounds/storing.Seconds(), "stored/s")
	b.ReportMetric(rounds/b.Elapsed().Seconds(), "delivered/s")
}
