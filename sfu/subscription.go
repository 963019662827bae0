package sfu

import (
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// output is what a track writes to: an *egress.Stream, or a test's.
type output interface {
	Bind(src egress.Source, f egress.Format, backlog []*egress.Packet)
	Join(src egress.Source, f egress.Format, packets []*egress.Packet)
	Write(p *egress.Packet)
	Hold()
	Unbind(src egress.Source)
}

// Sink is where a subscription sends one kind of media: a stream of the viewer
// and how the viewer's offer calls a codec (false: it cannot decode it).
// Format must return at once and call nothing of this package.
type Sink struct {
	Stream *egress.Stream
	Format func(webrtc.RTPCodecCapability) (egress.Format, bool)
}

// SubscriptionConfig describes a viewer's session.
type SubscriptionConfig struct {
	Session string
	// Ended is called, on a goroutine of its own, when the room was deleted or
	// nobody published for the time of Linger.
	Ended func()
	// OnAir is told when what the viewer watches goes on air and off it, each in
	// turn, beginning with true; nil: nobody. It is called in order, without
	// locks, and must not block. It may come late: after Ended, even after Close.
	OnAir func(live bool)
	// LayersChanged is told when other layers of a simulcast are there, or the
	// viewer gets another; once in a second at most, and as OnAir is. Layers
	// says more.
	LayersChanged func()
}

// Subscription is one viewer's session on a publication, or on the room's
// program when it was made without a name.
type Subscription struct {
	room *room
	name string // of the publication; "": whatever is the program
	cfg  SubscriptionConfig

	// Guarded by the room's lock.
	started, ended bool
	onAir          bool
	idleSince      time.Time // since when nothing is on air; zero: something is
	sinks          [kinds]sink
	selection      Selection
	told           layerState // at the last call of LayersChanged
	toldAt         time.Time
	// restless: it waits for a keyframe of another track, or has not been told
	// yet what it is to be told of layers. It must be looked at, though nothing
	// changes for the others.
	restless bool
	cut      cut
}

// sink is one kind of media of a subscription.
type sink struct {
	out    output // nil: not wanted
	format func(webrtc.RTPCodecCapability) (egress.Format, bool)
	track  *Track // what was last chosen for it
	bound  bool   // out was attached to track; false: the viewer cannot decode it
	seat   *seat  // on track, while bound
	// next is the layer that out changes to with its next keyframe, nil: none.
	next *Track
	// limits are what track was told of last.
	limits limits
	since  time.Time // when next was chosen
}

// Subscribe registers a viewer. ErrNotLive when nothing is on air and the room
// does not say wait; ErrRoomNotFound when there is no such room; ErrTooMany.
func (rs *Rooms) Subscribe(roomName, publication string, cfg SubscriptionConfig) (*Subscription, error) {
	if !legal(roomName) || publication != "" && !legal(publication) {
		return nil, ErrName
	}
	r, err := rs.enter(roomName)
	if err != nil {
		return nil, err
	}
	defer r.leave()
	s := &Subscription{room: r, name: publication, cfg: cfg}
	p := r.publications[s.target()]
	if (p == nil || !p.live()) && !r.settings.Wait {
		return nil, ErrNotLive
	}
	if full(len(r.subscriptions), limit(r.settings.MaxViewers, rs.cfg.MaxViewers)) {
		return nil, ErrTooMany
	}
	r.subscriptions[s] = struct{}{}
	s.count(1)
	r.audience.enter(s)
	if p == nil || !p.live() {
		s.idleSince = time.Now()
	} else {
		s.tell(true)
	}
	return s, nil
}

// count adds the subscription to those of the room that wait for something to
// be on air, if it is one, n times. The room's lock is held; whoever changes what
// count looks at takes the subscription out before and puts it in again after.
func (s *Subscription) count(n int) {
	if s.onAir || s.ended {
		return
	}
	s.room.waiting += n
	if s.started {
		s.room.idle += n
	}
}

// tell says whether something is on air, when that is news; called with the
// room's lock held.
func (s *Subscription) tell(live bool) {
	if s.onAir == live {
		return
	}
	s.count(-1)
	s.onAir = live
	s.count(1)
	if s.cfg.OnAir != nil {
		s.room.rooms.events.call(func() { s.cfg.OnAir(live) })
	}
}

// Codecs are those on air now, for the answer to prefer; empty when not live.
func (s *Subscription) Codecs() []webrtc.RTPCodecCapability {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	var codecs []webrtc.RTPCodecCapability
	if p := s.room.publications[s.target()]; p != nil {
		for k := range kinds {
			if t := p.current.choose(k, Selection{}, nil); t != nil {
				codecs = append(codecs, t.carried())
			}
		}
	}
	return codecs
}

// Start binds the sinks (nil: that kind is not wanted): media flows from now
// on, from the last keyframe, and over every change of publisher or program.
func (s *Subscription) Start(audio, video *Sink) {
	var sinks [kinds]sink
	for k, from := range [kinds]*Sink{audio, video} {
		if from != nil && from.Stream != nil {
			sinks[k] = sink{out: from.Stream, format: from.Format}
		}
	}
	s.start(sinks)
}

func (s *Subscription) start(sinks [kinds]sink) {
	r := s.room
	r.mu.Lock()
	defer r.leave()
	if s.started || s.ended {
		return
	}
	s.count(-1)
	s.started, s.sinks = true, sinks
	s.count(1)
	p, now := r.publications[s.target()], time.Now()
	s.bind(p, now)
	s.tellLayers(p, now)
}

// Close ends the subscription.
func (s *Subscription) Close() {
	r := s.room
	r.mu.Lock()
	defer r.leave()
	s.remove()
}

// end is Close by the room: the owner is told.
func (s *Subscription) end() {
	if s.remove() && s.cfg.Ended != nil {
		s.room.rooms.spawn(s.cfg.Ended)
	}
}

func (s *Subscription) remove() bool {
	if s.ended {
		return false
	}
	s.count(-1)
	s.ended = true
	s.bind(nil, time.Now())
	delete(s.room.subscriptions, s)
	s.room.audience.leave(s)
	s.rest(false)
	return true
}

// refresh is what room.refresh does for one subscription.
func (s *Subscription) refresh(now time.Time) {
	r := s.room
	p := r.publications[s.target()]
	s.bind(p, now)
	if until := s.patience(); !until.IsZero() && due(until, now, &r.deadlines.some) {
		s.selection = Selection{}
		s.bind(p, now)
	}
	live := p != nil && p.live()
	s.tell(live)
	again := s.tellLayers(p, now)
	if !again.IsZero() {
		due(again, now, &r.deadlines.some)
	}
	s.rest(s.sinks[video].next != nil || s.cut.to != nil || !again.IsZero())
	if live {
		s.idleSince = time.Time{}
		return
	}
	if s.idleSince.IsZero() {
		s.idleSince = now
	}
	if !r.settings.Wait && due(s.idleSince.Add(r.rooms.cfg.Linger), now, &r.deadlines.all) {
		s.end()
	}
}

// rest sets whether the subscription is restless.
func (s *Subscription) rest(restless bool) {
	switch {
	case restless == s.restless:
	case restless:
		s.room.restless[s] = struct{}{}
	default:
		delete(s.room.restless, s)
	}
	s.restless = restless
}

// target is the name of the publication that the viewer should get now.
func (s *Subscription) target() string {
	if s.name != "" {
		return s.name
	}
	return s.room.program
}

// bind moves the sinks to the tracks of p, nil: to none. Audio goes first, so
// that it need not wait for the burst of the video's backlog.
func (s *Subscription) bind(p *publication, now time.Time) {
	var to [kinds]*Track
	for k := range kinds {
		if p != nil {
			to[k] = p.current.choose(k, s.selection, s.sinks[k].track)
		}
		if t := to[k]; t != nil && t.withheld.Load() {
			to[k] = nil
		}
	}
	how, stay := s.cutTo(p, to[video], now)
	if stay {
		return
	}
	s.sinks[audio].move(to[audio], changeAnew, s.room.rooms, now)
	s.sinks[video].move(to[video], how, s.room.rooms, now)
	s.sinks[video].restrict(s.selection)
}

func (s *sink) move(t *Track, how change, rs *Rooms, now time.Time) {
	if s.out == nil {
		return
	}
	if s.track == t {
		s.next = nil
		return
	}
	if s.bound && t != nil && s.track.claim == t.claim && s.track.present() && !t.muted.Load() {
		if !s.ready(t, now) {
			return
		}
		how = changeKeyed
	}
	from := s.track
	if s.bound {
		from.detach(s.seat)
	}
	s.track, s.bound, s.seat, s.next, s.limits = t, false, nil, nil, limits{}
	if t == nil {
		return
	}
	f, ok := s.format(t.carried())
	switch {
	case !ok:
		rs.unplayable.Add(1)
		return
	case how == changeKeyed:
		s.seat = t.join(s.out, f)
	default:
		s.seat = t.attach(s.out, f, from, how == changeLate)
	}
	s.bound = true
}

// ready tells whether the viewer can change over to a track now. If not, the
// keyframe that it waits for is asked for.
func (s *sink) ready(t *Track, now time.Time) bool {
	t.awaited.Store(true) // before the look: a keyframe that comes after it is told of
	if t.fresh(now) {
		return true
	}
	if s.next != t {
		s.next, s.since = t, now
	}
	t.RequestKeyframe()
	return false
}

// restrict lets the viewer have some layers of scalable video only.
func (s *sink) restrict(want Selection) {
	if !s.bound {
		return
	}
	if l, ok := s.track.limited(want); ok && l != s.limits {
		s.limits = l
		s.track.restrict(s.seat, l)
	}
}
