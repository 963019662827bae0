package bench

import (
	"context"
	"fmt"
	"time"
)

// maxLoss is how much may be missing, in percent, of what is served well.
const maxLoss = 0.1

// loadable is what findLimit tries: a generator, or a double of one.
type loadable interface {
	measure(ctx context.Context, viewers int) (Step, error)
}

// findLimit adds viewers in growing steps until something is wrong, then halves the
// distance between good and bad until it is small. Every step is given to note.
func findLimit(ctx context.Context, g loadable, first int, maxLatency time.Duration, note func(Step)) (*Limit, error) {
	limit := &Limit{}
	good, bad := 0, 0
	for n := max(1, first); bad == 0 || bad-good > max(1, good/25); {
		s, err := g.measure(ctx, n)
		if err != nil {
			return nil, err
		}
		note(s)
		if reason, own := s.wrong(maxLatency); reason == "" {
			good = n
		} else {
			bad = n
			limit.Reason, limit.Generator = reason, own
			if s.Viewers.Refused > 0 {
				// Those who were let in are the limit that the server itself knows.
				if s.unwell(maxLatency) == "" && s.Viewers.Connected > good {
					good, bad = s.Viewers.Connected, s.Viewers.Connected+1
				}
			}
		}
		if bad == 0 {
			if n == maxViewers {
				limit.Reason, limit.Generator = "the generator has no more ports", true
				break
			}
			n = min(n+max(n/2, 10), maxViewers)
		} else {
			n = good + (bad-good)/2
		}
	}
	limit.Viewers = good
	return limit, nil
}

// wrong says what is not well in a step, and whether it may be the generator's
// fault. A generator at its limit that serves well all the same does no harm, and
// it cannot make a server refuse.
func (s *Step) wrong(maxLatency time.Duration) (reason string, own bool) {
	if v := s.Viewers; v.Refused > 0 {
		return fmt.Sprintf("the server refused %d of %d viewers", v.Refused, v.Asked), false
	}
	reason = s.unwell(maxLatency)
	if reason != "" && s.Generator.Limit != "" {
		return s.Generator.Limit, true
	}
	return reason, false
}

// unwell says what those who were let in lack.
func (s *Step) unwell(maxLatency time.Duration) string {
	v, m := s.Viewers, s.Media
	switch {
	case v.Failed > 0:
		return fmt.Sprintf("%d of %d viewers could not join", v.Failed, v.Asked)
	case v.Connected == 0:
		return "nobody was connected"
	case v.Closed > 0:
		return fmt.Sprintf("the server ended %d sessions", v.Closed)
	case v.Silent > 0:
		return fmt.Sprintf("%d of %d viewers received nothing", v.Silent, v.Connected)
	case m.Loss > maxLoss:
		return fmt.Sprintf("%.2f %% of the packets were lost", m.Loss)
	case m.StampLoss != nil && *m.StampLoss > maxLoss:
		return fmt.Sprintf("%.2f %% of the published packets did not arrive", *m.StampLoss)
	case m.Latency != nil && m.Latency.P99 > ms(maxLatency):
		return fmt.Sprintf("one packet in a hundred was late by %.0f ms or more", m.Latency.P99)
	}
	return ""
}
