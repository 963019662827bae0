package egress

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// holdTime is how long the first packets of a frame wait for the rest of it,
	// so that they go as one run. Whole frames come in less, and go at once.
	holdTime = time.Millisecond
	// burstLimit is the longest run of packets that one viewer is sent at once.
	// What is more than that, a large keyframe, is spread over spreadTicks of
	// spreadTick: queues on the way hold only so much.
	burstLimit  = 64
	spreadTick  = time.Millisecond
	spreadTicks = 4
	// audioEvery is after how many streams of video it is seen whether audio has
	// come meanwhile.
	audioEvery = 16
)

// shard is a part of a plane's viewers, with a goroutine that seals and sends
// what they are to get, and a socket that it is sent by. What is written to
// streams waits in their queues until the shard comes by.
type shard struct {
	plane  *Plane
	socket *socket
	wake   chan struct{} // capacity 1
	// viewers is how many belong to the shard.
	viewers atomic.Int32
	// paced is how many streams the pacer visits.
	paced atomic.Int32
	// Something is due that has not been taken up yet; some of it is audio.
	urgent, audio atomic.Bool
	load          loadMeter

	mu      sync.Mutex // guards what follows; taken after every other lock
	waiting [waitKinds]waitList
	joining []*Stream // began to catch up since the goroutine last looked
	started []*Viewer // began to be reported to since then

	// owner is held by who does the goroutine's work: it, or a test. It guards
	// what follows and is taken before any other lock.
	owner    sync.Mutex
	out      *batch
	rest     []*Stream // sent in part
	restOld  []*Stream // spare
	restAt   time.Time
	catching []*Stream
	paceAt   time.Time
	reports  reportWheel
}

// The lists of a shard: what is due, audio apart, and frames that are not
// complete.
const (
	waitAudio = iota
	waitDue
	waitHeld
	waitKinds
)

// waitList is streams with something in their queues. A stream may stand in two
// of them, or twice in one: whoever comes second finds its queue empty.
type waitList struct {
	streams []*Stream
	since   time.Time // when the first of them was listed; zero: there are none
	spare   []*Stream // who is being served, between take and the next
}

func newShard(p *Plane, conn PacketWriter) *shard {
	s := newSocket(conn)
	return &shard{
		plane: p, socket: s, wake: make(chan struct{}, 1),
		out: newBatch(s, &p.count, shardArena, shardMessages),
	}
}

// run works until the plane is closed.
func (sh *shard) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-sh.plane.done:
			return
		case <-sh.wake:
		case <-timer.C:
		}
		sh.owner.Lock()
		next := sh.work(time.Now())
		sh.owner.Unlock()
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// work does what is due, and tells when there is something to do again; the zero
// time: when it is woken. Called with owner held.
func (sh *shard) work(now time.Time) (next time.Time) {
	soonest := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	sh.mu.Lock()
	held := sh.waiting[waitHeld].since
	sh.adopt(now)
	sh.mu.Unlock()
	if sh.urgent.Load() {
		sh.flush(waitDue, now)
	}
	if !held.IsZero() {
		if due := held.Add(holdTime); now.Before(due) {
			soonest(due)
		} else {
			sh.flush(waitHeld, now)
		}
	}
	if len(sh.rest) > 0 && !now.Before(sh.restAt) {
		sh.flushRest(now)
	}
	if len(sh.catching) > 0 && !now.Before(sh.paceAt) {
		sh.pace(now)
	}
	sh.reports.run(now, sh.out)
	sh.out.flush()
	sh.load.worked(now, time.Now())

	if len(sh.rest) > 0 {
		soonest(sh.restAt)
	}
	if len(sh.catching) > 0 {
		soonest(sh.paceAt)
	}
	soonest(sh.reports.next())
	return next
}

// adopt takes the streams and viewers that have come. Called with mu held.
func (sh *shard) adopt(now time.Time) {
	if len(sh.joining) > 0 {
		if len(sh.catching) == 0 {
			sh.paceAt = now
		}
		sh.catching = append(sh.catching, sh.joining...)
		sh.paced.Store(int32(len(sh.catching)))
		clear(sh.joining)
		sh.joining = sh.joining[:0]
	}
	for _, v := range sh.started {
		sh.reports.add(v, now)
	}
	clear(sh.started)
	sh.started = sh.started[:0]
}

// list notes that a stream has packets waiting: some that are due, or the
// beginning of a frame.
func (sh *shard) list(s *Stream, due bool) {
	kind := waitHeld
	switch {
	case s.kind == "audio":
		kind = waitAudio
	case due:
		kind = waitDue
	}
	sh.mu.Lock()
	l := &sh.waiting[kind]
	first := l.since.IsZero()
	if first {
		l.since = time.Now()
	}
	l.streams = append(l.streams, s)
	sh.mu.Unlock()
	switch kind {
	case waitHeld:
		if first { // when to flush it is to be known
			wake(sh.wake)
		}
		return
	case waitAudio:
		sh.audio.Store(true)
	}
	if !sh.urgent.Swap(true) {
		wake(sh.wake)
	}
}

