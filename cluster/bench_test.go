package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func quiet(c *Config) { c.Log = slog.New(slog.DiscardHandler) }

// BenchmarkWrite makes rooms, each synced to disk before it is answered.
func BenchmarkWrite(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) {
			n := open(b, b.TempDir(), quiet)
			var next atomic.Int64
			var running sync.WaitGroup
			b.ResetTimer()
			for range clients {
				running.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, err := n.CreateRoom(b.Context(), Request{}, Room{Name: fmt.Sprint("room-", i)}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			running.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	n := open(b, b.TempDir(), quiet)
	createRooms(b, n, 0, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := n.Room("room-050"); !ok {
			b.Fatal("no room")
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, rooms := range []int{0, 1000} {
		name := "new"
		if rooms > 0 {
			name = "existing"
		}
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			n := open(b, dir, quiet)
			createRooms(b, n, 0, rooms)
			shut(b, n)
			for i := 0; b.Loop(); i++ {
				from := dir
				if rooms == 0 {
					from = fmt.Sprint(dir, "-", i)
				}
				n, err := Open(b.Context(), Config{Node: "n1", Dir: from, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				shut(b, n)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkWriteDuringSnapshot tells the slowest write while 100,000 rooms are
// written to a snapshot again and again.
func BenchmarkWriteDuringSnapshot(b *testing.B) {
	n := open(b, b.TempDir(), quiet)
	fill(b, n, 100_000)
	ctx, stop := context.WithCancel(b.Context())
	var snapshots atomic.Int64
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			if err := n.raft.Snapshot().Error(); err == nil {
				snapshots.Add(1)
			}
		}
	})
	var worst time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		if _, err := n.CreateRoom(b.Context(), Request{}, Room{Name: fmt.Sprint("more-", i)}); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(start))
	}
	stop()
	running.Wait()
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
	b.ReportMetric(float64(snapshots.Load()), "snapshots")
}

func fill(b *testing.B, n *Node, count int) {
	b.Helper()
	var running sync.WaitGroup
	for w := range 64 {
		running.Go(func() {
			for i := w; i < count; i += 64 {
				if _, err := n.CreateRoom(b.Context(), Request{}, Room{Name: fmt.Sprintf("room-%06d", i)}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
}
