//go:build e2e

package mutant_test

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluicemedia/sluice/conformance"
	"github.com/sluicemedia/sluice/conformance/mutant"
	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// long tells whether everything is to be tried, patient checks included.
func long() bool { return os.Getenv("SLUICE_LONG") != "" }

// token has the shape of a JWT, which some checks ask for.
const token = "e30.e30.conformance-token"

// backend runs a node that is set up with what faults need.
func backend(t *testing.T, needs string) *gatewaytest.Node {
	t.Helper()
	cfg, err := gateway.DefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	cfg.HTTP, cfg.Media, cfg.Admin, cfg.Data, cfg.Open = "127.0.0.1:0", "127.0.0.1:0", "", t.TempDir(), true
	if needs == mutant.NeedsTokens {
		cfg.AuthTokenFile = filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(cfg.AuthTokenFile, []byte(token+" * publish,subscribe\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return gatewaytest.Run(t, cfg, slog.New(slog.DiscardHandler))
}

// judge runs checks against a node behind a proxy with a fault.
func judge(t *testing.T, node *gatewaytest.Node, fault string, only []string) map[string]conformance.Result {
	t.Helper()
	p, err := mutant.Start(t.Context(), node.URL(), fault)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	target := conformance.Target{WHIP: p.URL + "/whip/demo", WHEP: p.URL + "/whep/demo", Only: only}
	if mutant.Needs(fault) == mutant.NeedsTokens {
		target.Token = token
	}
	return run(t, target)
}

// chosen are the check that has to find a fault and those that must not fail
// with it: all that bind and are not excused where it is long, else those of them
// that are quick.
func chosen(f mutant.Fault) []string {
	list := []string{f.Check}
	also, _ := mutant.Excuse(f.Name)
	for _, c := range conformance.Checks() {
		if c.Level.Binding() && c.ID != f.Check && !excused(c.ID, also) && (long() || accompanies(&c, f)) {
			list = append(list, c.ID)
		}
	}
	return list
}

// accompanies tells whether a check is quick enough to be tried with a fault
// that it is not named by.
func accompanies(c *conformance.Check, f mutant.Fault) bool {
	switch {
	case c.Patient, c.ID[:4] != f.Check[:4]:
		return false
	case c.ID == "WHIP-ANS-20": // opens a hundred sessions
		return false
	}
	return c.Stage != conformance.Alone || mutant.TouchesMedia(f.Name)
}

// direct judges a node without a proxy: what fails there is told by the tests of
// package conformance, and is no matter of a fault.
func direct(t *testing.T, node *gatewaytest.Node) map[string]conformance.Result {
	t.Helper()
	var only []string
	for _, c := range conformance.Checks() {
		if long() || !c.Patient {
			only = append(only, c.ID)
		}
	}
	return run(t, conformance.Target{WHIP: node.URL() + "/whip/demo", WHEP: node.URL() + "/whep/demo", Only: only})
}

func run(t *testing.T, target conformance.Target) map[string]conformance.Result {
	t.Helper()
	target.Strict, target.Parallel = true, 16
	report, err := conformance.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]conformance.Result{}
	for _, r := range report.Results {
		results[r.ID] = r
	}
	return results
}

// TestE2EUnmutated wants the proxy without a fault to be as right as what is
// behind it.
func TestE2EUnmutated(t *testing.T) {
	want := direct(t, backend(t, ""))
	// Another node: the first has had its fill of failures from this address.
	for id, got := range judge(t, backend(t, ""), "", slices.Collect(maps.Keys(want))) {
		if got.Result != want[id].Result && want[id].Result != conformance.Fail {
			t.Errorf("%s (%s): got %s behind the proxy, want %s: %s", id, got.Level, got.Result, want[id].Result, got.Detail)
		}
	}
}

// TestE2EFaults wants each fault found by the check that names it, and no other
// check that binds to fail without a reason.
func TestE2EFaults(t *testing.T) {
	faults := make(chan mutant.Fault)
	without := direct(t, backend(t, ""))
	var workers sync.WaitGroup
	for range 6 * runtime.GOMAXPROCS(0) { // nearly all of it is waiting
		nodes := map[string]*gatewaytest.Node{} // of its own: none is to be overloaded
		for _, f := range mutant.Faults {
			if needs := mutant.Needs(f.Name); nodes[needs] == nil {
				nodes[needs] = backend(t, needs)
			}
		}
		workers.Go(func() {
			for f := range faults {
				t.Run(f.Name, func(t *testing.T) { tryFault(t, nodes[mutant.Needs(f.Name)], f, without) })
			}
		})
	}
	// Those that wait longest begin first, so that nobody waits for them alone.
	patient := make(map[string]bool)
	for _, c := range conformance.Checks() {
		patient[c.ID] = c.Patient
	}
	for _, first := range []bool{true, false} {
		for _, f := range mutant.Faults {
			if patient[f.Check] == first {
				faults <- f
			}
		}
	}
	close(faults)
	workers.Wait()
}

func tryFault(t *testing.T, node *gatewaytest.Node, f mutant.Fault, without map[string]conformance.Result) {
	t.Helper()
	if !checked(f.Check) {
		t.Fatalf("%s has no check", f.Check)
	}
	results := judge(t, node, f.Name, chosen(f))
	named := results[f.Check]
	if named.Result == conformance.Skip && without[f.Check].Result == conformance.Skip {
		t.Fatalf("%s is not judged on this node, so nothing shows that it finds its fault: %s", f.Check, named.Detail)
	}
	if named.Result != conformance.Fail {
		t.Errorf("%s: %s: got %s %q, want fail: %s", f.Name, f.Check, named.Result, named.Detail, f.What)
	}
	// What fails beside others for lack of time passes by itself.
	for _, id := range failing(results, f.Check, without) {
		if r := judge(t, node, f.Name, []string{id})[id]; r.Result == conformance.Fail {
			t.Errorf("%s: %s fails as well: %s", f.Name, id, r.Detail)
		}
	}
}

// failing are the checks that failed, but the one that had to and those that
// fail without a fault.
func failing(results map[string]conformance.Result, named string, without map[string]conformance.Result) []string {
	var list []string
	for _, id := range slices.Sorted(maps.Keys(results)) {
		if results[id].Result == conformance.Fail && id != named && without[id].Result != conformance.Fail {
			list = append(list, id)
		}
	}
	return list
}

// checked tells whether a check has the id.
func checked(id string) bool {
	return slices.ContainsFunc(conformance.Checks(), func(c conformance.Check) bool { return c.ID == id })
}

// excused tells whether an id is one of the list, or begins with one.
func excused(id string, list []string) bool {
	return slices.ContainsFunc(list, func(e string) bool { return id == e || strings.HasPrefix(id, e+"-") })
}
