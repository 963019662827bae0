package mutant_test

import (
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluicemedia/sluice/conformance/mutant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEveryFaultIsMade compares the list of faults with what is implemented.
func TestEveryFaultIsMade(t *testing.T) {
	made := mutant.Names()
	known := map[string]bool{}
	for _, f := range mutant.Faults {
		if known[f.Name] {
			t.Errorf("%s is there twice", f.Name)
		}
		known[f.Name] = true
		if !slices.Contains(made, f.Name) {
			t.Errorf("%s is not implemented", f.Name)
		}
		if f.Source == "" || f.What == "" {
			t.Errorf("%s: incomplete", f.Name)
		}
		if also, why := mutant.Excuse(f.Name); len(also) > 0 != (why != "") {
			t.Errorf("%s: excuses %v, because %q", f.Name, also, why)
		}
	}
	for _, name := range made {
		if !known[name] {
			t.Errorf("%s is implemented and not in the list", name)
		}
	}
}
