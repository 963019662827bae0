package sfu

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemedia/sluice/egress"
)

// Viewers are counted by what they watch, whoever is the program.
func TestViewersAreCounted(t *testing.T) {
	rs := newRooms(t, Config{})
	main := live(t, rs, "r", "", ClaimConfig{})
	live(t, rs, "r", "other", ClaimConfig{})
	watch := func(publication string) *Subscription {
		s, err := rs.Subscribe("r", publication, SubscriptionConfig{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	check := func(when string, want map[*Subscription]int) {
		t.Helper()
		for s, n := range want {
			if got := s.Viewers(); got != n {
				t.Errorf("%s: %q has %d viewers, want %d", when, s.name, got, n)
			}
		}
	}
	program, program2, named, other := watch(""), watch(""), watch("main"), watch("other")
	check("two publications", map[*Subscription]int{program: 3, named: 3, other: 1})
	info, err := rs.Info("r")
	if err != nil || len(info.Publications) != 2 || info.Publications[0].Viewers != 3 || info.Publications[1].Viewers != 1 {
		t.Errorf("got %+v, %v", info.Publications, err)
	}
	main.leave() // now the other is the program
	check("one publication", map[*Subscription]int{program: 3, named: 1, other: 3})
	program2.Close()
	other.Close()
	check("some left", map[*Subscription]int{program: 1, named: 1, other: 0})
	program.Close()
	named.Close()
	main.room.mu.Lock()
	defer main.room.mu.Unlock()
	if n := len(main.room.audience); n != 0 {
		t.Errorf("%d names counted in a room without viewers", n)
	}
}

// Viewers for whom nothing is on air are counted, and apart from them those whose
// connection is there to be sent something.
func TestWaitingAreCounted(t *testing.T) {
	rs := newRooms(t, Config{})
	if _, err := rs.Create("r", Settings{Wait: true}); err != nil {
		t.Fatal(err)
	}
	check := func(when string, waiting, idle int) {
		t.Helper()
		if got := rs.Stats(); got.Waiting != waiting || got.Idle != idle {
			t.Errorf("%s: %d wait, %d of them idle, want %d and %d", when, got.Waiting, got.Idle, waiting, idle)
		}
	}
	first, second := subscribe(t, rs, "r"), subscribe(t, rs, "r")
	check("nobody is connected", 2, 0)
	first.Start(nil, nil)
	first.Start(nil, nil)
	check("one is connected", 2, 1)
	p := live(t, rs, "r", "", ClaimConfig{})
	check("on air", 0, 0)
	second.Start(nil, nil)
	third := subscribe(t, rs, "r")
	check("another comes", 0, 0)
	p.leave()
	check("off air", 3, 2)
	first.Close()
	first.Close()
	check("one has left", 2, 1)
	third.Close()
	check("one has left who never connected", 1, 1)
	if err := rs.Delete("r"); err != nil {
		t.Fatal(err)
	}
	check("no room", 0, 0)
}

// A viewer who waits for a layer, or for the time to be told of one, is looked
// at by itself.
func TestOnlyRestlessViewersAreLookedAt(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t, rs := p.t, p.rs
		p.run(time.Second, "a", "b", "c")
		restless := func() int {
			p.room.mu.Lock()
			defer p.room.mu.Unlock()
			return len(p.room.restless)
		}
		var subs []*Subscription
		var videos []*viewer
		for range 5 {
			s := subscribe(t, rs, "r")
			_, v := play(s)
			subs, videos = append(subs, s), append(videos, v)
		}
		p.run(2*time.Second, "a", "b", "c")
		if n := restless(); n != 0 {
			t.Errorf("%d restless viewers of 5 who have what they want", n)
		}
		for _, s := range subs[:2] {
			if err := s.Select(Selection{RID: "c"}); err != nil {
				t.Fatal(err)
			}
		}
		if n := restless(); n != 2 {
			t.Errorf("%d restless viewers while two wait for a keyframe", n)
		}
		subs[1].Close()
		if n := restless(); n != 1 {
			t.Errorf("%d restless viewers after one of them left", n)
		}
		p.key("c")
		p.want(videos[0], "c")
		p.want(videos[2], "b")
		if n := restless(); n != 0 {
			t.Errorf("%d restless viewers after the keyframe", n)
		}
		// One who waits in vain gives up by the clock alone.
		if err := subs[3].Select(Selection{RID: "a"}); err != nil {
			t.Fatal(err)
		}
		p.run(maxWait+time.Second, "a", "b", "c")
		p.want(videos[3], "b")
		if n := restless(); n != 0 {
			t.Errorf("%d restless viewers after one gave up", n)
		}
	})
}

// To tell viewers that something is on air takes as long as they take; packets
// do not wait for it.
func TestTellingDoesNotHoldUpPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		if _, err := rs.Create("r", Settings{Wait: true}); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		told := 0
		slow, err := rs.Subscribe("r", "", SubscriptionConfig{OnAir: func(bool) { <-release; told++ }})
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		_, v := play(subscribe(t, rs, "r"))
		p := live(t, rs, "r", "", ClaimConfig{})
		p.src.write(datagram(101, 2000, vp8Delta))
		p.src.sync()
		if got := len(v.seqs()); got != 2 {
			t.Errorf("%d packets while a viewer is being told, want 2", got)
		}
		if told != 0 {
			t.Error("the viewer was told")
		}
		close(release)
		synctest.Wait()
		if told != 1 {
			t.Errorf("told %d times, want once", told)
		}
	})
}

