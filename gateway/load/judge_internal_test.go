package load

import (
	"testing"
	"time"
)

// world is a node as the judge sees one: viewers who cost something, joins that
// take processor time, and a clock that a test moves.
type world struct {
	t      *testing.T
	judge  judge
	now    time.Time
	cores  int
	cost   float64 // cores of one viewer
	other  float64 // cores that the process uses besides
	stolen float64 // cores that other processes take

	s                 Sample
	queue             []time.Time // who was let in, and when they will be connected
	delay, sched      time.Duration
	idle              int
	drops, recv       uint64 // a second
	admitted, refused int
	changes           int
	reasons           map[Reason]int
	packetsOf         uint64 // packets a viewer gets in a second
}

func newWorld(t *testing.T, cores int) *world {
	t.Helper()
	w := &world{
		t: t, cores: cores, cost: 0.0005, packetsOf: 320, now: time.Unix(1_000_000, 0), reasons: map[Reason]int{},
	}
	w.pass(time.Second)
	return w
}

// pass lets time go by, with a sample every 100 ms.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.tick()
	}
}

func (w *world) tick() {
	w.now = w.now.Add(every)
	joined := 0
	for len(w.queue) > 0 && !w.queue[0].After(w.now) {
		w.queue, joined = w.queue[1:], joined+1
	}
	w.s.Connected[Viewer] += joined
	sent := float64(max(0, w.s.Connected[Viewer]-w.idle))
	used := sent*w.cost + w.other
	cpu := used*every.Seconds() + float64(joined)*viewerJoin.Seconds()
	w.s.At, w.s.Cores = w.now, w.cores
	w.s.CPU += time.Duration(min(cpu, (float64(w.cores)-w.stolen)*every.Seconds()) * float64(time.Second))
	w.s.Busy = min(1-w.stolen/float64(w.cores), sent*w.cost/float64(w.cores))
	w.s.Joins += uint64(joined)
	w.s.PacketsOut += uint64(sent * float64(w.packetsOf) * every.Seconds())
	w.s.SendDrops += w.drops / 10
	w.s.RecvDrops += w.recv / 10
	w.s.Delay, w.s.Sched, w.s.Idle = w.delay, w.sched, w.idle
	if w.judge.observe(w.s) {
		w.changes++
	}
}

// offer is n viewers who come at once and need so long to connect.
func (w *world) offer(n int, takes time.Duration) (admitted int) {
	for range n {
		if why, changed := w.judge.admit(Viewer, w.request()); why != ReasonNone {
			w.refused++
			w.reasons[why]++
			if changed {
				w.changes++
			}
			continue
		}
		admitted++
		w.queue = append(w.queue, w.now.Add(takes))
	}
	w.admitted += admitted
	return admitted
}

func (w *world) request() request {
	r := request{Census: w.s.Census, now: w.now}
	r.Connecting[Viewer] = len(w.queue)
	return r
}

// used is the share of the processors that the viewers take.
func (w *world) used() float64 {
	return (float64(w.s.Connected[Viewer]-w.idle)*w.cost + w.other) / float64(w.cores)
}

func (w *world) wantUsed(least, most float64) {
	w.t.Helper()
	if got := w.used(); got < least || got > most {
		w.t.Errorf("the node uses %.2f with %d viewers, want %.2f to %.2f", got, w.s.Connected[Viewer], least, most)
	}
}

// A crowd comes within one sample: nobody can be measured before all are there.
func TestBurst(t *testing.T) {
	for name, tc := range map[string]struct {
		cores       int
		cost        float64
		least, most float64
	}{
		"one core":             {1, 0.0005, 0.5, 0.9},
		"eight cores":          {8, 0.0005, 0.5, 0.9},
		"cheaper than assumed": {1, 0.00025, 0.25, 0.9},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.cores)
			w.cost = tc.cost
			w.offer(5000*tc.cores, 500*time.Millisecond)
			w.pass(10 * time.Second)
			w.wantUsed(tc.least*0.9, tc.most)
			// With what it knows now it fills up to its limit.
			for range 100 {
				w.offer(50*tc.cores, 500*time.Millisecond)
				w.pass(time.Second)
			}
			w.wantUsed(viewerLimit-0.05, viewerLimit+0.02)
		})
	}
}

