package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicemedia/sluice/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script writes a program that stands for another.
func script(t *testing.T, name, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	// What servers say, then they wait for their end. Each notes its process ID.
	naiveSays  = "echo naive $$ >>\"$LOG\"; echo 'http 127.0.0.1:81'; echo 'udp  127.0.0.1:82'; exec sleep 60\n"
	sluiceSays = "echo sluice $$ >>\"$LOG\"; echo 'http     http://127.0.0.1:80'; echo 'publish  http://127.0.0.1:80/whip/demo  (page x)'; exec sleep 60\n"
)

// standIns are programs that do as the real ones, but for the measuring: the
// generator writes a report of one step.
func standIns(t *testing.T) (p programs, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "log")
	t.Setenv("LOG", log)
	report := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(report, encoded(t, bench.Report{Steps: []bench.Step{fullStep()}}), 0o600); err != nil {
		t.Fatal(err)
	}
	return programs{
		naive: script(t, "naive", naiveSays), sluice: script(t, "sluice", sluiceSays),
		// Status 1 is what the generator says when a viewer was not served.
		generator: script(t, "generator", "echo generator $3 >>\"$LOG\"; cat '"+report+"'; exit 1\n"),
	}, log
}

func TestServersStartAndEnd(t *testing.T) {
	p, _ := standIns(t)
	for which, want := range map[side][2]string{
		naive:  {"http://127.0.0.1:81/whip", "http://127.0.0.1:81/whep"},
		sluice: {"http://127.0.0.1:80/whip/demo", "http://127.0.0.1:80/whep/demo"},
	} {
		srv, err := start(t.Context(), p, which, 0, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if srv.whip != want[0] || srv.whep != want[1] {
			t.Errorf("%s: got %s and %s, want %s and %s", which, srv.whip, srv.whep, want[0], want[1])
		}
		affinity, err := os.ReadFile("/proc/" + strconv.Itoa(srv.pid) + "/status")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(affinity), "Cpus_allowed_list:\t0\n") {
			t.Errorf("%s: not on core 0 alone:\n%s", which, affinity)
		}
		if err := srv.close(); err != nil {
			t.Errorf("%s: close: %v", which, err)
		}
		if err := syscall.Kill(srv.pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s: the process is still there after close: %v", which, err)
		}
	}
}

func TestServersThatDoNotStart(t *testing.T) {
	for name, test := range map[string][2]string{
		"ends at once":  {"echo the port is taken; exit 3\n", "the port is taken"},
		"is not there":  {"", "No such file"},
		"says too much": {"head -c 200000 /dev/zero | tr '\\0' x; exit 3\n", "ended at once"},
	} {
		path := "/nonexistent"
		if test[0] != "" {
			path = script(t, "naive", test[0])
		}
		_, err := start(t.Context(), programs{naive: path}, naive, 0, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), test[1]) {
			t.Errorf("%s: got %v, want an error that tells of %q", name, err, test[1])
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := start(ctx, programs{naive: script(t, "naive", "exec sleep 60\n")}, naive, 0, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	said := newTail()
	more := said.more()
	for i := range 30_000 {
		fmt.Fprintf(said, "line %d\n", i)
	}
	select {
	case <-more:
	default:
		t.Error("who waited for more was not told of it")
	}
	if n := len(said.all()); n > outputKept {
		t.Errorf("%d bytes are kept, want no more than %d", n, outputKept)
	}
	if got := said.String(); strings.Count(got, "\n") != linesTold || !strings.HasSuffix(got, "line 29998\nline 29999\n") {
		t.Errorf("got %q, want the last %d lines", got, linesTold)
	}
}

// TestInTurn has each round measure naive, then Sluice, each with a server of
// its own that is gone before the next begins.
func TestInTurn(t *testing.T) {
	p, log := standIns(t)
	b := &benchmark{options: options{window: time.Second, rounds: 2}, programs: p, work: t.TempDir(), progress: io.Discard}
	results, err := b.inTurn(t.Context(), scenarios()[0])
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range results {
		order = append(order, string(r.Side)+strconv.Itoa(r.Round))
		if r.Figures.MicrosPerPacket != 1.5 || len(r.Report) == 0 {
			t.Errorf("got %+v, want what the generator reported", r)
		}
	}
	if want := []string{"naive1", "sluice1", "naive2", "sluice2"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	noted, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var started []string
	for line := range strings.Lines(string(noted)) {
		who, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		started = append(started, who)
		if who == "generator" {
			if want := "http://127.0.0.1:8"; !strings.HasPrefix(what, want) {
				t.Errorf("the generator was sent to %q, want %s…", what, want)
			}
			continue
		}
		pid, err := strconv.Atoi(what)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s is still there: %v", who, err)
		}
	}
	if want := []string{"naive", "generator", "sluice", "generator", "naive", "generator", "sluice", "generator"}; !slices.Equal(started, want) {
		t.Errorf("started %v, want %v", started, want)
	}
}

// TestFailuresTellWhatWasSaid holds that a run without a report names why, and
// ends its server.
func TestFailuresTellWhatWasSaid(t *testing.T) {
	p, log := standIns(t)
	p.generator = script(t, "generator", "echo no way to the server >&2; exit 2\n")
	b := &benchmark{options: options{window: time.Second, rounds: 1}, programs: p, work: t.TempDir(), progress: io.Discard}
	_, err := b.inTurn(t.Context(), scenarios()[0])
	for _, want := range []string{"browsers, naive, round 1", "no way to the server", "http 127.0.0.1:81"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that tells of %q", err, want)
		}
	}
	noted, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(noted), "naive ")))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the server is still there: %v", err)
	}
}