// TestSeats: viewers of a track come, are restricted and go in any order.
func TestSeats(t *testing.T) {
	track, claim := unread(t)
	defer claim.Close()
	random := rand.New(rand.NewPCG(3, 4))
	type viewing struct {
		out        *viewer
		at         *seat
		restricted bool
	}
	var all []*viewing
	check := func() {
		t.Helper()
		restricted := 0
		for _, v := range all {
			if v.restricted {
				restricted++
			}
			if got := &track.targets[v.at.index]; got.out != v.out || track.outs[v.at.index] != v.out {
				t.Fatal("a seat is somebody else's")
			}
		}
		if len(track.targets) != len(all) || len(track.outs) != len(all) || track.restricted != restricted {
			t.Fatalf("%d seats, %d outputs, %d restricted, want %d, %d, %d",
				len(track.targets), len(track.outs), track.restricted, len(all), len(all), restricted)
		}
	}
	for range 2000 {
		switch i := random.IntN(len(all) + 1); {
		case i == len(all) || random.IntN(3) == 0:
			v := &viewing{out: &viewer{}}
			v.at = track.attach(v.out, egress.Format{}, nil, false)
			all = append(all, v)
		case random.IntN(2) == 0:
			v := all[i]
			v.restricted = !v.restricted
			l := limits{}
			if v.restricted {
				l.temporal = 1
			}
			track.restrict(v.at, l)
		default:
			track.detach(all[i].at)
			if all[i].out.bound() {
				t.Fatal("a viewer who left is still bound")
			}
			all[i] = all[len(all)-1]
			all = all[:len(all)-1]
		}
		check()
	}
	// A restriction that is lifted is in force until the layers come back.
	for _, v := range all {
		track.restrict(v.at, limits{temporal: 1})
	}
	now := time.Now()
	track.receive(datagram(1, 10, vp8Key), now)
	for _, v := range all {
		track.restrict(v.at, limits{})
	}
	if track.restricted != len(all) {
		t.Errorf("%d restricted, want %d until the next keyframe", track.restricted, len(all))
	}
	track.receive(datagram(2, 20, vp8Key), now)
	if track.restricted != 0 {
		t.Errorf("%d restricted after a keyframe, want none", track.restricted)
	}
}
