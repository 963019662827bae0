package egress_test

import (
	"testing"
	"time"

	"github.com/sluicemedia/sluice/egress"
)

func TestLossMeter(t *testing.T) {
	tests := []struct {
		name   string
		shares []float64 // a second apart
		want   string    // p: poor
	}{
		{"all is well", []float64{0, 0, 0.01, 0}, "...."},
		{"one burst", []float64{0, 0.4, 0, 0.3, 0.2, 0}, "......"},
		{"poor from the third look on", []float64{0.05, 0.06, 0.2, 0.2}, "..pp"},
		{"in between changes nothing", []float64{0.1, 0.1, 0.1, 0.03, 0.03, 0.03, 0.03}, "..ppppp"},
		{"in between begins nothing", []float64{0.03, 0.03, 0.03, 0.03}, "...."},
		{"well again", []float64{0.1, 0.1, 0.1, 0, 0.01, 0, 0}, "..ppp.."},
		{"almost well again", []float64{0.1, 0.1, 0.1, 0, 0, 0.1, 0, 0}, "..pppppp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m egress.LossMeter
			now, got := time.Unix(1_000, 0), ""
			for _, share := range tt.shares {
				mark := "."
				if m.Observe(now, share) {
					mark = "p"
				}
				if m.Observe(now.Add(300*time.Millisecond), 1-share) != (mark == "p") || m.Poor() != (mark == "p") {
					t.Error("a look too soon counted")
				}
				got, now = got+mark, now.Add(time.Second)
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
