// Testsum runs go test several times and adds the results up.
//
//	testsum [-fuzz 3s [-fuzz-for regexp=10m]...] [-figures regexp] -- 'go test arguments' ['go test arguments'...]
//
// Each operand is one run of go test, in the order given, whatever the runs
// before it gave. With -fuzz every fuzz target of the module is then fuzzed for
// that long, or as long as the first -fuzz-for says whose pattern its name
// matches. The output of go test is passed on, the lines of passing tests
// left out, but for what tests whose names match -figures have logged: the
// figures they measured. The last line tells the sum of all runs:
//
//	412 passed, 0 failed
//
// A package that does not build, or that fails outside of its tests, counts as
// one failed. Subtests count as tests. The exit status is 1 when anything
// failed and 2 when testsum could not work at all.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	fuzz := flag.Duration("fuzz", 0, "fuzz every target for this `long` after the runs")
	var longer exceptions
	flag.Var(&longer, "fuzz-for", "fuzz targets whose names match for another time: `regexp=long`, several may be given")
	figures := flag.String("figures", "^$", "show what passing tests of these `names` logged")
	flag.Parse()
	show, err := regexp.Compile(*figures)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum: -figures:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, os.Stdout, flag.Args(), fuzzing{*fuzz, longer}, show)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	case failed > 0:
		os.Exit(1)
	}
}

// run does all runs and prints the sum.
func run(ctx context.Context, w io.Writer, sets []string, fuzz fuzzing, figures *regexp.Regexp) (failed int, err error) {
	runs := make([][]string, 0, len(sets))
	for _, set := range sets {
		runs = append(runs, strings.Fields(set))
	}
	sum := newTotals(&lockedWriter{w: w})
	sum.figures = figures
	w = sum.w
	if fuzz.each > 0 {
		targets, err := fuzzTargets(ctx)
		if err != nil {
			// The run of the tests names what does not build.
			sum.failed++
			fmt.Fprintln(w, "testsum:", err)
		}
		for _, t := range targets {
			runs = append(runs, []string{"-run=^$", "-fuzz=^" + t.name + "$", "-fuzztime=" + fuzz.of(t).String(), "-timeout=0", t.pkg})
		}
		for _, pattern := range fuzz.unused(targets) {
			sum.failed++
			fmt.Fprintln(w, "testsum: -fuzz-for: no fuzz target matches", pattern)
		}
	}
	for _, args := range runs {
		if err := sum.goTest(ctx, args); err != nil {
			return sum.failed, err
		}
	}
	if sum.skipped > 0 {
		fmt.Fprintf(w, "%d skipped\n", sum.skipped)
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", sum.passed, sum.failed)
	return sum.failed, nil
}

// fuzzing says how long targets are fuzzed; 0: not at all.
type fuzzing struct {
	each   time.Duration
	longer exceptions
}

func (f fuzzing) of(t target) time.Duration {
	for _, e := range f.longer {
		if e.names.MatchString(t.name) {
			return e.time
		}
	}
	return f.each
}

// unused are the exceptions that match no target: one was renamed, and would
// silently be fuzzed for less.
func (f fuzzing) unused(targets []target) (patterns []string) {
	for _, e := range f.longer {
		if !slices.ContainsFunc(targets, func(t target) bool { return e.names.MatchString(t.name) }) {
			patterns = append(patterns, e.names.String())
		}
	}
	return patterns
}

// exceptions are the values of -fuzz-for.
type exceptions []exception

type exception struct {
	names *regexp.Regexp
	time  time.Duration
}

// String implements flag.Value.
func (e *exceptions) String() string {
	var parts []string
	for _, x := range *e {
		parts = append(parts, x.names.String()+"="+x.time.String())
	}
	return strings.Join(parts, " ")
}

// Set implements flag.Value.
func (e *exceptions) Set(text string) error {
	at := strings.LastIndex(text, "=")
	if at < 0 {
		return errors.New("want regexp=long")
	}
	names, err := regexp.Compile(text[:at])
	if err != nil {
		return err
	}
	long, err := time.ParseDuration(text[at+1:])
	if err != nil {
		return err
	}
	if long <= 0 {
		return errors.New("the time must be positive")
	}
	*e = append(*e, exception{names, long})
	return nil
}

// target is one fuzz target.
type target struct{ pkg, name string }

// fuzzTargets finds all fuzz targets of the module in the working directory.
func fuzzTargets(ctx context.Context) ([]target, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-json", "-list=^Fuzz", "./...").Output()
	var targets []target
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var e event
		if derr := dec.Decode(&e); derr != nil {
			break // the end, or output that is no event: err says what happened
		}
		if name := strings.TrimSpace(e.Output); e.Action == "output" && strings.HasPrefix(name, "Fuzz") {
			targets = append(targets, target{e.Package, name})
		}
	}
	if err != nil {
		return targets, fmt.Errorf("list fuzz targets: %w", err)
	}
	return targets, nil
}

