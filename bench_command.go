package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/sluicemedia/sluice/bench"
)

// loading is the command line of `sluice bench`.
type loading struct {
	WHIP  string `name:"whip" placeholder:"URL" env:"-" help:"WHIP endpoint to publish a stream to; without it, somebody else publishes."`
	WHEP  string `name:"whep" placeholder:"URL" env:"-" help:"WHEP endpoint of the same room; without it, nobody plays."`
	Token string `placeholder:"T" help:"Bearer token that may publish and play there. SLUICE_TOKEN keeps it out of the process list."`
	JSON  bool   `name:"json" env:"-" help:"Write the report as JSON."`

	Viewers     []int         `default:"10" placeholder:"N,..." env:"-" help:"Viewers; several numbers are steps, measured one after the other."`
	Duration    time.Duration `default:"20s" env:"-" help:"How long each step is measured."`
	Settle      time.Duration `default:"3s" env:"-" help:"Wait between the joins and the measuring."`
	FindLimit   bool          `env:"-" help:"Add viewers until the server can no more, beginning with --viewers."`
	MaxLatency  time.Duration `default:"250ms" env:"-" help:"Latency (p99) beyond which --find-limit is at the limit."`
	Bitrate     int           `default:"2500000" placeholder:"BPS" env:"-" help:"Bit rate of the published video."`
	Spacing     time.Duration `default:"0s" env:"-" help:"Time between the packets of a frame; 0: back to back."`
	IgnorePLI   bool          `name:"ignore-pli" env:"-" help:"Publish keyframes every two seconds only, not when asked."`
	SRTP        []string      `name:"srtp" default:"cm,gcm256,gcm128" placeholder:"PROFILE,..." env:"-" help:"SRTP profiles that viewers offer, most wanted first."`
	Parallel    int           `default:"64" placeholder:"N" env:"-" help:"Joins under way at once."`
	Ramp        float64       `placeholder:"N" env:"-" help:"Joins per second; 0: as fast as they come."`
	Churn       float64       `placeholder:"N" env:"-" help:"Viewers replaced per second while measuring."`
	Sample      int           `default:"10" placeholder:"N" env:"-" help:"One viewer in N decrypts, for latency and loss end to end."`
	JoinTimeout time.Duration `default:"20s" env:"-" help:"Give up a join after this."`
	Bind        string        `placeholder:"ADDR" env:"-" help:"Own address for media; found by itself."`
	Insecure    bool          `env:"-" help:"Accept any TLS certificate."`
	ServerPID   int           `name:"server-pid" placeholder:"PID" env:"-" help:"Account for this process and its children (Linux)."`
	ServerCore  int           `default:"-1" placeholder:"N" env:"-" help:"Tell how busy this core is (Linux)."`
	Verbose     bool          `short:"v" env:"-" help:"Tell of every step as it ends."`
}

func (l *loading) config(stderr io.Writer) bench.Config {
	c := bench.Config{
		WHIP: l.WHIP, WHEP: l.WHEP, Token: l.Token,
		Viewers: l.Viewers, Duration: l.Duration, Settle: l.Settle, FindLimit: l.FindLimit, MaxLatency: l.MaxLatency,
		Bitrate: l.Bitrate, Spacing: l.Spacing, IgnoreRequests: l.IgnorePLI, SRTP: l.SRTP,
		Parallel: l.Parallel, Ramp: l.Ramp, Churn: l.Churn, Sample: l.Sample, JoinTimeout: l.JoinTimeout,
		Bind: l.Bind, Insecure: l.Insecure, ServerPID: l.ServerPID, ServerCore: l.ServerCore,
	}
	if l.Verbose {
		c.Progress = func(text string) {
			_, _ = fmt.Fprintln(stderr, text) // who watches may be gone
		}
	}
	return c
}

// load runs `sluice bench`. The exit statuses are those of `sluice conformance`: 1
// when a viewer whom the server did not refuse could not be served.
func load(ctx context.Context, l loading, stdout, stderr io.Writer) error {
	// One thread reads for all viewers and hardly ever stops: on one processor the
	// joins would wait for it. And the generator is to disturb by garbage collection
	// as little as possible what it measures.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.NumCPU())))
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	report, err := bench.Run(ctx, l.config(stderr))
	if report == nil {
		return &statusError{statusNotRun, err}
	}
	write := report.WriteText
	if l.JSON {
		write = report.WriteJSON
	}
	if err := errors.Join(err, write(stdout)); err != nil {
		return &statusError{statusNotRun, err}
	}
	switch {
	case report.Interrupted:
		return &statusError{statusNotRun, errors.New("ended early")}
	case report.Limit == nil && !report.Served():
		return &statusError{statusFailed, nil}
	}
	return nil
}
