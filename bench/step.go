package bench

import (
	"context"
	"errors"
	"sync"
	"time"
)

// moment is all that is read at the beginning and the end of measuring.
type moment struct {
	census
	server                      usage
	self                        time.Duration
	published, keyframes, asked uint64
}

// read reads it all, and takes the latencies since it was read before.
func (g *generator) read() (m moment, latency *histogram, err error) {
	m.census, latency = g.fleet.count()
	if p := g.publisher; p != nil {
		m.published, m.keyframes, m.asked = p.packets.Load(), p.keyframes.Load(), p.requests.Load()
	}
	var selfErr error
	m.server, err = g.observer.now()
	m.self, selfErr = selfCPU()
	return m, latency, errors.Join(err, selfErr)
}

// errPublisherLost is a run that has nothing more to measure.
var errPublisherLost = errors.New("bench: the publisher's connection was lost")

// measure brings the number of viewers to n, waits until they have settled and
// measures what they get.
func (g *generator) measure(ctx context.Context, n int) (s Step, err error) {
	s.Viewers.Asked = n
	a, err := g.enter(ctx, n, &s)
	if err != nil {
		return s, err
	}
	if err := wait(ctx, g.config.Settle); err != nil {
		return s, err
	}
	g.firsts(a, &s)

	before, _, err := g.read()
	if err != nil {
		return s, err
	}
	if g.publisher != nil {
		g.publisher.lateness() // that of the joins is not looked at
	}
	churn, err := g.hold(ctx)
	if err != nil {
		return s, err
	}
	s.churned(churn)
	after, latency, err := g.read()
	if err != nil {
		return s, err
	}
	g.fill(&s, before, after, latency)
	g.config.progress("%s", s.line())
	return s, nil
}

// enter lets viewers join, or leave, until there are n. Those whom the server has
// put out of a step before are replaced.
func (g *generator) enter(ctx context.Context, n int, s *Step) (*arrivals, error) {
	parting := g.fleet.takeEnded()
	if more := len(g.fleet.list()) - n; more > 0 {
		parting = append(parting, g.fleet.take(more)...)
	}
	if err := g.leave(ctx, parting); err != nil {
		g.config.progress("a session was not ended: %v", err)
	}
	there := g.fleet.list()
	if n == len(there) {
		return &arrivals{}, nil
	}
	before, _, err := g.read()
	if err != nil {
		return nil, err
	}
	had := g.fleet.of(before.own)
	began := time.Now()
	a := g.grow(ctx, n-len(there))
	took := time.Since(began)
	got := g.fleet.of(before.own).since(had)
	after, latency, err := g.read()
	if err != nil {
		return nil, err
	}
	s.Join = Join{
		Tried: n - len(there), Seconds: rounded(took.Seconds(), 3), RetryAfter: a.advised,
		Refusal: a.refusals.quantiles(), Failures: a.failures(),
	}
	s.Viewers.Refused, s.Viewers.Failed = a.refused, a.failed
	if len(a.viewers) > 0 {
		s.Join.PerSecond = rounded(float64(len(a.viewers))/took.Seconds(), 1)
		s.Join.OwnCPU = rounded(ms(after.self-before.self)/float64(len(a.viewers)), 3)
		if g.observer.pid > 0 {
			each := rounded(ms(after.server.cpu-before.server.cpu)/float64(len(a.viewers)), 3)
			s.Join.ServerCPU = &each
		}
	}
	if len(there) > 0 {
		s.Join.Others = &Others{
			Viewers: len(there), Latency: latency.latencies(),
			Loss: percent(got.missing, got.packets), StampLoss: percent(got.stampsMissing, got.stamps),
		}
	}
	return a, nil
}

// firsts tells how long the new viewers waited for what.
func (g *generator) firsts(a *arrivals, s *Step) {
	var post, connected, media, key histogram
	g.fleet.mu.Lock()
	for _, v := range a.viewers {
		post.add(v.answered)
		connected.add(v.entered)
		if !v.firstMedia.IsZero() {
			media.add(v.firstMedia.Sub(v.began))
		}
		if !v.firstKey.IsZero() {
			key.add(v.firstKey.Sub(v.began))
		}
	}
	g.fleet.mu.Unlock()
	s.Join.Post, s.Join.Connected = post.quantiles(), connected.quantiles()
	s.Join.FirstMedia, s.Join.FirstKeyframe = media.quantiles(), key.quantiles()
}

