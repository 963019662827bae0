package sfu

import (
	"runtime"
	"sync"
	"time"
)

// mainPublication is what a publisher without a publication name gets, and
// what a viewer without one sees first.
const mainPublication = "main"

// room is one room. What is bound to what follows from its state: whoever
// changes something calls refresh, which makes it so.
type room struct {
	rooms   *Rooms
	name    string
	created time.Time

	mu            sync.Mutex // guards the fields below, and those of claims and subscriptions that say so
	gone          bool       // no longer in Rooms: enter again
	explicit      bool
	settings      Settings
	publications  map[string]*publication // those with a claim
	subscriptions map[*Subscription]struct{}
	restless      map[*Subscription]struct{} // see Subscription.restless
	waiting, idle int                        // as in Stats
	program       string
	muted         map[string]Muted // by publication, where anything is
	audience      audience
	timer         *time.Timer // calls tick at the next deadline; nil: none was ever needed
	deadlines     deadlines
}

func newRoom(rs *Rooms, name string) *room {
	return &room{
		rooms:         rs,
		name:          name,
		created:       time.Now(),
		publications:  make(map[string]*publication),
		subscriptions: make(map[*Subscription]struct{}),
		restless:      make(map[*Subscription]struct{}),
		audience:      make(audience),
		muted:         make(map[string]Muted),
	}
}

// leave unlocks the room, after removing it when nobody is left in it.
func (r *room) leave() {
	r.unlock()
	r.rooms.events.drain()
}

// leaveSoon is leave for goroutines that have packets to forward or to ask for:
// to tell thousands of viewers something takes its time.
func (r *room) leaveSoon() {
	r.unlock()
	if q := &r.rooms.events; q.idle() || r.rooms.spawn(q.drain) {
		return
	}
	r.rooms.events.drain()
}

func (r *room) unlock() {
	if !r.gone && !r.explicit && len(r.publications) == 0 && len(r.subscriptions) == 0 {
		r.event(Event{Type: RoomLeft})
		r.vanish()
	}
	r.mu.Unlock()
}

func (r *room) vanish() {
	r.gone = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.rooms.remove(r)
}

// end turns everybody out and removes the room. Deleted: that is the end of it,
// and not only of the node, after which there may be such a room again.
func (r *room) end(deleted bool) {
	if r.gone {
		return
	}
	for _, p := range r.publications {
		for c := range p.claims {
			r.dismiss(c, EndRoomEnded)
		}
	}
	now := time.Now()
	r.refresh(now)
	for s := range r.subscriptions {
		s.end()
	}
	if deleted {
		r.event(Event{Type: RoomEnded})
	}
	r.vanish()
}

// dismiss ends a claim that did not ask for it, and tells its owner.
func (r *room) dismiss(c *Claim, why EndReason) {
	c.end()
	if c.cfg.Ended != nil {
		r.rooms.spawn(func() { c.cfg.Ended(why) })
	}
}

// deadlines are when to look at a room again, the zero time: not by the clock.
type deadlines struct {
	all  time.Time // at all of it
	some time.Time // at restless subscriptions
}

// due tells whether a deadline has come; if not, next is to be no later.
func due(deadline, now time.Time, next *time.Time) bool {
	if !deadline.After(now) {
		return true
	}
	if next.IsZero() || deadline.Before(*next) {
		*next = deadline
	}
	return false
}

// refreshBatch is how many viewers are given another track in one go. Then
// whoever has a packet to send comes first, which takes no room's lock: a core
// may have to do both.
const refreshBatch = 64

// refresh lets those take over who waited for it, works out the program, binds every subscription to what it should
// get, ends those that have waited long enough, and arms the timer.
func (r *room) refresh(now time.Time) {
	r.deadlines = deadlines{}
	for _, p := range r.publications {
		if n := len(p.waiting); n > 0 && due(p.holdOff(), now, &r.deadlines.all) {
			p.waiting[n-1].begin(now)
		}
		if c := p.current; c != nil && !c.handover.IsZero() && due(c.handover, now, &r.deadlines.all) {
			c.handover = time.Time{}
		}
	}
	r.chooseProgram()
	r.awaitNothing()
	refreshAll(r.subscriptions, now)
	r.arm(now)
}

func refreshAll(subscriptions map[*Subscription]struct{}, now time.Time) {
	n := 0
	for s := range subscriptions {
		s.refresh(now)
		if n++; n%refreshBatch == 0 {
			runtime.Gosched()
		}
	}
}

// refreshSome is refresh when nothing has changed but the time, or a layer that
// somebody waits for.
func (r *room) refreshSome(now time.Time) {
	r.deadlines.some = time.Time{}
	r.awaitNothing()
	refreshAll(r.restless, now)
	r.arm(now)
}

// awaitNothing forgets which layers are waited for: who still waits says so
// again, and is restless.
func (r *room) awaitNothing() {
	for _, p := range r.publications {
		if p.current == nil {
			continue
		}
		for _, t := range p.current.layers[video] {
			t.awaited.Store(false)
		}
	}
}

// arm sets the timer to the next deadline.
func (r *room) arm(now time.Time) {
	next := r.deadlines.all
	if some := r.deadlines.some; next.IsZero() || !some.IsZero() && some.Before(next) {
		next = some
	}
	switch {
	case next.IsZero():
		if r.timer != nil {
			r.timer.Stop()
		}
	case r.timer == nil:
		r.timer = time.AfterFunc(next.Sub(now), func() { r.rooms.spawn(r.tick) })
	default:
		r.timer.Reset(next.Sub(now))
	}
}

// tick runs when a deadline has come.
func (r *room) tick() {
	r.mu.Lock()
	defer r.leave()
	now := time.Now()
	switch all := r.deadlines.all; {
	case r.gone:
	case !all.IsZero() && !all.After(now):
		r.refresh(now)
	default:
		r.refreshSome(now)
	}
}

// chooseProgram: what the settings say when it is live, else "main" when that
// is, else the only one that is.
func (r *room) chooseProgram() {
	program, live := "", 0
	for name, p := range r.publications {
		if p.live() {
			program = name
			live++
		}
	}
	onAir := func(name string) bool {
		p := r.publications[name]
		return p != nil && p.live()
	}
	switch {
	case onAir(r.settings.Program):
		program = r.settings.Program
	case onAir(mainPublication):
		program = mainPublication
	case live != 1:
		program = ""
	}
	if program != r.program {
		r.program = program
		r.event(Event{Type: ProgramChanged, Publication: program})
	}
}

// restartLinger gives those who wait now the full time again.
func (r *room) restartLinger(now time.Time) {
	for s := range r.subscriptions {
		if !s.idleSince.IsZero() {
			s.idleSince = now
		}
	}
}

// event tells of something that happened in the room.
func (r *room) event(e Event) {
	e.Time, e.Room = time.Now(), r.name
	r.rooms.events.put(e)
}

// limit is the room's own limit or the node's; 0 is none.
func limit(own, node int) int {
	if own > 0 {
		return own
	}
	return node
}

// full tells whether n of something are the most allowed.
func full(n, limit int) bool { return limit > 0 && n >= limit }
