package sfu

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// link carries packets to a losses and its requests back, in virtual time.
type link struct {
	rng  *rand.Rand
	loss float64
	trip time.Duration
	jit  time.Duration

	now     time.Duration
	arrive  []event
	resends int
}

type event struct {
	at  time.Duration
	seq uint64
}

func (l *link) send(at time.Duration, seq uint64) bool {
	if l.rng.Float64() < l.loss {
		return false
	}
	delay := l.trip / 2
	if l.jit > 0 {
		delay += time.Duration(l.rng.Int64N(int64(l.jit)))
	}
	l.arrive = append(l.arrive, event{at + delay, seq})
	return true
}

// TestLossesAreRepairedWithoutAStorm: requests, media and retransmissions are
// lost alike.
func TestLossesAreRepairedWithoutAStorm(t *testing.T) {
	cases := []struct {
		name      string
		trip, jit time.Duration
		spacing   time.Duration
		loss      float64
		ratio     float64 // most retransmissions asked for, per lost packet
	}{
		{"near", time.Millisecond, 0, 4 * time.Millisecond, 0.1, 1.5},
		{"50 ms", 50 * time.Millisecond, 5 * time.Millisecond, 4 * time.Millisecond, 0.1, 1.5},
		{"200 ms, slow media", 200 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond, 0.1, 1.5},
		{"reordering alone", 50 * time.Millisecond, 6 * time.Millisecond, 4 * time.Millisecond, 0, 0},
		{"one in a hundred", 50 * time.Millisecond, 5 * time.Millisecond, 4 * time.Millisecond, 0.01, 1.5},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			const packets = 20000
			l := link{rng: rand.New(rand.NewPCG(1, 2)), loss: c.loss, trip: c.trip, jit: c.jit}
			state := losses{asks: true}
			start := time.Now()
			lost, got := 0, make(map[uint64]bool)
			base := uint64(1 << 17)
			l.loss = 0
			l.send(0, base)
			l.loss = c.loss
			for i := uint64(1); i < packets || len(l.arrive) > 0 || len(state.list) > 0; i++ {
				l.now = time.Duration(i) * c.spacing
				if i < packets && !l.send(l.now, base+i) {
					lost++
				}
				slices.SortFunc(l.arrive, func(a, b event) int { return cmp.Compare(a.at, b.at) })
				for len(l.arrive) > 0 && l.arrive[0].at <= l.now {
					got[l.arrive[0].seq] = true
					state.arrived(l.arrive[0].seq, start.Add(l.arrive[0].at))
					l.arrive = l.arrive[1:]
				}
				ask := state.sweep(start.Add(l.now))
				for _, low := range ask {
					if l.rng.Float64() < c.loss {
						continue // the request itself
					}
					seq := state.highest&^0xffff | uint64(low)
					if seq > state.highest {
						seq -= 1 << 16
					}
					l.resends++
					l.send(l.now+c.trip/2, seq)
				}
			}
			if want := int(float64(lost) * c.ratio); int(state.asked) > want {
				t.Errorf("asked %d times for %d lost packets, want at most %d; trip %v", state.asked, lost, want, state.trip)
			}
			if repaired := float64(lost-(packets-len(got))) / float64(max(lost, 1)); lost > 0 && repaired < 0.98 {
				t.Errorf("repaired %.3f of %d, want 0.98", repaired, lost)
			}
			if int(state.lost) > packets-len(got)+lost/100 || lost > 0 && state.recovered == 0 {
				t.Errorf("counted %d lost and %d recovered; %d are missing", state.lost, state.recovered, packets-len(got))
			}
		})
	}
}

