package bench

import (
	"math/rand/v2"
	"testing"
)

func TestTally(t *testing.T) {
	for _, tc := range []struct {
		name                      string
		numbers                   []uint64
		missing, got, late, twice uint64
	}{
		{"nothing", nil, 0, 0, 0, 0},
		{"one", []uint64{7}, 0, 1, 0, 0},
		{"in order", []uint64{7, 8, 9}, 0, 3, 0, 0},
		{"a gap", []uint64{7, 9, 12}, 3, 3, 0, 0},
		{"a gap that is filled", []uint64{7, 9, 8}, 0, 3, 1, 0},
		{"repeated", []uint64{7, 8, 8, 7, 9}, 0, 3, 0, 2},
		{"filled twice", []uint64{7, 9, 8, 8}, 0, 3, 1, 1},
		{"before the first", []uint64{7, 5, 8}, 1, 3, 1, 0},
		{"a gap longer than the window", []uint64{7, 8 + 2*tallyWindow}, 2 * tallyWindow, 2, 0, 0},
		{"too old to be known", []uint64{7, 9 + tallyWindow, 8}, tallyWindow, 3, 1, 0},
	} {
		var y tally
		for _, n := range tc.numbers {
			y.add(n)
		}
		if y.missing() != tc.missing || y.total != tc.got || y.late != tc.late || y.twice != tc.twice {
			t.Errorf("%s: missing %d, got %d, late %d, twice %d; want %d, %d, %d, %d",
				tc.name, y.missing(), y.total, y.late, y.twice, tc.missing, tc.got, tc.late, tc.twice)
		}
	}
}

// TestSequence loses, repeats and reorders a long row of 16-bit numbers, and knows
// what is missing to the packet.
func TestSequence(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var s sequence
	const from, packets = 65_000, 300_000 // wraps at once, and several times
	lost, twice := uint64(0), uint64(0)
	var held []uint16
	for i := range packets {
		n := uint16(from + i)
		switch dice := random.IntN(100); {
		case i == 0 || i == packets-1: // the ends have to come
			s.add(1, n)
		case dice < 3:
			lost++
		case dice < 5:
			s.add(1, n)
			s.add(1, n)
			twice++
		case dice < 10:
			held = append(held, n)
		default:
			s.add(1, n)
		}
		if len(held) == 4 || i == packets-1 {
			for _, h := range held {
				s.add(1, h)
			}
			held = nil
		}
	}
	if s.missing() != lost || s.total != packets-lost || s.twice != twice {
		t.Errorf("missing %d, got %d, twice %d; want %d, %d, %d", s.missing(), s.total, s.twice, lost, packets-lost, twice)
	}
	if got, want := s.high-1<<16-from, uint64(packets-1); got != want {
		t.Errorf("the highest is %d after the first, want %d", got, want)
	}
}

// TestSequenceRestarts: another SSRC begins another row, and no gap.
func TestSequenceRestarts(t *testing.T) {
	var s sequence
	for _, p := range []struct {
		ssrc uint32
		n    uint16
	}{{1, 10}, {1, 12}, {2, 60_000}, {2, 60_001}, {2, 60_004}} {
		s.add(p.ssrc, p.n)
	}
	if s.missing() != 3 || s.total != 5 {
		t.Errorf("missing %d, got %d; want 3 and 5", s.missing(), s.total)
	}
}

func TestTotalsSince(t *testing.T) {
	a := totals{packets: 10, missing: 3, stampsMissing: 2}
	b := totals{packets: 15, missing: 1, stampsMissing: 4}
	got := b.since(a)
	if got.packets != 5 || got.missing != 0 || got.stampsMissing != 2 {
		t.Errorf("got %+v: what came late after all is no negative loss", got)
	}
}
