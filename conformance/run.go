package conformance

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	checkLimit   = 45 * time.Second  // of a check
	patientLimit = 150 * time.Second // of one that waits for timers
)

// suite is one run.
type suite struct {
	target   *Target
	siblings bool // each check has a room of its own
	alone    bool // the one room takes one session of a publisher at a time, connected or not
	slots    chan struct{}

	live liveRoom

	mu      sync.Mutex // guards results; held while Progress is called
	results map[string]Result
}

// Run judges the target. The error says that it could not be judged at all.
func Run(ctx context.Context, target Target) (*Report, error) {
	if err := target.Check(); err != nil {
		return nil, err
	}
	if target.Parallel <= 0 {
		target.Parallel = 8
	}
	began := time.Now()
	s := &suite{target: &target, slots: make(chan struct{}, target.Parallel), results: map[string]Result{}}
	client := target.newClient()
	defer client.CloseIdleConnections()
	if err := target.reach(ctx, client); err != nil {
		return nil, err
	}
	s.siblings = target.hasSiblings(ctx, client)
	s.alone = !s.siblings && target.takesOne(ctx, client)
	var checks []Check
	for _, c := range Checks() {
		if selected(c.ID, target.Only) {
			checks = append(checks, c)
		}
	}
	defer s.live.close()
	s.schedule(ctx, checks)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("conformance: interrupted: %w", err)
	}
	return s.report(checks, time.Since(began)), nil
}

// schedule runs the checks: all at once where each has a room of its own, else
// stage by stage, with those that want the room for themselves one by one.
// Patient checks wait for the server's timers beside everything else, without a slot.
// What brings the server to its limits comes last, when nobody is left to suffer.
func (s *suite) schedule(ctx context.Context, checks []Check) {
	var wg, stage sync.WaitGroup
	for _, phase := range []Stage{Idle, Alone, Live} {
		for i := range checks {
			c := &checks[i]
			if c.Stage != phase {
				continue
			}
			switch {
			case c.Patient && (s.siblings || c.Stage == Idle && !s.alone):
				wg.Go(func() { s.one(ctx, c) })
			case !s.siblings && (c.Stage == Alone || s.alone && c.Stage == Idle):
				s.one(ctx, c)
			default:
				s.slots <- struct{}{}
				stage.Go(func() {
					defer func() { <-s.slots }()
					s.one(ctx, c)
				})
			}
		}
		if !s.siblings {
			stage.Wait()
		}
	}
	stage.Wait()
	wg.Wait()
	s.live.close() // those that are left may want the room
	for i := range checks {
		if checks[i].Stage == Last {
			s.one(ctx, &checks[i])
		}
	}
}

// one runs one check.
func (s *suite) one(ctx context.Context, c *Check) {
	limit := checkLimit
	if c.Patient {
		limit = patientLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := &T{check: c, suite: s, ctx: ctx, client: s.target.newClient()}
	defer t.client.CloseIdleConnections()
	result := s.prepare(ctx, t)
	if result == nil {
		r := t.run()
		result = &r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results[c.ID] = *result
	if s.target.Progress != nil {
		s.target.Progress(*result)
	}
}

// prepare gives the check its room; a result instead when it cannot be run.
func (s *suite) prepare(ctx context.Context, t *T) *Result {
	c := t.check
	not := func(o Outcome, why string) *Result {
		return &Result{ID: c.ID, Section: c.Section, Level: c.Level, What: c.What, Result: o, Detail: why}
	}
	if c.protocol() == "WHIP" && s.target.WHIP == "" {
		return not(Skip, "no WHIP endpoint was named")
	}
	if c.protocol() == "WHEP" && s.target.WHEP == "" {
		return not(Skip, "no WHEP endpoint was named")
	}
	switch {
	case c.Stage == Live:
		if err := s.live.open(ctx, s); err != nil {
			// The checks of publishers tell what is wrong; here nothing was judged.
			return not(Skip, "nobody could be put on air for this check: "+err.Error())
		}
		t.Room = s.live.room
	case s.siblings:
		t.Room = s.target.room("c" + randomText(5))
	default:
		t.Room = s.target.own()
	}
	return nil
}