// take returns the streams of a list, and since when they wait.
func (sh *shard) take(kind int) ([]*Stream, time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	l := &sh.waiting[kind]
	taken, since := l.streams, l.since
	l.streams, l.spare, l.since = l.spare[:0], taken, time.Time{}
	return taken, since
}

// flush sends what waits in a list, and all audio before and in between.
func (sh *shard) flush(kind int, now time.Time) {
	if kind == waitDue {
		sh.urgent.Store(false)
	}
	sh.flushAudio(now)
	streams, since := sh.take(kind)
	for i, s := range streams {
		if i%audioEvery == audioEvery-1 {
			sh.flushAudio(now)
		}
		sh.serve(s, now)
	}
	clear(streams)
	sh.out.flush()
	if !since.IsZero() {
		sh.load.waited(time.Since(since))
	}
}

func (sh *shard) flushAudio(now time.Time) {
	if !sh.audio.Swap(false) {
		return
	}
	streams, since := sh.take(waitAudio)
	for _, s := range streams {
		sh.serve(s, now)
	}
	clear(streams)
	if !since.IsZero() {
		sh.load.waited(time.Since(since))
	}
}

// flushRest goes on with the streams that were served in part.
func (sh *shard) flushRest(now time.Time) {
	list := sh.rest
	sh.rest = sh.restOld[:0]
	for _, s := range list {
		s.resting = false
		sh.serve(s, now)
	}
	clear(list)
	sh.restOld = list
}

// serve sends what waits for a stream, or the first part of it.
func (sh *shard) serve(s *Stream, now time.Time) {
	if s.resting {
		return
	}
	if s.serve(sh.out, now) {
		s.resting = true
		if len(sh.rest) == 0 {
			sh.restAt = now.Add(spreadTick)
		}
		sh.rest = append(sh.rest, s)
	}
}

// pace lets every stream that catches up send its share of one tick.
func (sh *shard) pace(now time.Time) {
	sh.paceAt = now.Add(paceTick)
	kept := sh.catching[:0]
	for _, s := range sh.catching {
		if s.pace(sh.out, now) {
			kept = append(kept, s)
		}
	}
	clear(sh.catching[len(kept):])
	sh.catching = kept
	sh.paced.Store(int32(len(kept)))
}

// catchUp lets the pacer visit a stream from now on.
func (sh *shard) catchUp(s *Stream) {
	sh.mu.Lock()
	sh.joining = append(sh.joining, s)
	sh.mu.Unlock()
	wake(sh.wake)
}

// start lets a viewer be sent reports from now on.
func (sh *shard) start(v *Viewer) {
	sh.mu.Lock()
	sh.started = append(sh.started, v)
	sh.mu.Unlock()
	wake(sh.wake)
}

const (
	reportTick     = 50 * time.Millisecond
	reportInterval = time.Second
	reportSlots    = 32 // more than the ticks of the longest interval
)

// reportWheel calls for the sender reports of any number of viewers. Those due
// in one tick share a slot.
type reportWheel struct {
	slots [reportSlots][]*Viewer
	at    int       // the slot that is due next
	due   time.Time // when
	count int
	spare []*Viewer
}

// add gives a viewer its first turn.
func (w *reportWheel) add(v *Viewer, now time.Time) {
	if w.count == 0 {
		w.due = now.Add(reportTick)
	}
	w.count++
	w.put(v)
}

// put gives a viewer its next turn: about a second from now, jittered so that
// viewers who came together do not stay together.
func (w *reportWheel) put(v *Viewer) {
	ahead := int((reportInterval*3/4 + rand.N(reportInterval/2)) / reportTick) //nolint:gosec // not a secret
	slot := &w.slots[(w.at+ahead)%reportSlots]
	*slot = append(*slot, v)
}

// run sends the reports that are due. Viewers that have stopped are forgotten.
func (w *reportWheel) run(now time.Time, out *batch) {
	for w.count > 0 && !now.Before(w.due) {
		list := w.slots[w.at]
		w.slots[w.at] = w.spare[:0]
		w.at = (w.at + 1) % reportSlots
		w.due = w.due.Add(reportTick)
		if late := now.Sub(w.due); late > reportInterval { // the process stood still
			w.due = now
		}
		for _, v := range list {
			if v.report(out, now) {
				w.put(v)
			} else {
				w.count--
			}
		}
		clear(list)
		w.spare = list
	}
}

// next is when there is something to do; zero: never.
func (w *reportWheel) next() time.Time {
	if w.count == 0 {
		return time.Time{}
	}
	return w.due
}
