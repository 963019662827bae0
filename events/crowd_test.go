package events_test

import (
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events"
)

// TestCrowd lets 500 read a room with 50 messages a second: 1 s of it, or 10
// with SLUICE_LONG=1. Each gets each message, in one order for all; how fast is
// reported.
func TestCrowd(t *testing.T) {
	const listeners, rate = 500, 50
	messages := rate
	if os.Getenv("SLUICE_LONG") != "" {
		messages = 10 * rate
	}
	h := events.NewHub(events.Config{MaxEvents: messages})
	srv := serve(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	var ready, reading sync.WaitGroup
	took := make([][]time.Duration, listeners)
	ready.Add(listeners)
	for i := range listeners {
		reading.Go(func() {
			how := ways[i%len(ways)]
			r, err := how.open(ctx, srv.url, "", (&net.Dialer{}).DialContext)
			if err != nil {
				t.Errorf("%s: %v", how.name, err)
				ready.Done()
				return
			}
			defer r.close()
			if e, err := r.next(); err != nil || e.Type != events.Snapshot || e.Seq != 0 {
				t.Errorf("%s: got %+v, %v first", how.name, e, err)
			}
			ready.Done()
			took[i] = readAll(t, r, messages)
		})
	}
	ready.Wait()
	ticker := time.NewTicker(time.Second / rate)
	defer ticker.Stop()
	for range messages {
		<-ticker.C
		if _, err := h.Send("demo", events.Draft{Text: strconv.FormatInt(time.Now().UnixNano(), 10)}); err != nil {
			t.Fatal(err)
		}
	}
	reading.Wait()
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(all) != listeners*messages {
		t.Fatalf("%d deliveries, want %d", len(all), listeners*messages)
	}
	at := func(share float64) time.Duration {
		return all[int(share*float64(len(all)-1))].Round(10 * time.Microsecond)
	}
	t.Logf("%d deliveries: median %v, p99 %v, p99.9 %v, worst %v", len(all), at(.5), at(.99), at(.999), at(1))
}

// readAll reads messages in their order, and returns how long each took.
func readAll(t *testing.T, r reader, n int) []time.Duration {
	t.Helper()
	took := make([]time.Duration, 0, n)
	for i := range n {
		e, err := r.next()
		now := time.Now()
		if err != nil || e.Seq != uint64(i+1) || e.Type != events.MessageSent {
			t.Errorf("message %d: got %+v, %v", i+1, e, err)
			return took
		}
		m, err := read[events.Message](e)
		if err != nil {
			t.Error(err)
			return took
		}
		sent, err := strconv.ParseInt(m.Text, 10, 64)
		if err != nil {
			t.Error(err)
			return took
		}
		took = append(took, now.Sub(time.Unix(0, sent)))
	}
	return took
}