// hold waits while it is measured, with churn if that is asked for.
func (g *generator) hold(ctx context.Context) (replaced *arrivals, err error) {
	within, cancel := context.WithTimeout(ctx, g.config.Duration)
	defer cancel()
	replaced = &arrivals{}
	var churn sync.WaitGroup
	if g.config.Churn > 0 {
		churn.Go(func() { replaced = g.replace(within, g.config.Churn) })
	}
	var lost chan struct{} // nil: never
	if g.publisher != nil {
		lost = g.publisher.down
	}
	select {
	case <-within.Done():
	case <-lost:
		err = errPublisherLost
		cancel()
	}
	churn.Wait()
	return replaced, errors.Join(err, ctx.Err())
}

// churned adds what became of the joins that replaced others.
func (s *Step) churned(a *arrivals) {
	s.Viewers.Replaced = len(a.viewers)
	s.Viewers.Refused += a.refused
	s.Viewers.Failed += a.failed
	s.Join.RetryAfter += a.advised
	s.Join.Failures = append(s.Join.Failures, a.failures()...)
}

// fill computes the figures of a step.
func (g *generator) fill(s *Step, a, b moment, latency *histogram) {
	seconds := b.at.Sub(a.at).Seconds()
	got := b.all.since(a.all)
	s.Viewers.Closed = b.closed
	s.Viewers.Connected = len(a.own)
	for v, had := range a.own {
		if v.sampled {
			s.Viewers.Sampled++
		}
		if has, there := b.own[v]; there && has == had {
			s.Viewers.Silent++
		}
		s.Profile = srtpName(v.profile)
	}
	m := &s.Media
	m.Seconds = rounded(seconds, 3)
	m.Packets, m.Received = got.packets, rounded(float64(got.packets)/seconds, 1)
	m.Mbit = rounded(float64(got.bytes)*8/seconds/1e6, 3)
	m.Latency = latency.latencies()
	s.Histogram = latency.bars()
	m.Missing, m.Late, m.Twice, m.Undecryptable = got.missing, got.late, got.twice, got.undecryptable
	m.Stamps, m.StampsMissing = got.stamps, got.stampsMissing
	m.Loss = percent(got.missing, got.packets)
	if got.stamps > 0 {
		loss := percent(got.stampsMissing, got.stamps)
		m.StampLoss = &loss
	}
	if published := b.published - a.published; published > 0 {
		m.Published = rounded(float64(published)/seconds, 1)
		m.Keyframes, m.Requests = b.keyframes-a.keyframes, b.asked-a.asked
		if want := float64(published) * float64(len(a.own)); want > 0 && g.config.Churn == 0 {
			short := rounded(100*(1-float64(got.packets)/want), 3)
			m.Short = &short
		}
	}
	s.Server = g.serverOf(s, a, b, got)
	s.Generator = g.selfOf(a, b, got)
}

// serverOf is what the server used.
func (g *generator) serverOf(s *Step, a, b moment, got totals) *Server {
	if g.observer.pid == 0 && g.observer.core < 0 {
		return nil
	}
	cpu := (b.server.cpu - a.server.cpu).Seconds()
	cores := cpu / b.at.Sub(a.at).Seconds()
	r := &Server{Cores: rounded(cores, 3), RSS: b.server.rss, PeakRSS: b.server.peak}
	if got.packets > 0 && cpu > 0 {
		r.CPUPerPacket = rounded(cpu*1e6/float64(got.packets), 3)
		r.CPUPerGB = rounded(cpu*1e9/float64(got.bytes), 3)
		r.ViewersPerCore = rounded(float64(s.Viewers.Connected)/cores, 1)
	}
	if s.Viewers.Connected > 0 {
		r.RSSPerViewer = rounded(float64(b.server.rss-g.before.rss)/float64(s.Viewers.Connected), 1)
	}
	if all := b.server.coreAll - a.server.coreAll; g.observer.core >= 0 && all > 0 {
		busy := rounded(float64(b.server.core-a.server.core)/float64(all), 3)
		r.CoreBusy = &busy
	}
	return r
}