// TestOneFailureLeavesTheRest has a scenario fail that the next one does not
// depend on, and nothing begin after an interrupt.
func TestOneFailureLeavesTheRest(t *testing.T) {
	p, _ := standIns(t)
	good := p.generator
	p.generator = script(t, "generator", "case \"$*\" in *--srtp*) echo broken >&2; exit 2;; esac; exec '"+good+"' \"$@\"\n")
	b := &benchmark{options: options{window: time.Second, rounds: 1, only: []string{"cm", "spaced"}}, programs: p, work: t.TempDir(), progress: io.Discard}
	picked, err := choose(b.options)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r := new(report)
	err = b.all(t.Context(), picked, r, &out)
	if err == nil || !strings.Contains(err.Error(), "paired: cm, naive, round 1") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v, want to be told of what failed", err)
	}
	if !strings.Contains(out.String(), title("spaced")) || strings.Contains(out.String(), title("cm")) || len(r.Results) != 2 {
		t.Errorf("got %q and %d results, want the table of the other scenario and its two", out.String(), len(r.Results))
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.all(ctx, picked, new(report), io.Discard); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "paired") {
		t.Errorf("interrupted: got %v", err)
	}
}

func TestLimitTakesThreeRuns(t *testing.T) {
	p, log := standIns(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for path, steps := range map[string]int{one: 1, two: 2} {
		r := bench.Report{}
		for range steps {
			r.Steps = append(r.Steps, fullStep())
		}
		if err := os.WriteFile(path, encoded(t, r), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.generator = script(t, "generator", "echo viewers $7 in $3 >>\"$LOG\"; case $7 in *,*) cat '"+two+"';; *) cat '"+one+"';; esac\n")
	b := &benchmark{options: options{window: time.Second, rounds: 1}, programs: p, work: t.TempDir(), progress: io.Discard}
	results, err := b.measureLimit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 4 {
		t.Fatalf("got %d results, want 4", len(results))
	}
	if got := results[3].Figures.Connected; got != 10*workingRooms {
		t.Errorf("got %d viewers in the rooms, want %d", got, 10*workingRooms)
	}
	noted, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	// Ten are let in: six of them are the working load, thirty come to overload.
	for _, want := range []string{
		"viewers 4000 in http://127.0.0.1:80/whip/demo\n", "viewers 6,30 in http://127.0.0.1:80/whip/demo\n",
		"viewers 1 in http://127.0.0.1:80/whip/room-1\n", fmt.Sprintf("viewers 1 in http://127.0.0.1:80/whip/room-%d\n", workingRooms),
	} {
		if !strings.Contains(string(noted), want) {
			t.Errorf("got %q, want %q", noted, want)
		}
	}
}
