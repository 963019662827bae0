package load

import (
	"math"
	"time"
)

const (
	// viewerLimit is the share of processor time up to which viewers are let in.
	// The rest is for keyframes, joins and refusals, all of which come in bursts.
	viewerLimit    = 0.85
	publisherLimit = 0.95
	// band is how far the load has to fall before viewers are let in again.
	band = 0.04
	// closedFor is the least time between two changes of mind.
	closedFor = 5 * time.Second

	// smoothing is the time constant of all measurements.
	smoothing = time.Second
	// falling is the same for a load that falls while packets are late: a process
	// whose processors others took uses less, and has no more room for it. So
	// it is for mending after the last packet that was late.
	falling = 20 * time.Second
	mending = 5 * time.Second
	// joinWindow is how long somebody who was let in and did not connect yet is
	// expected to.
	joinWindow = 5 // seconds

	// What is assumed until it was measured, in cores. A viewer of a video of
	// 2.5 Mbit/s takes about half a thousandth of one, a publisher ten times as
	// much and more. firmness is how many viewers it takes to believe a
	// measurement as much as the assumption.
	viewerCost    = 0.0005
	publisherCost = 0.01
	firmness      = 50
	// What joining costs, once.
	viewerJoin    = time.Millisecond
	publisherJoin = 10 * time.Millisecond
	// joinBacklog is how much of that may be ahead.
	joinBacklog = time.Second

	// little is the share that a node which carries little uses at most, if each
	// packet out and in costs as much as here: several times what it does.
	little    = 0.25
	packetOut = 5 * time.Microsecond
	packetIn  = 20 * time.Microsecond
)

// judge foresees the load and decides who is let in.
type judge struct {
	began bool
	last  Sample

	cpu, shards          resource
	in, out, sent, recvd mean // rates: packets in and out, drops of both ways
	sched                time.Duration
	active, slow         mean // viewers who are sent media; slow lags behind active

	trouble trouble
	entries entries
	gates   [roles]gate
}

// gate remembers whether a role is let in.
type gate struct {
	closed bool
	since  time.Time
	why    Reason
}

// observe takes a sample into account.
func (j *judge) observe(s Sample) (changed bool) {
	prev := j.last
	j.last = s
	if !j.began {
		j.began = true
		j.cpu.prior, j.shards.prior = viewerCost, viewerCost
		j.trouble.ceiling = viewerLimit
		j.active, j.slow = mean(j.sending(s)), mean(j.sending(s))
		return false
	}
	dt := s.At.Sub(prev.At)
	if dt <= 0 {
		return false
	}
	part, sec := weight(dt, smoothing), dt.Seconds()
	joins := gain(prev.Joins, s.Joins)*viewerJoin.Seconds() + gain(prev.Publishes, s.Publishes)*publisherJoin.Seconds()
	used := (s.CPU - prev.CPU).Seconds()
	j.active.add(j.sending(s), part)
	j.slow.add(float64(j.active), part)
	j.in.add(gain(prev.PacketsIn, s.PacketsIn)/sec, part)
	j.out.add(gain(prev.PacketsOut, s.PacketsOut)/sec, part)
	j.sent.add(gain(prev.SendDrops, s.SendDrops)/sec, part)
	j.recvd.add(gain(prev.RecvDrops, s.RecvDrops)/sec, part)
	j.sched = s.Sched
	// Joins are over soon: they are no part of what is carried.
	fall := smoothing
	if j.trouble.lately(s) {
		fall = falling
	}
	j.cpu.add(max(0, used-joins)/sec/float64(s.Cores), dt, fall, float64(j.active), s.Cores)
	j.shards.add(s.Busy, dt, fall, float64(j.active), s.Cores)
	j.trouble.look(j, dt)
	return j.reopen(s.At)
}

// gain is by how much a counter rose. What it is summed from may be counted in
// two places, or none, for a moment.
func gain(before, now uint64) float64 { return float64(max(before, now) - before) }

// sending counts the viewers that are sent media.
func (j *judge) sending(s Sample) float64 { return float64(max(0, s.Connected[Viewer]-s.Idle)) }

// request is what is known when somebody asks to be let in.
type request struct {
	Census
	now     time.Time
	posting [roles]int // let in, and their offer is being answered
}

// admit decides on one offer. Whoever is let in is counted from now on.
func (j *judge) admit(role Role, r request) (why Reason, changed bool) {
	if why = j.verdict(role, r, 1); why == ReasonNone {
		j.entries.add(role, r.now)
		return ReasonNone, false
	}
	g := &j.gates[role]
	if changed = !g.closed; changed {
		*g = gate{closed: true, since: r.now, why: why}
	}
	return why, changed
}

// verdict says whether there is room for more of a role.
func (j *judge) verdict(role Role, r request, more float64) Reason {
	if !j.began {
		return ReasonNone
	}
	viewers, publishers := j.coming(r)
	if role == Viewer {
		viewers += more
	} else {
		publishers += more
	}
	cores := float64(j.last.Cores)
	if j.carriesLittle(viewers) {
		return ReasonNone
	}
	limit := publisherLimit
	if role == Viewer {
		if why := j.trouble.now; why != ReasonNone {
			return why
		}
		limit = j.viewerLimit()
		if j.backlog(r) > joinBacklog {
			return ReasonJoins
		}
	}
	switch {
	case j.cpu.ahead(viewers, j.last.Cores)+publishers*publisherCost/cores > limit:
		return ReasonCPU
	case j.shards.ahead(viewers, j.last.Cores) > limit:
		return ReasonShards
	default:
		return ReasonNone
	}
}

