package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sluicemedia/sluice/conformance"
)

// judging is the command line of `sluice conformance`.
type judging struct {
	WHIP     string   `name:"whip" placeholder:"URL" env:"-" help:"WHIP endpoint of a room that the suite may publish into; {room} in it stands for any room."`
	WHEP     string   `name:"whep" placeholder:"URL" env:"-" help:"WHEP endpoint of the same room."`
	Token    string   `placeholder:"T" help:"Bearer token that may publish and play there. SLUICE_TOKEN keeps it out of the process list."`
	JSON     bool     `name:"json" xor:"format" env:"-" help:"Write the report as JSON."`
	JUnit    bool     `name:"junit" xor:"format" env:"-" help:"Write the report as JUnit XML."`
	Only     []string `placeholder:"ID,..." env:"-" help:"Checks by id (WHIP-POST-01) or beginning of an id (WHEP-SSE)."`
	Strict   bool     `env:"-" help:"Where the standards leave a choice, accept Sluice's alone."`
	Insecure bool     `env:"-" help:"Accept any TLS certificate."`
	Parallel int      `default:"8" placeholder:"N" env:"-" help:"Checks at a time."`
	Verbose  bool     `short:"v" env:"-" help:"Tell of every check as it ends."`
}

// statusError is an error with an exit status of its own; without a text
// there is nothing to add to what was printed.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// The exit statuses of `sluice conformance`, beside 0.
const (
	statusFailed = 1 // a MUST failed
	statusNotRun = 2
)

// judge runs the suite and writes the report.
func judge(ctx context.Context, c judging, stdout, stderr io.Writer) error {
	target := conformance.Target{
		WHIP: c.WHIP, WHEP: c.WHEP, Token: c.Token, Only: c.Only,
		Strict: c.Strict, Insecure: c.Insecure, Parallel: c.Parallel,
	}
	if c.Verbose {
		target.Progress = func(r conformance.Result) {
			_, _ = fmt.Fprintf(stderr, "%-4s %s (%d ms) %s\n", r.Result, r.ID, r.Duration, r.Detail)
		}
	}
	report, err := conformance.Run(ctx, target)
	if err != nil {
		return &statusError{statusNotRun, err}
	}
	write := report.WriteText
	switch {
	case c.JSON:
		write = report.WriteJSON
	case c.JUnit:
		write = report.WriteJUnit
	}
	if err := write(stdout); err != nil {
		return &statusError{statusNotRun, fmt.Errorf("write the report: %w", err)}
	}
	switch {
	case report.Summary.Checks == 0:
		return &statusError{statusNotRun, errors.New("nothing could be judged: no check judges what was asked for")}
	case report.Summary.Judged == 0:
		return &statusError{statusNotRun, errors.New("nothing could be judged: every check was skipped")}
	case !report.Conforms():
		return &statusError{statusFailed, nil}
	}
	return nil
}
