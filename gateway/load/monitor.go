package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// every is the time between two samples.
const every = 100 * time.Millisecond

// Source is where a Monitor looks.
type Source struct {
	// Media is called by Run alone, with no lock held.
	Media func() Media
	// Census is called for every offer, with a lock held: offers that come
	// together must each see those before them. It reads counters and no more.
	Census func() Census
	// Process replaces what is read of this process; nil: nothing does.
	Process func() Process
}

// Process is what a process used and waited for.
type Process struct {
	CPU   time.Duration // so far
	Cores int
	Sched time.Duration // wait of goroutines, p99 since the last call
}

// Change is when a role begins to be refused, or is let in again.
type Change struct {
	Role   Role
	Closed bool
	Why    Reason // it was closed
	Status Status
}

// Monitor watches the load and decides who is let in.
type Monitor struct {
	source Source
	told   func(Change)

	admitted [roles]atomic.Uint64
	refused  [roles]map[Reason]*atomic.Uint64 // the map is not changed

	mu      sync.Mutex // guards what follows
	judge   judge
	posting [roles]int // let in, and their offer is being answered
}

// NewMonitor makes a monitor that lets everybody in until Run has measured
// something. Told is called on every change, by whoever made it.
func NewMonitor(source Source, told func(Change)) *Monitor {
	m := &Monitor{source: source, told: told}
	if m.source.Process == nil {
		m.source.Process = newReader().read
	}
	for role := range m.refused {
		m.refused[role] = make(map[Reason]*atomic.Uint64)
		for _, r := range Reasons() {
			m.refused[role][r] = new(atomic.Uint64)
		}
	}
	return m
}

// Run samples until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	m.Sample(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.Sample(time.Now())
		}
	}
}

// Sample is one look at everything.
func (m *Monitor) Sample(now time.Time) {
	p := m.source.Process()
	s := Sample{Media: m.source.Media(), Census: m.source.Census(), At: now, CPU: p.CPU, Cores: max(1, p.Cores), Sched: p.Sched}
	var changes []Change
	m.mu.Lock()
	before := m.judge.gates
	if m.judge.observe(s) {
		for role, g := range m.judge.gates {
			if g.closed != before[role].closed {
				changes = append(changes, Change{Role: Role(role), Closed: g.closed, Why: before[role].why})
			}
		}
	}
	m.mu.Unlock()
	m.tell(changes...)
}

// Admit lets somebody in, or says why not. Done is to be called when the offer
// was answered, or was not; from then on the session counts by itself.
func (m *Monitor) Admit(role Role) (done func(), why Reason) {
	now := time.Now()
	m.mu.Lock()
	why, changed := m.judge.admit(role, m.request(now))
	if why == ReasonNone {
		m.posting[role]++
	}
	m.mu.Unlock()
	if why != ReasonNone {
		m.refused[role][why].Add(1)
		if changed {
			m.tell(Change{Role: role, Closed: true, Why: why})
		}
		return nil, why
	}
	m.admitted[role].Add(1)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.posting[role]--
	}, ReasonNone
}

// request is called with mu held.
func (m *Monitor) request(now time.Time) request {
	return request{Census: m.source.Census(), now: now, posting: m.posting}
}

func (m *Monitor) tell(changes ...Change) {
	for _, c := range changes {
		c.Status = m.Status()
		m.told(c)
	}
}

// Status is what a Monitor knows.
type Status struct {
	CPU, Shards float64       // shares used, 0 to 1
	Limit       float64       // of both, for viewers
	Delay       time.Duration // longest that a packet waited lately
	Sched       time.Duration // wait of goroutines, p99
	RecvDrops   uint64        // of the media socket
	ViewerCost  float64       // share of the node that one more viewer takes
	Room        int           // viewers who would be let in, one after the other
	Closed      [roles]bool
	Admitted    [roles]uint64
	Refused     [roles]map[Reason]uint64
}

// Status returns a copy.
func (m *Monitor) Status() Status {
	m.mu.Lock()
	r, j := m.request(time.Now()), &m.judge
	s := Status{
		CPU: float64(j.cpu.level), Shards: float64(j.shards.level), Limit: j.trouble.ceiling,
		Delay: j.last.Delay, Sched: j.sched, RecvDrops: j.last.RecvDrops, Room: j.room(r),
	}
	if j.began {
		s.ViewerCost = max(j.cpu.cost(j.last.Cores), j.shards.cost(j.last.Cores))
	}
	for role, g := range j.gates {
		s.Closed[role] = g.closed
	}
	m.mu.Unlock()
	for role := range s.Admitted {
		s.Admitted[role] = m.admitted[role].Load()
		s.Refused[role] = make(map[Reason]uint64)
		for reason, n := range m.refused[role] {
			s.Refused[role][reason] = n.Load()
		}
	}
	return s
}
