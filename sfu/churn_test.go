package sfu

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestChurn: whatever publishers, viewers and owners of rooms do in whatever
// order, no error comes but the known ones, and nothing is left behind.
func TestChurn(t *testing.T) {
	var events sync.Map
	rs := newRooms(t, Config{MaxPublications: 2, MaxViewers: 6, Linger: time.Millisecond, OnEvent: func(e Event) {
		events.Store(e.Type, true)
	}})
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			c := churner{t: t, rs: rs, rng: rand.New(rand.NewPCG(1, uint64(worker)))}
			for range 180 {
				c.step()
			}
			c.stop()
		})
	}
	wg.Wait()
	if s := rs.Stats(); s.Waiting != 0 || s.Idle != 0 {
		t.Errorf("nobody is there, and %d wait, %d of them idle", s.Waiting, s.Idle)
	}
	for _, info := range rs.List() {
		if !info.Explicit {
			t.Errorf("an empty room stays: %+v", info)
		}
		if err := rs.Delete(info.Name); err != nil {
			t.Errorf("delete %s: %v", info.Name, err)
		}
	}
	rs.Close()
	if s := rs.Stats(); s.Rooms != 0 || s.Publications != 0 || s.Subscriptions != 0 || s.Bitrate != 0 || s.Packets == 0 {
		t.Errorf("left behind: %+v", s)
	}
	if len(rs.tracks) != 0 || len(rs.rooms) != 0 {
		t.Errorf("left behind: %d tracks, %d rooms", len(rs.tracks), len(rs.rooms))
	}
	for _, want := range []EventType{PublicationStarted, PublicationStopped, PublicationMuted, ProgramChanged, RoomEnded, RoomLeft} {
		if _, ok := events.Load(want); !ok {
			t.Errorf("no %s", want)
		}
	}
}

// churner does random things; what it did is undone by stop.
type churner struct {
	t   *testing.T
	rs  *Rooms
	rng *rand.Rand

	claims  []*Claim
	closing []func() // of the claims' sources
	sources []*source
	subs    []*Subscription
	viewers []*viewer
	seq     uint16
}

func (c *churner) step() {
	room := pick(c.rng, "a", "b", "c")
	name := pick(c.rng, "", "main", "cam", "screen")
	switch c.rng.IntN(14) {
	case 0, 1:
		c.publish(room, name)
	case 2, 3:
		if n := len(c.claims); n > 0 {
			c.known(c.claims[c.rng.IntN(n)].Start(), ErrPublicationBusy, ErrClosed)
		}
	case 4:
		if n := len(c.claims); n > 0 {
			i := c.rng.IntN(n)
			c.claims[i].Close()
			c.closing[i]() // its session ends, too
		}
	case 5:
		s, err := c.rs.Subscribe(room, name, SubscriptionConfig{Ended: func() {}})
		if c.known(err, ErrNotLive, ErrRoomNotFound, ErrTooMany); err == nil {
			a, v := play(s)
			c.subs, c.viewers = append(c.subs, s), append(c.viewers, a, v)
		}
	case 6:
		if n := len(c.subs); n > 0 {
			c.subs[c.rng.IntN(n)].Close()
		}
	case 7:
		_, err := c.rs.Create(room, Settings{Wait: c.rng.IntN(2) == 0, Replace: c.rng.IntN(2) == 0})
		c.known(err, ErrRoomExists)
	case 8:
		c.known(c.rs.Delete(room), ErrRoomNotFound)
	case 9:
		_, err := c.rs.Update(room, Settings{Replace: true, Program: pick(c.rng, "", "main", "cam", "nobody")})
		c.known(err, ErrRoomNotFound)
		c.rs.List()
		c.rs.Stats()
	case 10, 11:
		_, err := c.rs.Mute(room, pick(c.rng, "main", "cam", "screen"), Muted{Audio: c.rng.IntN(2) == 0, Video: c.rng.IntN(2) == 0})
		c.known(err, ErrRoomNotFound, ErrPublicationNotFound)
	default:
		if n := len(c.sources); n > 0 {
			c.seq++
			s := c.sources[c.rng.IntN(n)]
			s.write(datagram(c.seq, uint32(c.seq), vp8Key))
			s.write(datagram(c.seq+2, uint32(c.seq), vp8Delta))
		}
	}
}

func (c *churner) publish(room, name string) {
	src := newSource(c.t)
	claim, err := c.rs.Publish(room, name, ClaimConfig{Identity: pick(c.rng, "", "ann", "bob"), Ended: func(EndReason) { src.close() }})
	if c.known(err, ErrPublicationBusy, ErrTooMany); err != nil {
		return
	}
	c.claims, c.closing = append(c.claims, claim), append(c.closing, src.close)
	track, err := claim.AddTrack(TrackConfig{Kind: "video", Codec: vp8}, src)
	if c.known(err, ErrClosed); err != nil {
		return
	}
	c.sources = append(c.sources, src)
	track.RequestKeyframe()
	track.Clock(time.Now())
	if c.rng.IntN(2) == 0 {
		c.known(claim.Start(), ErrPublicationBusy, ErrClosed)
		src.write(datagram(1, 1, vp8Key))
	}
}

func (c *churner) known(err error, known ...error) {
	if err == nil {
		return
	}
	for _, k := range known {
		if errors.Is(err, k) {
			return
		}
	}
	c.t.Errorf("unexpected: %v", err)
}

func (c *churner) stop() {
	for _, s := range c.sources {
		s.close()
	}
	for _, claim := range c.claims {
		claim.Close()
	}
	for _, s := range c.subs {
		s.Close()
	}
	for _, v := range c.viewers {
		if v.bound() {
			c.t.Error("a viewer is bound after Close")
		}
	}
}

func pick(rng *rand.Rand, from ...string) string { return from[rng.IntN(len(from))] }
