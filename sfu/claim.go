package sfu

import (
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// maxRunning bounds the tracks of one claim that are being read, replaced ones
// included.
const maxRunning = 16

// ClaimConfig describes a publisher's session.
type ClaimConfig struct {
	Session  string // session id, for lists and logs
	Identity string // "" without authentication
	Name     string // of the same, to show to people
	Video    bool   // the offer announced video, so it is missed when none comes
	// Ended is called, on a goroutine of its own, when the claim ended without
	// Close, and says why.
	Ended func(EndReason)
}

// EndReason says why a claim ended without its owner.
type EndReason uint8

// The reasons.
const (
	EndReplaced  EndReason = iota + 1 // another publisher took over
	EndRoomEnded                      // the room was deleted, or Rooms closed
)

// claimState only ever grows.
type claimState int32

const (
	claimWaiting claimState = iota // Start was not called, or holds off
	claimStarted                   // the publication's publisher, no media yet
	claimLive
	claimEnded
)

// Claim is one publisher's session on a publication.
type Claim struct {
	room        *room
	publication *publication
	cfg         ClaimConfig
	log         *slog.Logger
	ssrc        uint32 // sender of our RTCP
	timing      *timing
	wake        chan struct{} // capacity 1; full: the feedback goroutine will look anyway
	done        chan struct{} // closed when the claim ends

	state     atomic.Int32             // a claimState; changed under the room's lock
	lastMedia atomic.Int64             // nanoseconds since Rooms.epoch, and one; 0: never
	connected atomic.Int64             // when Start was first called, unix nanoseconds; 0: not yet
	running   atomic.Pointer[[]*Track] // those being read; replaced under the room's lock
	loss      lossWatch
	keyed     atomic.Bool // a keyframe came that somebody waits for
	layered   atomic.Bool // there are layers to be watched
	surveyAt  time.Time   // when to look at them; the feedback goroutine's

	// Guarded by the room's lock.
	layers   [kinds][]*Track // what viewers can get, the best first
	revision uint64          // counts what has changed about them
	since    time.Time
	handover time.Time // the publication counts as live until then, zero: by media alone
	feeding  bool      // the feedback goroutine was started
}

// Publish claims a publication (name "" is "main"), making the room where
// needed. It does not disturb a publisher who is there: see Claim.Start.
// ErrPublicationBusy when one is, and may not be replaced: the contract's rule
// is that a newcomer takes over when no media came in the last 2 s (also none
// ever), when the identities are equal and not empty, or when the room says so.
func (rs *Rooms) Publish(roomName, name string, cfg ClaimConfig) (*Claim, error) {
	if name == "" {
		name = mainPublication
	}
	if !legal(roomName) || !legal(name) {
		return nil, ErrName
	}
	ssrc, err := randomSSRC()
	if err != nil {
		return nil, err
	}
	r, err := rs.enterOrMake(roomName)
	if err != nil {
		return nil, err
	}
	defer r.leave()
	now := time.Now()
	c := &Claim{
		room:   r,
		cfg:    cfg,
		log:    rs.log.With("room", roomName, "publication", name, "session", cfg.Session),
		ssrc:   ssrc,
		timing: newTiming(now),
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	c.running.Store(&[]*Track{})
	p := r.publications[name]
	switch {
	case p == nil && full(len(r.publications), limit(r.settings.MaxPublications, rs.cfg.MaxPublications)):
		return nil, ErrTooMany
	case p == nil:
		p = &publication{name: name, claims: make(map[*Claim]struct{})}
		r.publications[name] = p
	case p.busy(c, r.settings.Replace, now):
		return nil, ErrPublicationBusy
	}
	c.publication = p
	p.claims[c] = struct{}{}
	return c, nil
}

// Start makes the claim the publication's publisher: called when its DTLS is
// up. A previous claim is told by Ended. Soon after another takeover this
// happens some seconds later. ErrPublicationBusy when another has
// become live meanwhile, ErrClosed when the claim was closed.
func (c *Claim) Start() error {
	r, p := c.room, c.publication
	r.mu.Lock()
	defer r.leave()
	now := time.Now()
	c.connected.CompareAndSwap(0, now.UnixNano())
	switch {
	case c.is(claimEnded):
		return ErrClosed
	case !c.is(claimWaiting):
		return nil
	case p.busy(c, r.settings.Replace, now):
		return ErrPublicationBusy
	}
	if dropped := p.wait(c); dropped != nil {
		r.dismiss(dropped, EndReplaced)
	}
	r.refresh(now)
	return nil
}

// begin makes the claim the publication's publisher; called with the room's
// lock held. The caller refreshes the room.
func (c *Claim) begin(now time.Time) {
	old := c.publication.take(c, now)
	c.since = now
	c.state.Store(int32(claimStarted))
	if old != nil {
		c.log.Info("publication taken over", "previous_session", old.cfg.Session)
		c.room.dismiss(old, EndReplaced)
	}
	for _, other := range slices.Clone(c.publication.waiting) {
		c.room.dismiss(other, EndReplaced)
	}
}

// Close gives the publication up; viewers stay and wait for the next publisher.
// It does not wait for the tracks: they end with their Source.
func (c *Claim) Close() {
	r := c.room
	r.mu.Lock()
	defer r.leave()
	if c.is(claimEnded) {
		return
	}
	c.end()
	r.refresh(time.Now())
}

// end takes the claim out of its room; called with the room's lock held. The
// caller refreshes the room.
func (c *Claim) end() {
	r, p := c.room, c.publication
	if c.is(claimLive) {
		r.event(c.event(PublicationStopped))
		c.log.Info("publication stopped")
	}
	c.state.Store(int32(claimEnded))
	close(c.done)
	delete(p.claims, c)
	if p.current == c {
		p.current = nil
	}
	p.leave(c)
	if len(p.claims) == 0 {
		delete(r.publications, p.name)
	}
}

// goLive is called by a track that got media and found the claim started.
func (c *Claim) goLive(now time.Time) {
	r := c.room
	r.mu.Lock()
	defer r.leaveSoon()
	if !c.is(claimStarted) {
		return
	}
	c.state.Store(int32(claimLive))
	c.since, c.handover = now, time.Time{}
	r.event(c.event(PublicationStarted))
	c.log.Info("publication started")
	r.refresh(now)
}

// AddTrack starts forwarding a stream. It may come before Start: then packets
// are kept for the viewers who come with it, but nobody gets them. A second
// track of a kind and rid replaces the first; tracks of several rids are layers
// of one.
func (c *Claim) AddTrack(cfg TrackConfig, src Source) (*Track, error) {
	t, err := newTrack(c, cfg, src)
	if err != nil {
		return nil, err
	}
	r := c.room
	r.mu.Lock()
	defer r.leave()
	if c.is(claimEnded) {
		return nil, ErrClosed
	}
	running := *c.running.Load()
	if len(running) >= maxRunning {
		return nil, ErrTooMany
	}
	if !c.feeding {
		if !r.rooms.spawn(c.feedback) {
			return nil, ErrClosed
		}
		c.feeding = true
	}
	t.muted.Store(r.muted[c.publication.name].kind(t.kind))
	if !r.rooms.spawn(t.run) {
		return nil, ErrClosed
	}
	r.rooms.register(t)
	running = append(slices.Clip(running), t)
	c.running.Store(&running)
	c.addLayer(t)
	r.refresh(time.Now())
	c.log.Info("track added", "kind", cfg.Kind, "codec", t.codecName(), "rid", cfg.RID, "ssrc", cfg.SSRC)
	return t, nil
}

// drop is called by a track whose source has ended.
func (c *Claim) drop(t *Track) {
	r := c.room
	r.mu.Lock()
	defer r.leaveSoon()
	running := slices.DeleteFunc(slices.Clone(*c.running.Load()), func(o *Track) bool { return o == t })
	c.running.Store(&running)
	if c.removeLayer(t) {
		r.refresh(time.Now())
	}
	c.timing.drop(t.time)
	r.rooms.unregister(t)
}

// event is one of the publication that tells who its publisher is.
func (c *Claim) event(t EventType) Event {
	name := c.publication.name
	return Event{
		Type: t, Publication: name, Session: c.cfg.Session,
		Identity: c.cfg.Identity, Name: c.cfg.Name, Muted: c.room.muted[name],
	}
}

// heard is when the last media came, the zero time if never since Start.
func (c *Claim) heard() time.Time {
	n := c.lastMedia.Load()
	if n == 0 {
		return time.Time{}
	}
	return c.room.rooms.epoch.Add(time.Duration(n - 1))
}

func (c *Claim) is(s claimState) bool { return claimState(c.state.Load()) == s }

func (c *Claim) live() bool { return c.is(claimLive) }

// poke makes the feedback goroutine look; it never blocks.
func (c *Claim) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func randomSSRC() (uint32, error) {
	var b [4]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return 0, err
		}
		if n := binary.BigEndian.Uint32(b[:]); n != 0 {
			return n, nil
		}
	}
}