func TestFirstRequest(t *testing.T) {
	now := time.Now()
	t.Run("after the reorder time", func(t *testing.T) {
		l := losses{asks: true}
		l.arrived(1<<16, now)
		if urgent, _ := l.arrived(1<<16+2, now); !urgent {
			t.Error("a gap is not urgent")
		}
		if ask := l.sweep(now.Add(reorderTime - 1)); len(ask) != 0 {
			t.Errorf("asked too soon: %v", ask)
		}
		if next := l.next(); !next.Equal(now.Add(reorderTime)) {
			t.Errorf("next look after %v", next.Sub(now))
		}
		if ask := l.sweep(now.Add(reorderTime)); !slices.Equal(ask, []uint16{1}) {
			t.Errorf("got %v, want [1]", ask)
		}
	})
	t.Run("after three later packets", func(t *testing.T) {
		l := losses{asks: true}
		l.arrived(1<<16, now)
		l.arrived(1<<16+2, now)
		l.arrived(1<<16+3, now)
		if ask := l.sweep(now); len(ask) != 0 {
			t.Errorf("asked after two: %v", ask)
		}
		if urgent, _ := l.arrived(1<<16+4, now); !urgent {
			t.Error("the third is not urgent")
		}
		if ask := l.sweep(now); !slices.Equal(ask, []uint16{1}) {
			t.Errorf("got %v, want [1]", ask)
		}
	})
	t.Run("not for what comes late by itself", func(t *testing.T) {
		l := losses{asks: true}
		l.arrived(1<<16, now)
		l.arrived(1<<16+2, now)
		l.arrived(1<<16+1, now)
		if ask := l.sweep(now.Add(time.Second)); len(ask) != 0 || l.lost != 0 || l.recovered != 0 {
			t.Errorf("asked for %v, %d lost, %d recovered", ask, l.lost, l.recovered)
		}
	})
}

func TestRequestsEnd(t *testing.T) {
	now := time.Now()
	l := losses{asks: true}
	l.arrived(1<<16, now)
	l.arrived(1<<16+2, now)
	asked := 0
	var last time.Time
	for d := time.Duration(0); d < 3*time.Second; d += time.Millisecond {
		if ask := l.sweep(now.Add(d)); len(ask) > 0 {
			asked++
			if gap := now.Add(d).Sub(last); asked > 1 && gap < retryMin {
				t.Errorf("asked again after %v", gap)
			}
			last = now.Add(d)
		}
	}
	if asked < 3 || asked > nackTries || l.lost != 1 || len(l.list) != 0 || last.Sub(now) > nackAge {
		t.Errorf("asked %d times, last after %v; %d lost, %d kept", asked, last.Sub(now), l.lost, len(l.list))
	}
}

func TestOutageAsksForNoPackets(t *testing.T) {
	now := time.Now()
	l := losses{asks: true}
	l.arrived(1<<16, now)
	if _, outage := l.arrived(1<<16+1+nackMissing, now); outage {
		t.Error("the most is too much")
	}
	if _, outage := l.arrived(1<<16+1+nackMissing+2, now); !outage {
		t.Error("one more is no outage")
	}
	if ask := l.sweep(now.Add(time.Second / 2)); len(ask) != 0 || l.lost != nackMissing+1 {
		t.Errorf("asked for %d packets, %d lost", len(ask), l.lost)
	}
}

func TestWithoutNACKLossesAreCounted(t *testing.T) {
	now := time.Now()
	l := losses{}
	l.arrived(1<<16, now)
	if urgent, _ := l.arrived(1<<16+3, now); urgent {
		t.Error("urgent though nothing can be asked for")
	}
	l.arrived(1<<16+2, now)
	if !l.next().IsZero() {
		t.Error("a deadline though nothing can be asked for")
	}
	l.arrived(1<<16+4, now.Add(nackAge))
	if l.lost != 1 || l.asked != 0 {
		t.Errorf("%d lost, %d asked", l.lost, l.asked)
	}
}

func TestRoundTripIsFollowed(t *testing.T) {
	var l losses
	l.measure(300*time.Millisecond, true) // the first guess was too low
	if l.trip != 300*time.Millisecond {
		t.Errorf("first: got %v", l.trip)
	}
	for range 50 {
		l.measure(20*time.Millisecond, false)
	}
	if l.trip > 25*time.Millisecond {
		t.Errorf("shorter: got %v", l.trip)
	}
	for range 50 { // every request is repeated before the answer can be there
		l.measure(200*time.Millisecond, true)
	}
	if l.trip < 190*time.Millisecond {
		t.Errorf("longer: got %v", l.trip)
	}
}
