package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sluicemedia/sluice/bench"
)

// workingRooms is how many rooms the working load is spread over in the second
// way of measuring it. In one room all viewers are due the same packets at the
// same time, and the last of them waits until all others have been served; the
// rooms of a real node do not have their keyframes at one time.
const workingRooms = 8

// room is the server with another room than the announced one.
func (s *server) room(n int) *server {
	other := *s
	name := fmt.Sprintf("/room-%d", n)
	other.whip = strings.TrimSuffix(s.whip, "/demo") + name
	other.whep = strings.TrimSuffix(s.whep, "/demo") + name
	return &other
}

// generateRooms puts a load on a server in several rooms at once, each with a
// generator of its own, and returns what all of them together measured.
func generateRooms(ctx context.Context, p programs, srv *server, o options, rooms int, l load, window time.Duration) (figures, []json.RawMessage, error) {
	raw, errs := make([]json.RawMessage, rooms), make([]error, rooms)
	var running sync.WaitGroup
	for i := range rooms {
		running.Go(func() { _, raw[i], errs[i] = generate(ctx, p, srv.room(i+1), o, l, window) })
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return figures{}, nil, err
	}
	f, err := together(raw)
	return f, raw, err
}

// slow is the latency that a packet should not exceed.
const slow = 10.0 // ms

// together adds up the reports of generators that ran at the same time. Each of
// them saw the whole server, and its own viewers. Latencies are those of the
// worst room; within tells of the packets of all.
func together(reports []json.RawMessage) (sum figures, err error) {
	var packets, quick, all uint64
	var seconds float64
	for _, raw := range reports {
		list, err := read(raw, 1)
		if err != nil {
			return sum, err
		}
		var r bench.Report
		if err := json.Unmarshal(raw, &r); err != nil {
			return sum, fmt.Errorf("paired: report of the load generator: %w", err)
		}
		f, s := list[0], &r.Steps[0]
		sum.Asked += f.Asked
		sum.Connected += f.Connected
		sum.Refused += f.Refused
		sum.Failed += f.Failed
		sum.Published += f.Published
		sum.GeneratorCores += f.GeneratorCores
		sum.LatencyP50 = max(sum.LatencyP50, f.LatencyP50)
		sum.LatencyP99 = max(sum.LatencyP99, f.LatencyP99)
		sum.LossPercent = max(sum.LossPercent, f.LossPercent)
		sum.JoinSeconds = max(sum.JoinSeconds, f.JoinSeconds)
		sum.OtherLoad = max(sum.OtherLoad, f.OtherLoad)
		sum.Short = max(sum.Short, f.Short)
		sum.Profile = f.Profile
		if f.GeneratorLimit != "" {
			sum.GeneratorLimit = f.GeneratorLimit
		}
		sum.Cores += f.Cores / float64(len(reports))
		seconds += f.Cores * s.Media.Seconds / float64(len(reports))
		packets += s.Media.Packets
		for _, b := range s.Histogram {
			all += b.Packets
			if b.UpTo <= slow {
				quick += b.Packets
			}
		}
	}
	if packets == 0 || all == 0 || sum.Cores == 0 {
		return sum, errors.New("paired: no media was measured in the rooms")
	}
	sum.MicrosPerPacket = rounded(seconds * 1e6 / float64(packets))
	sum.ViewersPerCore = rounded(float64(sum.Connected) / sum.Cores)
	sum.QuickPercent = rounded(100 * float64(quick) / float64(all))
	return sum, nil
}
