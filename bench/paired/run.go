package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// benchmark is one call of the program.
type benchmark struct {
	options  options
	programs programs
	work     string // folder for what lasts as long as the call
	progress io.Writer
}

// report is all that a call measured.
type report struct {
	Machine machine      `json:"machine"`
	Started time.Time    `json:"started"`
	Window  float64      `json:"window_s"`
	Rounds  int          `json:"rounds"`
	Rows    []row        `json:"rows"`
	Doubts  []string     `json:"doubts"`
	Floor   *floorResult `json:"floor,omitempty"`
	Results []result     `json:"results"`
}

// run measures what the options ask for and prints it. It tells whether every
// bar was met.
func run(ctx context.Context, o options, out, progress io.Writer) (met bool, err error) {
	if err := able(o); err != nil {
		return false, err
	}
	picked, err := choose(o)
	if err != nil {
		return false, err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return false, err
	}
	work, err := os.MkdirTemp("", "sluice-paired-")
	if err != nil {
		return false, fmt.Errorf("paired: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	b := &benchmark{options: o, work: work, progress: progress}
	if b.programs, err = build(ctx, root, work); err != nil {
		return false, err
	}
	r := &report{Machine: describe(ctx, root), Started: time.Now().UTC().Truncate(time.Second), Window: o.window.Seconds(), Rounds: o.rounds}
	if _, err := fmt.Fprintf(out, "%s\n%d rounds, windows of %v\n", r.Machine, o.rounds, o.window); err != nil {
		return false, err
	}
	// What was measured before something failed is told all the same.
	err = b.all(ctx, picked, r, out)
	return r.met(), errors.Join(err, r.finish(o.out, out))
}

// able tells what the machine lacks.
func able(o options) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("paired: it needs Linux, this is %s", runtime.GOOS)
	}
	if n := runtime.NumCPU(); n <= max(o.serverCore, o.loadCore) {
		return fmt.Errorf("paired: core %d is asked for and there are %d", max(o.serverCore, o.loadCore), n)
	}
	if _, err := exec.LookPath("taskset"); err != nil {
		return fmt.Errorf("paired: taskset (of util-linux) is needed: %w", err)
	}
	return nil
}

// all measures everything in turn, and prints each table when it is there. What
// cannot be measured does not keep the rest from it.
func (b *benchmark) all(ctx context.Context, picked chosen, r *report, out io.Writer) error {
	var errs []error
	for _, s := range picked.scenarios {
		errs = append(errs, b.step(ctx, r, out, s.name, func() ([]row, error) {
			results, err := b.inTurn(ctx, s)
			r.Results = append(r.Results, results...)
			return rows(s, results), err
		}))
	}
	if picked.floor {
		errs = append(errs, b.step(ctx, r, out, floorName, func() ([]row, error) { return b.floor(ctx, r) }))
	}
	if picked.limit {
		errs = append(errs, b.step(ctx, r, out, limitName, func() ([]row, error) {
			results, err := b.measureLimit(ctx)
			r.Results = append(r.Results, results...)
			return limitRows(results), err
		}))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// step measures one scenario and prints its table, unless ctx has ended.
func (b *benchmark) step(ctx context.Context, r *report, out io.Writer, name string, measure func() ([]row, error)) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // told once, by all
	}
	list, err := measure()
	if err != nil {
		return err
	}
	r.Rows = append(r.Rows, list...)
	return writeTable(out, title(name), list)
}

// inTurn runs a scenario round by round, the sides in turn.
func (b *benchmark) inTurn(ctx context.Context, s scenario) (results []result, err error) {
	sides := []side{sluice}
	if s.naive {
		sides = []side{naive, sluice}
	}
	window := b.options.window
	if s.short {
		window = briefWindow
	}
	for round := 1; round <= b.options.rounds; round++ {
		for _, which := range sides {
			list, err := b.measure(ctx, s.name, which, round, s.load, window)
			if err != nil {
				return results, fmt.Errorf("paired: %s, %s, round %d: %w", s.name, which, round, err)
			}
			results = append(results, list...)
		}
	}
	return results, nil
}

// measure runs a server of its own under one load.
func (b *benchmark) measure(ctx context.Context, name string, which side, round int, l load, window time.Duration) (results []result, err error) {
	err = b.serve(ctx, which, func(srv *server) error {
		steps, raw, err := generate(ctx, b.programs, srv, b.options, l, window)
		for _, f := range steps {
			results = append(results, result{Scenario: name, Side: which, Round: round, Figures: f, Report: raw})
			raw = nil // one report tells of all steps
		}
		return err
	})
	for _, r := range results {
		b.tell(r)
	}
	return results, err
}

// serve runs a server for as long as use takes.
func (b *benchmark) serve(ctx context.Context, which side, use func(*server) error) (err error) {
	dir, err := os.MkdirTemp(b.work, string(which)+"-")
	if err != nil {
		return fmt.Errorf("paired: %w", err)
	}
	srv, err := start(ctx, b.programs, which, b.options.serverCore, dir)
	if err != nil {
		return err
	}
	if err = use(srv); err != nil {
		err = fmt.Errorf("%w\nthe server said:\n%s", err, srv.said)
	}
	return errors.Join(err, srv.close())
}

// tell shows a result to whoever waits for the tables.
func (b *benchmark) tell(r result) {
	f := r.Figures
	fmt.Fprintf(b.progress, "%-9s %-6s round %d: %4d viewers, %.2f µs/packet, p99 %.2f ms, loss %.3f %%, joined in %.2f s, generator %.2f, others %.2f\n",
		r.Scenario, r.Side, r.Round, f.Connected, f.MicrosPerPacket, f.LatencyP99, f.LossPercent, f.JoinSeconds, f.GeneratorCores, f.OtherLoad)
}

func (r *report) met() bool {
	for _, line := range r.Rows {
		if line.judged && !line.Met {
			return false
		}
	}
	return len(r.Rows) > 0
}

// finish prints the doubts and writes the files.
func (r *report) finish(dir string, out io.Writer) error {
	r.Doubts = doubts(r.Results)
	if len(r.Doubts) > 0 {
		if _, err := fmt.Fprintf(out, "\nWhat makes these figures doubtful:\n- %s\n", strings.Join(r.Doubts, "\n- ")); err != nil {
			return err
		}
	}
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("paired: %w", err)
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("paired: %w", err)
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "paired.json"), append(b, '\n'), 0o600), r.writeMarkdown(filepath.Join(dir, "paired.md")))
}

// writeMarkdown writes the tables once more, for a document.
func (r *report) writeMarkdown(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s; %d rounds, windows of %g s\n", r.Machine, r.Started.Format(time.DateOnly), r.Rounds, r.Window)
	for i := 0; i < len(r.Rows); {
		n := i
		for n < len(r.Rows) && r.Rows[n].Scenario == r.Rows[i].Scenario {
			n++
		}
		if err := writeTable(&b, title(r.Rows[i].Scenario), r.Rows[i:n]); err != nil {
			return err
		}
		i = n
	}
	for _, d := range r.Doubts {
		fmt.Fprintf(&b, "\n- doubtful: %s", d)
	}
	return os.WriteFile(path, []byte(strings.TrimRight(b.String(), "\n")+"\n"), 0o600)
}

// rounded has two digits after the point, as the table does.
func rounded(v float64) float64 { return math.Round(v*100) / 100 }
