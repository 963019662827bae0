package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// double is a machine that serves so many viewers well.
type double struct {
	serves  int
	asked   []int
	overdo  func(*Step, int) // what it does with more
	lastErr error
}

func (d *double) measure(_ context.Context, n int) (Step, error) {
	d.asked = append(d.asked, n)
	s := Step{Viewers: Viewers{Asked: n, Connected: n}, Media: Media{Latency: &Latency{P99: 10}}}
	if n > d.serves {
		d.overdo(&s, n)
	}
	return s, d.lastErr
}

func TestFindLimit(t *testing.T) {
	loss := .2
	for _, tc := range []struct {
		name   string
		serves int
		overdo func(*Step, int)
		low    int
		reason string
		own    bool
	}{
		{"loss", 1000, func(s *Step, _ int) { s.Media.Loss = .11 }, 960, "0.11 %", false},
		{"loss end to end", 500, func(s *Step, _ int) { s.Media.StampLoss = &loss }, 480, "0.20 %", false},
		{"latency", 300, func(s *Step, _ int) { s.Media.Latency.P99 = 251 }, 285, "251 ms", false},
		{"refusal", 170, func(s *Step, n int) { s.Viewers.Connected, s.Viewers.Refused = 170, n-170 }, 170, "refused", false},
		{"refusal and loss", 170, func(s *Step, n int) { s.Viewers.Refused, s.Media.Loss = 1, 1 }, 160, "refused", false},
		{"failures", 100, func(s *Step, _ int) { s.Viewers.Failed = 1 }, 95, "could not join", false},
		{"silence", 100, func(s *Step, _ int) { s.Viewers.Silent = 2 }, 95, "received nothing", false},
		{"ended", 100, func(s *Step, _ int) { s.Viewers.Closed = 2 }, 95, "ended 2", false},
		{"nobody", 0, func(s *Step, _ int) { s.Viewers.Connected = 0 }, 0, "nobody", false},
		{"one", 1, func(s *Step, _ int) { s.Media.Loss = 5 }, 1, "5.00 %", false},
		{"the generator's", 400, func(s *Step, _ int) { s.Media.Loss, s.Generator.Limit = 5, "too slow" }, 384, "too slow", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := &double{serves: tc.serves, overdo: tc.overdo}
			noted := 0
			got, err := findLimit(t.Context(), d, 10, 250*time.Millisecond, func(Step) { noted++ })
			if err != nil {
				t.Fatal(err)
			}
			if got.Viewers > tc.serves || got.Viewers < tc.low {
				t.Errorf("got %d viewers by %v, want %d to %d", got.Viewers, d.asked, tc.low, tc.serves)
			}
			if !strings.Contains(got.Reason, tc.reason) || got.Generator != tc.own {
				t.Errorf("got %q, %t", got.Reason, got.Generator)
			}
			if noted != len(d.asked) || noted > 25 {
				t.Errorf("%d steps noted of %d", noted, len(d.asked))
			}
		})
	}
}

func TestFindLimitEnds(t *testing.T) {
	d := &double{serves: maxViewers}
	got, err := findLimit(t.Context(), d, 0, time.Second, func(Step) {})
	if err != nil || got.Viewers != maxViewers || !got.Generator {
		t.Errorf("got %+v, %v: ports run out", got, err)
	}
	broken := errors.New("broken")
	if _, err := findLimit(t.Context(), &double{lastErr: broken, serves: 1}, 1, time.Second, func(Step) {}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