// A second crowd comes to a node that knows what viewers cost, twice what was
// assumed: none of them is measured yet, and all of them are counted.
func TestBurstOnLoadedNode(t *testing.T) {
	w := newWorld(t, 1)
	w.cost = 0.001
	w.offer(300, 0)
	w.pass(20 * time.Second)
	w.offer(2000, 300*time.Millisecond)
	w.pass(5 * time.Second)
	w.wantUsed(0.7, viewerLimit+0.03)
}

// Viewers come one after the other, three times as many as there is room for.
func TestSlowGrowth(t *testing.T) {
	for _, cores := range []int{1, 8} {
		w := newWorld(t, cores)
		for range 500 { // 20 cores' worth in 50 s
			w.offer(12*cores, 100*time.Millisecond)
			w.tick()
		}
		w.wantUsed(viewerLimit-0.03, viewerLimit+0.01)
		if w.refused < 2*w.admitted {
			t.Errorf("%d cores: %d were let in and %d refused", cores, w.admitted, w.refused)
		}
		if w.changes > 3 {
			t.Errorf("%d cores: changed its mind %d times", cores, w.changes)
		}
		if len(w.reasons) > 2 || w.reasons[ReasonCPU]+w.reasons[ReasonShards] != w.refused {
			t.Errorf("%d cores: got reasons %v", cores, w.reasons)
		}
	}
}

// Whoever leaves makes room, but not one for one at the limit.
func TestHysteresis(t *testing.T) {
	w := newWorld(t, 1)
	for range 400 {
		w.offer(12, 0)
		w.tick()
	}
	if w.offer(1, 0) != 0 {
		t.Fatal("the node is not full")
	}
	before := w.changes
	w.s.Connected[Viewer] -= 20 // one in a hundred of the load
	w.pass(10 * time.Second)
	if w.offer(1, 0) != 0 || w.changes != before {
		t.Error("it takes somebody at once when a few leave: that flaps")
	}
	w.s.Connected[Viewer] -= 200
	w.pass(10 * time.Second)
	if w.offer(1, 0) != 1 || w.changes != before+1 {
		t.Errorf("it takes nobody though many left (%d changes)", w.changes-before)
	}
	// Viewers who come and go at the limit for ten minutes.
	before = w.changes
	for range 600 {
		w.s.Connected[Viewer] -= 5
		w.offer(15, 0)
		w.pass(time.Second)
	}
	if n := w.changes - before; n > 60 { // one in ten seconds
		t.Errorf("it changed its mind %d times in ten minutes", n)
	}
	w.wantUsed(viewerLimit-band-0.03, viewerLimit+0.01)
}

// Joins use the processors, but they are over when the viewers are there.
func TestJoinsAreNoLoad(t *testing.T) {
	w := newWorld(t, 1)
	w.offer(700, 0) // 0.35 of the core
	w.pass(5 * time.Second)
	for range 100 {
		if got := w.offer(10, 50*time.Millisecond); got != 10 {
			t.Fatalf("%d of 10 a tick were let in at %.2f: %v", got, w.used(), w.reasons)
		}
		if w.tick(); w.s.Connected[Viewer] > 1500 {
			break
		}
	}
	if w.s.Connected[Viewer] < 1500 {
		t.Errorf("got %d viewers", w.s.Connected[Viewer])
	}
}

