package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluicemedia/sluice/bench"
)

// figures are what one step of the generator gave, in the units of the table.
type figures struct {
	Asked     int `json:"asked"`
	Connected int `json:"connected"`

	MicrosPerPacket float64 `json:"us_per_packet"`
	Cores           float64 `json:"cores"`
	ViewersPerCore  float64 `json:"viewers_per_core"`
	KiBPerViewer    float64 `json:"kib_per_viewer"`
	LatencyP50      float64 `json:"latency_p50_ms"`
	LatencyP99      float64 `json:"latency_p99_ms"`
	LossPercent     float64 `json:"loss_percent"` // the worse of end to end and by sequence numbers
	JoinSeconds     float64 `json:"join_s"`
	GeneratorCores  float64 `json:"generator_cores"`
	// GeneratorLimit says why the figures tell of the generator; "": they do not.
	GeneratorLimit string `json:"generator_limit,omitempty"`
	// OtherLoad is the share of the server's core that others took.
	OtherLoad float64 `json:"other_load"`
	Profile   string  `json:"profile"`
	// Published is packets per second of the publisher.
	Published float64 `json:"published_per_s"`
	// Short is what was published and reached no viewer while it was measured,
	// lost or late.
	Short float64 `json:"short_percent"`
	// QuickPercent is the share of packets with a latency of at most 10 ms; of
	// runs in several rooms only.
	QuickPercent float64 `json:"quick_percent,omitempty"`

	// What those who were there before got while others joined, and what
	// those got who were refused.
	OthersP99     float64 `json:"others_p99_ms,omitempty"`
	OthersLoss    float64 `json:"others_loss_percent,omitempty"`
	Refused       int     `json:"refused,omitempty"`
	RefusedSilent int     `json:"refused_without_retry_after,omitempty"`
	RefusalP99    float64 `json:"refusal_p99_ms,omitempty"`
	Failed        int     `json:"failed,omitempty"` // to join, for another reason
}

const (
	briefWindow = time.Second
	settle      = 3 * time.Second
	// What a run may take beside its windows: publishing, joins, leaving.
	runLimit = 90 * time.Second
)

// generate puts a load on a server and returns what the generator measured,
// step by step, and its report as it was.
func generate(ctx context.Context, p programs, srv *server, o options, l load, window time.Duration) ([]figures, json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit+time.Duration(len(l.viewers))*(window+settle))
	defer cancel()
	cmd := pinned(ctx, o.loadCore, p.generator, arguments(srv, o, l, window)...)
	var out bytes.Buffer
	said := newTail()
	cmd.Stdout, cmd.Stderr = &out, said
	failed := cmd.Run()
	if ctx.Err() != nil {
		return nil, nil, fmt.Errorf("paired: load generator: %w\n%s", ctx.Err(), said)
	}
	// A status that is not 0 also says that some viewers were not served, which
	// is what a measurement may be about: what counts is whether there is a report.
	steps, err := read(out.Bytes(), len(l.viewers))
	if err != nil {
		return nil, nil, fmt.Errorf("%w\n%s", errors.Join(err, failed), said)
	}
	return steps, out.Bytes(), nil
}

func arguments(srv *server, o options, l load, window time.Duration) []string {
	var viewers []string
	for _, n := range l.viewers {
		viewers = append(viewers, strconv.Itoa(n))
	}
	args := []string{
		"bench", "--whip", srv.whip, "--whep", srv.whep, "--viewers", strings.Join(viewers, ","),
		"--duration", window.String(), "--settle", settle.String(), "--json",
		"--server-pid", strconv.Itoa(srv.pid), "--server-core", strconv.Itoa(o.serverCore),
	}
	if l.profiles != "" {
		args = append(args, "--srtp", l.profiles)
	}
	if l.spacing > 0 {
		args = append(args, "--spacing", l.spacing.String())
	}
	if l.ramp > 0 {
		args = append(args, "--ramp", strconv.FormatFloat(l.ramp, 'f', -1, 64))
	}
	if l.atOnce {
		args = append(args, "--parallel", viewers[len(viewers)-1])
	}
	return args
}

// read takes the figures of each step out of a report.
func read(report []byte, steps int) ([]figures, error) {
	var r bench.Report
	if err := json.Unmarshal(report, &r); err != nil {
		return nil, fmt.Errorf("paired: report of the load generator: %w", err)
	}
	if len(r.Steps) != steps || r.Interrupted {
		return nil, fmt.Errorf("paired: the load generator reports %d of %d steps", len(r.Steps), steps)
	}
	var list []figures
	for i := range r.Steps {
		f, err := figuresOf(&r.Steps[i])
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

func figuresOf(s *bench.Step) (figures, error) {
	if s.Server == nil || s.Media.Latency == nil || s.Server.CPUPerPacket == 0 {
		return figures{}, fmt.Errorf("paired: no media was measured; %d of %d viewers connected %v", s.Viewers.Connected, s.Viewers.Asked, s.Join.Failures)
	}
	f := figures{
		Asked: s.Viewers.Asked, Connected: s.Viewers.Connected, Refused: s.Viewers.Refused, Failed: s.Viewers.Failed,
		MicrosPerPacket: s.Server.CPUPerPacket, Cores: s.Server.Cores, ViewersPerCore: s.Server.ViewersPerCore, KiBPerViewer: s.Server.RSSPerViewer,
		LatencyP50: s.Media.Latency.P50, LatencyP99: s.Media.Latency.P99, LossPercent: s.Media.Loss,
		JoinSeconds: s.Join.Seconds, GeneratorCores: s.Generator.Cores, GeneratorLimit: s.Generator.Limit,
		Profile: s.Profile, Published: s.Media.Published,
		RefusedSilent: s.Viewers.Refused - s.Join.RetryAfter,
	}
	if s.Media.StampLoss != nil {
		f.LossPercent = max(f.LossPercent, *s.Media.StampLoss)
	}
	if s.Media.Short != nil {
		f.Short = *s.Media.Short
	}
	if s.Server.CoreBusy != nil {
		f.OtherLoad = max(0, *s.Server.CoreBusy-s.Server.Cores)
	}
	if o := s.Join.Others; o != nil && o.Latency != nil {
		f.OthersP99, f.OthersLoss = o.Latency.P99, max(o.Loss, o.StampLoss)
	}
	if s.Join.Refusal != nil {
		f.RefusalP99 = s.Join.Refusal.P99
	}
	return f, nil
}
