package session

import (
	"testing"
	"time"

	"github.com/sluicemedia/sluice/egress"
)

func TestLossWatch(t *testing.T) {
	type second struct {
		packets, asked uint64
		reported       float64
	}
	repeat := func(n int, s second) (all []second) {
		for range n {
			all = append(all, s)
		}
		return all
	}
	tests := []struct {
		name    string
		seconds []second
		poor    bool // after the last
	}{
		{"all is well", repeat(5, second{100, 0, 0}), false},
		{"a little is asked for again", repeat(5, second{100, 3, 0.01}), false},
		{"asked for and mended, so that nothing is reported", repeat(3, second{100, 9, 0}), true},
		{"reported by who asks for nothing", repeat(3, second{100, 0, 0.2}), true},
		{"not long enough", repeat(2, second{100, 9, 0.2}), false},
		{"nothing is sent", repeat(5, second{0, 0, 0}), false},
		{"asked for when nothing is sent any more", append(repeat(2, second{100, 0, 0}), repeat(3, second{0, 9, 0})...), false},
		{"well again", append(repeat(4, second{100, 9, 0.1}), repeat(3, second{100, 1, 0})...), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var w lossWatch
			var s egress.ViewerStats
			now, poor := time.Unix(1_000, 0), false
			for _, sec := range tt.seconds {
				now = now.Add(time.Second)
				s.Packets, s.NACKs, s.LossFraction = s.Packets+sec.packets, s.NACKs+sec.asked, sec.reported
				poor = w.poor(now, s)
				if again := w.poor(now.Add(100*time.Millisecond), s); again != poor {
					t.Errorf("looked again at once: got %t, want %t", again, poor)
				}
			}
			if poor != tt.poor {
				t.Errorf("got %t, want %t", poor, tt.poor)
			}
		})
	}
}
