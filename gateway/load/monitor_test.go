package load_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicemedia/sluice/gateway/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a node that a test makes up.
type node struct {
	cpu       atomic.Int64
	connected atomic.Int64
	packets   atomic.Uint64
}

func (n *node) source() load.Source {
	return load.Source{
		Media: func() load.Media { return load.Media{PacketsOut: n.packets.Load()} },
		Census: func() (c load.Census) {
			c.Connected[load.Viewer] = int(n.connected.Load())
			return c
		},
		Process: func() load.Process { return load.Process{CPU: time.Duration(n.cpu.Load()), Cores: 1} },
	}
}

// work lets the node work for so long, of a core's time so much.
func (n *node) work(m *load.Monitor, at *time.Time, d time.Duration, share float64) {
	const step = 100 * time.Millisecond
	for range d / step {
		*at = at.Add(step)
		n.cpu.Add(int64(share * float64(step)))
		n.packets.Add(uint64(share * 40_000)) // 2.5 µs each
		m.Sample(*at)
	}
}

// Six hundred offers at once, each seeing those before it.
func TestMonitorCountsACrowd(t *testing.T) {
	n := &node{}
	n.connected.Store(1000)
	changes := make(chan load.Change, 10)
	m := load.NewMonitor(n.source(), func(c load.Change) { changes <- c })
	at := time.Now().Add(-time.Minute)
	n.work(m, &at, 20*time.Second, 0.6)
	var crowd sync.WaitGroup
	var admitted atomic.Int64
	leave := make(chan struct{})
	var asked sync.WaitGroup
	asked.Add(600)
	for range 600 {
		crowd.Go(func() {
			done, why := m.Admit(load.Viewer)
			asked.Done()
			if why == load.ReasonNone {
				admitted.Add(1)
				<-leave
				done()
			}
		})
	}
	asked.Wait()
	// A viewer takes 0.6 / 1000 of the core: there is room for 400, and for the
	// joins of 400 in the second.
	if got := admitted.Load(); got < 350 || got > 420 {
		t.Errorf("%d of 600 were let in, want about 400", got)
	}
	c := <-changes
	if !c.Closed || c.Role != load.Viewer || c.Why == load.ReasonNone {
		t.Errorf("got %+v, want viewers to be refused", c)
	}
	st := m.Status()
	if !st.Closed[load.Viewer] || st.Closed[load.Publisher] || st.Admitted[load.Viewer] != uint64(admitted.Load()) {
		t.Errorf("got %+v", st)
	}
	var refused uint64
	for _, k := range st.Refused[load.Viewer] {
		refused += k
	}
	if refused != 600-uint64(admitted.Load()) {
		t.Errorf("%d refusals were counted", refused)
	}
	close(leave)
	crowd.Wait()
	at = time.Now()
	n.work(m, &at, 20*time.Second, 0.3)
	if len(changes) != 1 {
		t.Fatalf("told of %d changes, want one", len(changes))
	}
	if c := <-changes; c.Closed || c.Role != load.Viewer {
		t.Errorf("got %+v, want viewers to be let in again", c)
	}
}

// Before anything was measured everybody is welcome.
func TestMonitorBeforeItRuns(t *testing.T) {
	m := load.NewMonitor((&node{}).source(), func(load.Change) {})
	if got := m.Status(); got.Room != 0 || got.ViewerCost != 0 {
		t.Errorf("it knows something: %+v", got)
	}
	done, why := m.Admit(load.Publisher)
	if why != load.ReasonNone {
		t.Fatal(why)
	}
	done()
}

// The monitor of a process that works sees that it does.
func TestMonitorRuns(t *testing.T) {
	source := (&node{}).source()
	source.Process = nil
	m := load.NewMonitor(source, func(load.Change) {})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	defer running.Wait()
	defer cancel()
	limit := time.Now().Add(30 * time.Second)
	for m.Status().CPU < 0.01 || m.Status().Sched == 0 {
		if time.Now().After(limit) {
			t.Fatalf("got %+v", m.Status())
		}
	}
	if got := m.Status().CPU; got > 1 {
		t.Errorf("got %.2f of the processors", got)
	}
}