// Another program takes the processors: the process uses less than before, and
// serves worse. That is no room for more.
func TestStarved(t *testing.T) {
	w := newWorld(t, 1)
	for range 8 {
		w.offer(200, 0)
		w.pass(3 * time.Second)
	}
	w.stolen, w.delay = 0.9, 700*time.Millisecond
	w.pass(2 * time.Second)
	if got := w.offer(1000, 0); got > 400 {
		t.Errorf("it let in %d while others had the processors", got)
	}
	w.pass(5 * time.Second)
	if w.offer(1, 0) != 0 {
		t.Error("it lets viewers in though packets wait")
	}
	w.stolen, w.delay = 0, 0
	w.s.Connected[Viewer] = 1000
	w.pass(3 * time.Minute)
	if w.offer(100, 0) != 100 {
		t.Errorf("it is over, and still refused: %v", w.reasons)
	}
}

// More joins than a second has time for wait outside.
func TestStormOnLoadedNode(t *testing.T) {
	w := newWorld(t, 1)
	w.cost = 0.0001
	w.offer(900, 0)
	w.pass(10 * time.Second)
	w.other = 0.3
	w.pass(10 * time.Second)
	if got := w.offer(3000, time.Second); got < 500 || got > 650 {
		t.Errorf("%d of 3000 were let in at once, want about 600", got)
	}
	if w.reasons[ReasonJoins] == 0 {
		t.Errorf("got reasons %v", w.reasons)
	}
}

// A node that carries little takes everybody, whatever the machine is like.
func TestLittleIsAlwaysLetIn(t *testing.T) {
	for name, trouble := range map[string]func(*world){
		"tests in this process":  func(w *world) { w.other = 1 },
		"others on this machine": func(w *world) { w.delay, w.sched = time.Second, time.Second },
		"drops":                  func(w *world) { w.drops, w.recv = 100, 100 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			trouble(w)
			for range 100 {
				w.offer(1, 300*time.Millisecond)
				w.pass(300 * time.Millisecond)
			}
			if w.refused > 0 {
				t.Errorf("%d of 100 were refused: %v", w.refused, w.reasons)
			}
		})
	}
}

// What hurts brings the limit down to what is carried, and it rises slowly.
func TestTrouble(t *testing.T) {
	for want, trouble := range map[Reason]func(w *world, on bool){
		ReasonDelay:     func(w *world, on bool) { w.delay = pick(on, 80*time.Millisecond) },
		ReasonSched:     func(w *world, on bool) { w.sched = pick(on, 80*time.Millisecond) },
		ReasonSendDrops: func(w *world, on bool) { w.drops = uint64(pick(on, 1000)) },
		ReasonRecvDrops: func(w *world, on bool) { w.recv = uint64(pick(on, 1000)) },
	} {
		t.Run(string(want), func(t *testing.T) {
			w := newWorld(t, 1)
			w.offer(1000, 0)
			w.pass(10 * time.Second)
			trouble(w, true)
			w.pass(5 * time.Second)
			w.offer(1, 0)
			if w.reasons[want] != 1 {
				t.Fatalf("got reasons %v", w.reasons)
			}
			// Publishers come in.
			if why, _ := w.judge.admit(Publisher, w.request()); why != ReasonNone {
				t.Errorf("a publisher is refused: %s", why)
			}
			trouble(w, false)
			w.pass(10 * time.Second)
			w.offer(1, 0)
			if w.refused != 2 {
				t.Error("it forgot at once that this was too much")
			}
			w.pass(2 * time.Minute)
			if w.offer(100, 0) != 100 {
				t.Errorf("it never forgets: limit %.2f, %v", w.judge.viewerLimit(), w.reasons)
			}
		})
	}
}

func pick[T any](on bool, v T) T {
	if on {
		return v
	}
	var none T
	return none
}

// A keyframe for a thousand viewers makes packets wait, and it is over.
func TestSpikesAreNoTrouble(t *testing.T) {
	w := newWorld(t, 1)
	w.offer(1000, 0)
	w.pass(5 * time.Second)
	for range 20 {
		w.delay, w.sched = 200*time.Millisecond, 200*time.Millisecond
		w.pass(time.Second)
		w.delay, w.sched = 25*time.Millisecond, 10*time.Millisecond
		w.pass(time.Second)
	}
	if w.offer(10, 0) != 10 {
		t.Errorf("refused: %v", w.reasons)
	}
}

