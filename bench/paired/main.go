// Command paired measures Sluice and the naive forwarder of bench/naive beside
// each other and prints what each costs, the ratio, and whether the ratio meets
// its bar.
//
//	paired [-full] [-only NAME,...] [-rounds N] [-out DIR] [-check]
//
// It builds both from the tree it is started in. In each scenario a server runs
// alone on one core and the load generator on another; the two servers take
// turns, as often as there are rounds, so that a machine that grows slower or
// faster meanwhile does neither a favour. The absolute figures belong to the
// machine; the ratios travel. It needs Linux, two cores and taskset, and no
// privileges.
//
// What it starts, it stops: also when it is interrupted, and every step has a
// bound in time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type options struct {
	window     time.Duration // measured time of one run
	rounds     int
	only       []string // names of scenarios; none: all of the mode
	full       bool
	out        string // folder for the results; "": print them only
	serverCore int
	loadCore   int
}

// errMissed says that a bar was not met.
var errMissed = errors.New("paired: a bar was missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, check, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	}
	met, err := run(ctx, o, os.Stdout, os.Stderr)
	if err == nil && check && !met {
		err = errMissed
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, errMissed) {
			os.Exit(1)
		}
		os.Exit(2)
	}
}

// parse reads the arguments. It has told usage what is wrong with them.
func parse(args []string, usage io.Writer) (o options, check bool, err error) {
	flags := flag.NewFlagSet("paired", flag.ContinueOnError)
	flags.SetOutput(usage)
	var only string
	flags.BoolVar(&o.full, "full", false, "every scenario, with long windows")
	flags.DurationVar(&o.window, "window", 0, "measured `time` of a run (default 5s, with -full 20s)")
	flags.IntVar(&o.rounds, "rounds", 2, "how often the servers take turns")
	flags.StringVar(&only, "only", "", "scenarios to run, by `name`: "+strings.Join(names(), ","))
	flags.StringVar(&o.out, "out", "", "`folder` for the results as JSON and Markdown")
	flags.IntVar(&o.serverCore, "server-core", 0, "core of the server")
	flags.IntVar(&o.loadCore, "load-core", 1, "core of the load generator")
	flags.BoolVar(&check, "check", false, "exit 1 when a bar was missed")
	if err := flags.Parse(args); err != nil {
		return o, false, err
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	if o.window == 0 {
		o.window = 5 * time.Second
		if o.full {
			o.window = 20 * time.Second
		}
	}
	if err := o.validate(flags.Args()); err != nil {
		fmt.Fprintln(usage, err)
		return o, false, err
	}
	return o, check, nil
}

func (o options) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("paired: what is %q?", rest[0])
	case o.window < time.Second:
		return fmt.Errorf("paired: a window of %v is too short to tell anything", o.window)
	case o.rounds < 1:
		return fmt.Errorf("paired: %d rounds", o.rounds)
	case o.serverCore == o.loadCore:
		return errors.New("paired: server and load generator need a core each")
	}
	_, err := choose(o)
	return err
}
