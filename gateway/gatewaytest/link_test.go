package gatewaytest_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// travel sends n packets, one every gap, and returns how long each copy that
// came out was under way, by the number of its packet.
func travel(t *testing.T, imp gatewaytest.Impairment, n, size int, gap time.Duration) (map[int][]time.Duration, []int, gatewaytest.Counts) {
	t.Helper()
	took := map[int][]time.Duration{}
	var order []int
	var counts gatewaytest.Counts
	synctest.Test(t, func(*testing.T) {
		d := gatewaytest.NewDirection(1, nil)
		defer d.Close()
		d.Set(imp)
		for i := range n {
			sent := time.Now()
			d.Send(make([]byte, size), func([]byte) {
				took[i] = append(took[i], time.Since(sent))
				order = append(order, i)
			})
			time.Sleep(gap)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		counts = d.Counts()
	})
	return took, order, counts
}

func TestDirectionDelay(t *testing.T) {
	took, order, counts := travel(t, gatewaytest.Impairment{Delay: 40 * time.Millisecond}, 100, 100, time.Millisecond)
	if counts != (gatewaytest.Counts{In: 100, Out: 100}) {
		t.Errorf("got %+v", counts)
	}
	for i := range 100 {
		if order[i] != i {
			t.Fatalf("packet %d came as number %d", order[i], i)
		}
		if len(took[i]) != 1 || took[i][0] != 40*time.Millisecond {
			t.Errorf("packet %d took %v, want 40ms once", i, took[i])
		}
	}
}

func TestDirectionJitterReorders(t *testing.T) {
	imp := gatewaytest.Impairment{Delay: 30 * time.Millisecond, Jitter: 15 * time.Millisecond}
	took, order, _ := travel(t, imp, 500, 100, time.Millisecond)
	reordered := false
	for i := 1; i < len(order); i++ {
		reordered = reordered || order[i] < order[i-1]
	}
	if !reordered {
		t.Error("nothing was reordered")
	}
	for i, all := range took {
		if all[0] < 15*time.Millisecond || all[0] > 45*time.Millisecond {
			t.Errorf("packet %d took %v, want 15 to 45 ms", i, all[0])
		}
	}
}

func TestDirectionLoss(t *testing.T) {
	const n = 20000
	tests := []struct {
		name string
		imp  gatewaytest.Impairment
		want float64 // share lost
	}{
		{"none", gatewaytest.Impairment{}, 0},
		{"10 %", gatewaytest.Impairment{Loss: 0.1}, 0.1},
		{"bursts", gatewaytest.Impairment{BurstEnter: 0.01, BurstLeave: 0.2}, 0.01 / 0.21},
		{"down", gatewaytest.Impairment{Down: true}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			took, _, counts := travel(t, tt.imp, n, 100, 0)
			if counts.In != n || int(counts.Out) != len(took) || counts.Lost+counts.Out != n {
				t.Errorf("the counts do not add up: %+v, %d came", counts, len(took))
			}
			if got := float64(counts.Lost) / n; math.Abs(got-tt.want) > 0.01 {
				t.Errorf("lost %.4f, want %.4f", got, tt.want)
			}
		})
	}
}

func TestDirectionBurstsAreLong(t *testing.T) {
	took, _, counts := travel(t, gatewaytest.Impairment{BurstEnter: 0.01, BurstLeave: 0.2}, 20000, 100, 0)
	runs := 0
	for i := 1; i < 20000; i++ {
		if took[i] == nil && took[i-1] != nil {
			runs++
		}
	}
	if mean := float64(counts.Lost) / float64(runs); mean < 4 || mean > 6 {
		t.Errorf("%d lost in %d runs, %.1f each; want about 5", counts.Lost, runs, mean)
	}
}

func TestDirectionDuplicates(t *testing.T) {
	took, _, counts := travel(t, gatewaytest.Impairment{Duplicate: 0.5}, 1000, 100, time.Millisecond)
	twice := 0
	for _, all := range took {
		if len(all) == 2 {
			twice++
		}
	}
	if twice < 400 || twice > 600 || int(counts.Out) != 1000+twice {
		t.Errorf("%d of 1000 came twice, %+v; want about 500", twice, counts)
	}
}

func TestDirectionRate(t *testing.T) {
	// 1250 bytes at 1 Mbit/s are 10 ms; one comes every 5 ms, so the queue
	// grows by 5 ms each until its 100 ms are full, then every second is lost.
	imp := gatewaytest.Impairment{Rate: 1_000_000, Queue: 100 * time.Millisecond}
	took, _, counts := travel(t, imp, 1000, 1250, 5*time.Millisecond)
	if counts.Overflowed < 450 || counts.Overflowed > 500 || counts.Lost != 0 {
		t.Errorf("got %+v, want about 480 overflowed", counts)
	}
	for i, all := range took {
		if all[0] < 10*time.Millisecond || all[0] > 110*time.Millisecond {
			t.Errorf("packet %d took %v, want 10 to 110 ms", i, all[0])
		}
	}
}

func TestDirectionChangesWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := gatewaytest.NewDirection(1, nil)
		defer d.Close()
		came := 0
		send := func() {
			d.Send(nil, func([]byte) { came++ })
			synctest.Wait()
		}
		send()
		d.Set(gatewaytest.Impairment{Down: true})
		send()
		d.Set(gatewaytest.Impairment{})
		send()
		if came != 2 {
			t.Errorf("%d came, want 2 of 3", came)
		}
	})
}

func TestDirectionSeed(t *testing.T) {
	fates := func(seed uint64) (got []gatewaytest.Fate) {
		d := gatewaytest.NewDirection(seed, func(_ []byte, f gatewaytest.Fate) { got = append(got, f) })
		defer d.Close()
		d.Set(gatewaytest.Impairment{Loss: 0.5})
		for range 64 {
			d.Send(nil, func([]byte) {})
		}
		return got
	}
	a, b, c := fates(7), fates(7), fates(8)
	if string(bytesOf(a)) != string(bytesOf(b)) {
		t.Error("the same seed lost other packets")
	}
	if string(bytesOf(a)) == string(bytesOf(c)) {
		t.Error("another seed lost the same packets")
	}
}

func bytesOf(fates []gatewaytest.Fate) []byte {
	b := make([]byte, len(fates))
	for i, f := range fates {
		b[i] = byte(f)
	}
	return b
}