// lockedWriter lets the errors and the events of go test, which come by two
// pipes, go to one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output string
}

// totals adds up events and passes on what a reader needs of them.
type totals struct {
	w                       io.Writer
	passed, failed, skipped int
	held                    map[string][]string // output of tests that have not ended, by package and test
	failedTests             map[string]int      // by package
	timeUp                  map[string]bool     // packages that failed for nothing but deadlineRace
	figures                 *regexp.Regexp      // names of tests whose log is shown; nil: none
}

func newTotals(w io.Writer) *totals {
	return &totals{w: w, held: map[string][]string{}, failedTests: map[string]int{}, timeUp: map[string]bool{}}
}

// goTest runs go test once. Failing tests are no error.
func (s *totals) goTest(ctx context.Context, args []string) error {
	fmt.Fprintln(s.w, "== go test", strings.Join(args, " "))
	before := s.failed
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	// go test ends its own children when it is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = s.w
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	s.read(out)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("go test: %w", err)
	}
	if err != nil && s.failed == before && len(s.timeUp) == 0 {
		s.failed++ // go test failed without naming a package
	}
	clear(s.timeUp)
	return nil
}

// deadlineRace tells whether a fuzz target is said to have failed only since its
// time was up: up to Go 1.26 the end of -fuzztime is sometimes taken for an error
// of the target (golang/go#75804). What failed for a reason has more to say.
func deadlineRace(test string, output []string) bool {
	if !strings.HasPrefix(test, "Fuzz") {
		return false
	}
	said := 0
	for _, line := range output {
		switch line = strings.TrimSpace(line); {
		case line == "context deadline exceeded":
			said++
		case line == "", strings.HasPrefix(line, "fuzz: "), strings.HasPrefix(line, "=== RUN "), strings.HasPrefix(line, "--- FAIL: "):
		default:
			return false
		}
	}
	return said == 1
}

// read takes all events of one run.
func (s *totals) read(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case json.Unmarshal([]byte(line), &e) == nil:
			s.add(e)
		case line != "":
			fmt.Fprint(s.w, line) // not an event: go's own words
		}
		if err != nil {
			return
		}
	}
}

// add counts one event. Output is held back until its test has ended and shown
// only when it failed or was skipped; output of a package is shown at once.
func (s *totals) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		switch {
		case e.Test == "" && (e.Output == "PASS\n" || e.Output == "FAIL\n"):
			// the line of the package says it too
		case e.Test == "":
			fmt.Fprint(s.w, e.Output)
		default:
			s.held[key] = append(s.held[key], e.Output)
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.addPackage(e)
			return
		}
		if e.Action == "fail" && deadlineRace(e.Test, s.held[key]) {
			fmt.Fprintf(s.w, "%s: time was up, nothing was found (golang/go#75804)\n", e.Test)
			s.timeUp[e.Package], e.Action = true, "pass"
		}
		switch {
		case e.Action != "pass":
			fmt.Fprint(s.w, strings.Join(s.held[key], ""))
		case s.figures != nil && s.figures.MatchString(e.Test):
			s.show(e.Test, s.held[key])
		}
		delete(s.held, key)
		switch e.Action {
		case "pass":
			s.passed++
		case "skip":
			s.skipped++
		default:
			s.failed++
			s.failedTests[e.Package]++
		}
	}
}

// logged is a line of t.Log, or what goes on from one.
var logged = regexp.MustCompile(`^\s+\w+_test\.go:\d+: `)

// show passes on what a passing test has logged.
func (s *totals) show(test string, lines []string) {
	for _, line := range lines {
		if at := logged.FindString(line); at != "" {
			fmt.Fprintf(s.w, "%s: %s", test, line[len(at):])
		}
	}
}

// addPackage counts the end of a package: it matters only when the package
// failed without a failing test (build, TestMain, data race, panic, timeout).
func (s *totals) addPackage(e event) {
	if e.Action != "fail" {
		return
	}
	if s.failedTests[e.Package] == 0 && !s.timeUp[e.Package] {
		s.failed++
	}
	// Tests that never ended: their output holds the reason.
	for key, lines := range s.held {
		if strings.HasPrefix(key, e.Package+" ") {
			fmt.Fprint(s.w, strings.Join(lines, ""))
			delete(s.held, key)
		}
	}
	s.failedTests[e.Package] = 0 // the next run counts anew
}
