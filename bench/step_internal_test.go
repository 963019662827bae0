package bench

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// TestChurned: joins that replace others fail as visibly as the first ones.
func TestChurned(t *testing.T) {
	a := &arrivals{}
	a.note(&viewer{}, time.Second, nil)
	a.note(nil, time.Second, &refusedError{"3"})
	a.note(nil, time.Second, &refusedError{})
	a.noteEnd(errors.New("DELETE: 500"))
	s := Step{
		Viewers: Viewers{Connected: 4, Refused: 1, Failed: 1},
		Join:    Join{RetryAfter: 1, Failures: []Failure{{"ICE: no", 1}}},
	}
	s.churned(a)
	if want := (Viewers{Connected: 4, Refused: 3, Failed: 2, Replaced: 1}); s.Viewers != want {
		t.Errorf("got %+v, want %+v", s.Viewers, want)
	}
	if want := []Failure{{"ICE: no", 1}, {"DELETE: 500", 1}}; s.Join.RetryAfter != 2 || !slices.Equal(s.Join.Failures, want) {
		t.Errorf("got %+v, want %v", s.Join, want)
	}
	if r := (Report{Steps: []Step{s}}); r.Served() {
		t.Error("everybody was served, says the report")
	}
}