// viewerLimit is the share up to which viewers are let in now.
func (j *judge) viewerLimit() float64 {
	if j.gates[Viewer].closed {
		return j.trouble.ceiling - band
	}
	return j.trouble.ceiling
}

// coming counts who is in no measurement yet: everybody who is connected, and
// everybody who is about to be, less those whom the measurements speak of.
// Viewers for whom nothing is on air yet are among them.
func (j *judge) coming(r request) (viewers, publishers float64) {
	measured := min(float64(j.active), float64(j.slow))
	viewers = float64(r.Connected[Viewer]+j.joining(Viewer, r)) - measured
	return viewers, float64(j.joining(Publisher, r))
}

// joining counts those who were let in lately and have not connected.
func (j *judge) joining(role Role, r request) int {
	return r.posting[role] + min(r.Connecting[role], j.entries.lately(role, r.now))
}

// carriesLittle tells whether the node is no heavier than one that everybody is
// welcome on. Publishers who have not connected are nothing yet: many never do, as
// those of tests and scanners, and what bounds their number is elsewhere.
func (j *judge) carriesLittle(viewers float64) bool {
	return j.carried(viewers) < little*float64(j.last.Cores)
}

// carried is what the node has to do by counts of packets and viewers, in cores.
func (j *judge) carried(viewers float64) float64 {
	return float64(j.out)*packetOut.Seconds() + float64(j.in)*packetIn.Seconds() + max(0, viewers)*viewerCost
}

// backlog is how long the processors will be busy with those who join now.
func (j *judge) backlog(r request) time.Duration {
	work := time.Duration(j.joining(Viewer, r))*viewerJoin + time.Duration(j.joining(Publisher, r))*publisherJoin
	free := max(0.05, 1-float64(j.cpu.level)) * float64(j.last.Cores)
	return time.Duration(float64(work) / free)
}

// reopen lets a role in again that nothing speaks against any more. Nobody has
// to ask for it.
func (j *judge) reopen(now time.Time) (changed bool) {
	for role := range j.gates {
		g := &j.gates[role]
		if !g.closed || now.Sub(g.since) < closedFor {
			continue
		}
		if j.verdict(Role(role), request{Census: j.last.Census, now: now}, 1) == ReasonNone {
			*g = gate{since: now}
			changed = true
		}
	}
	return changed
}

// room is how many more viewers would be let in, if they did not all come at once.
func (j *judge) room(r request) int {
	if !j.began {
		return 0
	}
	viewers, publishers := j.coming(r)
	cores := float64(j.last.Cores)
	room := (little*cores - j.carried(viewers)) / viewerCost
	if j.trouble.now == ReasonNone {
		limit := j.viewerLimit()
		byCPU := (limit - publishers*publisherCost/cores - j.cpu.ahead(viewers, j.last.Cores)) / j.cpu.cost(j.last.Cores)
		byShards := (limit - j.shards.ahead(viewers, j.last.Cores)) / j.shards.cost(j.last.Cores)
		room = max(room, min(byCPU, byShards))
	}
	return int(max(0, room))
}

// resource is something that is used up, 0 to 1.
type resource struct {
	level mean
	// prior is what a viewer is believed to cost, in cores, apart from what is
	// measured now. It remembers what viewers cost when there were some.
	prior    float64
	measured float64 // viewers that level speaks of
}

// add takes a measurement with so many viewers into account. Fall is the time
// constant for less than before.
func (r *resource) add(level float64, dt, fall time.Duration, viewers float64, cores int) {
	over := smoothing
	if level < float64(r.level) {
		over = fall
	}
	r.level.add(level, weight(dt, over))
	r.measured = viewers
	if viewers < 1 {
		return
	}
	trust := viewers / (firmness + viewers) * weight(dt, 30*smoothing)
	seen := float64(r.level) * float64(cores) / viewers
	r.prior += trust * (min(max(seen, viewerCost/4), viewerCost*8) - r.prior)
}

// cost is what one more viewer takes of the resource.
func (r *resource) cost(cores int) float64 {
	return (firmness*r.prior/float64(cores) + float64(r.level)) / (firmness + r.measured)
}

// ahead is the level with so many more viewers.
func (r *resource) ahead(viewers float64, cores int) float64 {
	return float64(r.level) + viewers*r.cost(cores)
}

// mean is an average that forgets.
type mean float64

func (m *mean) add(v, part float64) { *m += mean(part * (v - float64(*m))) }

// weight is the part that a measurement over dt has in a mean.
func weight(dt, over time.Duration) float64 { return 1 - math.Exp(-dt.Seconds()/over.Seconds()) }

// entries counts who was let in, by second since the first. Seconds are those of
// the monotonic clock: the other one may be set.
type entries struct {
	first time.Time
	slots [roles][joinWindow + 1]struct {
		second int64
		n      int
	}
}

// second is the number of now, 1 for the first. Who asks at the same time may have
// looked at the clock a little sooner.
func (e *entries) second(now time.Time) int64 {
	return 1 + int64(max(0, now.Sub(e.first))/time.Second)
}

func (e *entries) add(role Role, now time.Time) {
	if e.first.IsZero() {
		e.first = now
	}
	second := e.second(now)
	slot := &e.slots[role][second%int64(len(e.slots[role]))]
	if slot.second != second {
		slot.second, slot.n = second, 0
	}
	slot.n++
}

// lately is how many were let in within the last joinWindow seconds or a little
// longer.
func (e *entries) lately(role Role, now time.Time) (n int) {
	if e.first.IsZero() {
		return 0
	}
	second := e.second(now)
	for _, slot := range e.slots[role] {
		if second-slot.second <= joinWindow {
			n += slot.n
		}
	}
	return n
}