// Publishers are let in when viewers are not any more, up to a limit.
func TestPublishers(t *testing.T) {
	w := newWorld(t, 1)
	for range 400 {
		w.offer(12, 0)
		w.tick()
	}
	r := w.request()
	n := 0
	for ; n < 100; n++ {
		if why, _ := w.judge.admit(Publisher, r); why != ReasonNone {
			break
		}
		r.posting[Publisher]++
	}
	if n < 5 || n > 15 {
		t.Errorf("%d publishers were let in on a full node, want about ten", n)
	}
	if !w.judge.gates[Publisher].closed {
		t.Error("that publishers are refused is not remembered")
	}
}

// Publishers who never connect keep nobody out of a node that carries little,
// however busy its process is with something else, as one that tests itself.
func TestPublishersWhoDoNotConnect(t *testing.T) {
	w := newWorld(t, 2)
	w.other = 2
	w.pass(5 * time.Second)
	r := w.request()
	for n := range 500 {
		if why, _ := w.judge.admit(Publisher, r); why != ReasonNone {
			t.Fatalf("publisher %d was refused: %s", n, why)
		}
		r.Connecting[Publisher]++
	}
	if why, _ := w.judge.admit(Viewer, r); why != ReasonNone {
		t.Errorf("a viewer was refused: %s", why)
	}
}

// Viewers who wait for the show are counted as if they saw it.
func TestLobby(t *testing.T) {
	w := newWorld(t, 1)
	w.idle = 1 << 30
	for range 300 {
		w.offer(30, 0)
		w.tick()
	}
	w.idle = 0
	w.pass(5 * time.Second)
	w.wantUsed(0.7, 0.9)
}

// Those who were let in and never came are not waited for.
func TestAbsent(t *testing.T) {
	w := newWorld(t, 1)
	w.offer(1000, 0)
	w.pass(5 * time.Second)
	w.offer(5000, time.Hour)
	if w.offer(1, 0) != 0 {
		t.Error("nobody who was let in is counted")
	}
	w.pass((joinWindow + 5) * time.Second)
	if w.offer(100, 0) != 100 {
		t.Errorf("the absent are counted for ever: %v", w.reasons)
	}
}

// Room is what is let in of those who come one after the other.
func TestRoom(t *testing.T) {
	for _, n := range []int{0, 100, 800, 1000} {
		w := newWorld(t, 1)
		w.offer(n, 0)
		w.pass(time.Minute)
		room, got := w.judge.room(w.request()), 0
		for w.refused == 0 {
			got += w.offer(10, 0)
			w.tick()
		}
		if want := float64(room); float64(got) < want*0.85-20 || float64(got) > want*1.1+20 {
			t.Errorf("with %d viewers: %d were let in, and room for %d was shown", n, got, room)
		}
	}
}

// Who was let in is remembered for some seconds, whatever the clock on the wall
// says, and when several look at it at a time.
func TestEntries(t *testing.T) {
	var e entries
	begin := time.Unix(-3, 0)
	if got := e.lately(Viewer, begin); got != 0 {
		t.Errorf("%d before anybody came", got)
	}
	e.add(Viewer, begin)
	e.add(Viewer, begin.Add(-1500*time.Millisecond))
	e.add(Publisher, begin)
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 2}, {-time.Second, 2}, {joinWindow * time.Second, 2}, {(joinWindow + 1) * time.Second, 0}} {
		if got := e.lately(Viewer, begin.Add(c.after)); got != c.want {
			t.Errorf("%d after %v, want %d", got, c.after, c.want)
		}
	}
	e.add(Viewer, begin.Add((joinWindow+1)*time.Second)) // in the place of the first
	if got := e.lately(Viewer, begin.Add((joinWindow+1)*time.Second)); got != 1 {
		t.Errorf("got %d, want 1", got)
	}
}
