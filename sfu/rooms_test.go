package sfu

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNames(t *testing.T) {
	rs := newRooms(t, Config{})
	for name, ok := range map[string]bool{
		"a": true, "A-Z_0.9": true, "..": false, ".a": false, "a.": true, "": false, "a/b": false, "ä": false, "a b": false,
		strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "a%2F": false, "a\x00": false,
	} {
		if _, err := rs.Create(name, Settings{}); (err == nil) != ok {
			t.Errorf("room %q: got %v, want legal %v", name, err, ok)
		}
	}
	_, err := rs.Publish("a", ".x", ClaimConfig{})
	wantErr(t, "publication name", err, ErrName)
	_, err = rs.Subscribe("a", "x/", SubscriptionConfig{})
	wantErr(t, "subscribed name", err, ErrName)
}

func TestCreateUpdateDelete(t *testing.T) {
	rs := newRooms(t, Config{MaxRooms: 2})
	info, err := rs.Create("one", Settings{Wait: true})
	if err != nil || info.Name != "one" || !info.Explicit || !info.Settings.Wait || info.Live || info.Created.IsZero() {
		t.Fatalf("create: got %+v, %v", info, err)
	}
	_, err = rs.Create("one", Settings{})
	wantErr(t, "create again", err, ErrRoomExists)
	if _, err = rs.Create("two", Settings{}); err != nil {
		t.Fatal(err)
	}
	_, err = rs.Create("three", Settings{})
	wantErr(t, "a room too many", err, ErrTooMany)
	_, err = rs.Publish("three", "", ClaimConfig{})
	wantErr(t, "an implicit room too many", err, ErrTooMany)
	if info, err = rs.Update("one", Settings{Replace: true}); err != nil || info.Settings != (Settings{Replace: true}) {
		t.Errorf("update: got %+v, %v", info, err)
	}
	if list := rs.List(); len(list) != 2 || list[0].Name != "one" || list[1].Name != "two" {
		t.Errorf("list: got %+v", list)
	}
	if err := rs.Delete("one"); err != nil {
		t.Errorf("delete: %v", err)
	}
	_, err = rs.Info("one")
	wantErr(t, "info of the deleted", err, ErrRoomNotFound)
	_, err = rs.Update("one", Settings{})
	wantErr(t, "update of the deleted", err, ErrRoomNotFound)
	wantErr(t, "delete of the deleted", rs.Delete("one"), ErrRoomNotFound)
}

func TestImplicitRoomGoesWhenEmpty(t *testing.T) {
	rs := newRooms(t, Config{})
	p := live(t, rs, "r", "", ClaimConfig{})
	s, err := rs.Subscribe("r", "", SubscriptionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	p.Close() // twice does nothing
	if info, err := rs.Info("r"); err != nil || info.Explicit || info.Viewers != 1 || len(info.Publications) != 0 {
		t.Errorf("with a viewer left: got %+v, %v", info, err)
	}
	s.Close()
	s.Close()
	_, err = rs.Info("r")
	wantErr(t, "when empty", err, ErrRoomNotFound)
}

func TestSubscribeNeedsMedia(t *testing.T) {
	rs := newRooms(t, Config{})
	_, err := rs.Subscribe("r", "", SubscriptionConfig{})
	wantErr(t, "no room", err, ErrRoomNotFound)
	p := publish(t, rs, "r", "", ClaimConfig{})
	_, err = rs.Subscribe("r", "", SubscriptionConfig{})
	wantErr(t, "claimed", err, ErrNotLive)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	_, err = rs.Subscribe("r", "", SubscriptionConfig{})
	wantErr(t, "started", err, ErrNotLive)
	p.src.write(datagram(1, 1, vp8Key))
	p.src.sync()
	s, err := rs.Subscribe("r", "main", SubscriptionConfig{})
	wantErr(t, "live", err, nil)
	if c := s.Codecs(); len(c) != 1 || c[0].MimeType != vp8.MimeType {
		t.Errorf("codecs: got %v", c)
	}
	_, err = rs.Subscribe("r", "other", SubscriptionConfig{})
	wantErr(t, "another publication", err, ErrNotLive)
}

func TestLimits(t *testing.T) {
	rs := newRooms(t, Config{MaxPublications: 2, MaxViewers: 1})
	if _, err := rs.Create("r", Settings{Wait: true, MaxPublications: 1, MaxViewers: 2}); err != nil {
		t.Fatal(err)
	}
	publish(t, rs, "r", "one", ClaimConfig{})
	publish(t, rs, "r", "one", ClaimConfig{}) // nobody is live: a second claim is welcome
	_, err := rs.Publish("r", "two", ClaimConfig{})
	wantErr(t, "publications of the room", err, ErrTooMany)
	for range 2 {
		s, err := rs.Subscribe("r", "", SubscriptionConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	_, err = rs.Subscribe("r", "", SubscriptionConfig{})
	wantErr(t, "viewers of the room", err, ErrTooMany)
	if _, err := rs.Update("r", Settings{Wait: true}); err != nil {
		t.Fatal(err)
	}
	publish(t, rs, "r", "two", ClaimConfig{})
	_, err = rs.Publish("r", "three", ClaimConfig{})
	wantErr(t, "publications of the node", err, ErrTooMany)
	_, err = rs.Subscribe("r", "", SubscriptionConfig{})
	wantErr(t, "viewers of the node", err, ErrTooMany)
}

func TestTakeover(t *testing.T) {
	cases := []struct {
		name     string
		settings Settings
		old, new string        // identities
		media    bool          // of the old
		wait     time.Duration // after its last media
		want     error
	}{
		{"live", Settings{}, "", "", true, 0, ErrPublicationBusy},
		{"live, just under the limit", Settings{}, "", "", true, 2*time.Second - 1, ErrPublicationBusy},
		{"silent", Settings{}, "", "", true, 2 * time.Second, nil},
		{"never any media", Settings{}, "", "", false, 0, nil},
		{"same identity", Settings{}, "ann", "ann", true, 0, nil},
		{"other identity", Settings{}, "ann", "bob", true, 0, ErrPublicationBusy},
		{"no identity now", Settings{}, "ann", "", true, 0, ErrPublicationBusy},
		{"room says replace", Settings{Replace: true}, "ann", "bob", true, 0, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rs := newRooms(t, Config{})
				if _, err := rs.Create("r", c.settings); err != nil {
					t.Fatal(err)
				}
				waiting := publish(t, rs, "r", "", ClaimConfig{Identity: c.new}) // came before
				old := publish(t, rs, "r", "", ClaimConfig{Identity: c.old, Session: "old"})
				if err := old.Start(); err != nil {
					t.Fatal(err)
				}
				if c.media {
					old.src.write(datagram(1, 1, vp8Key))
					synctest.Wait()
				}
				time.Sleep(c.wait)
				_, err := rs.Publish("r", "", ClaimConfig{Identity: c.new})
				wantErr(t, "publish", err, c.want)
				if info, _ := rs.Info("r"); info.Publications[0].Session != "old" {
					t.Errorf("publish disturbed the old one: %+v", info)
				}
				wantErr(t, "start", waiting.Start(), c.want)
				synctest.Wait()
				select {
				case why := <-old.gone:
					if why != EndReplaced {
						t.Errorf("old was told %d, want %d", why, EndReplaced)
					}
					wantErr(t, "old was told", c.want, nil)
					wantErr(t, "start of the replaced", old.Start(), ErrClosed)
					_, err := old.AddTrack(TrackConfig{Kind: "video"}, newSource(t))
					wantErr(t, "track of the replaced", err, ErrClosed)
				default:
					wantErr(t, "old was not told", c.want, ErrPublicationBusy)
				}
			})
		})
	}
}

func TestTakeoversDoNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		last := live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		_, v := play(subscribe(t, rs, "r"))
		if !v.bound() {
			t.Fatal("the one that took over is not on air")
		}
		start := func() *publisher {
			p := publish(t, rs, "r", "", ClaimConfig{Identity: "ann"})
			wantErr(t, "start", p.Start(), nil)
			return p
		}
		first, second := start(), start()
		synctest.Wait()
		if v.from() != last.track || len(last.gone) != 0 {
			t.Error("one too many took over at once")
		}
		if len(first.gone)+len(second.gone) != 0 {
			t.Error("one who waits was ended")
		}
		// All keep sending.
		for n := range uint16(takeoverPause / time.Second) {
			if v.from() != last.track {
				t.Errorf("taken over again %d s later", n)
			}
			time.Sleep(time.Second)
			last.src.write(datagram(101+n, 1000, vp8Delta))
			second.src.write(datagram(100+n, 1000, vp8Key))
			synctest.Wait()
		}
		second.src.write(datagram(200, 1000, vp8Key))
		synctest.Wait()
		if v.from() != second.track || len(last.gone) != 1 || <-last.gone != EndReplaced {
			t.Error("not taken over when the pause was past")
		}
		if len(first.gone) != 1 || <-first.gone != EndReplaced {
			t.Error("the one that came too early still waits")
		}
	})
}

// Who waits to take over does so at once when there is nobody to disturb.
func TestHeldTakeoverOfWhoIsGone(t *testing.T) {
	for name, leave := range map[string]func(*publisher){
		"closed": (*publisher).leave,
		"silent": func(*publisher) { time.Sleep(silence) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rs := newRooms(t, Config{})
				live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
				p := live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
				next := publish(t, rs, "r", "", ClaimConfig{Identity: "ann", Session: "next"})
				wantErr(t, "start", next.Start(), nil)
				leave(p)
				synctest.Wait()
				if info, _ := rs.Info("r"); info.Publications[0].Session != "next" {
					t.Errorf("got %+v", info.Publications)
				}
				next.Close()
				wantErr(t, "start of the closed", next.Start(), ErrClosed)
			})
		})
	}
}

// Who waits to take over and leaves is not waited for.
func TestHeldTakeoverGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		p := live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		next := publish(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		wantErr(t, "start", next.Start(), nil)
		next.leave()
		time.Sleep(2 * takeoverPause)
		synctest.Wait()
		if len(p.gone) != 0 {
			t.Error("replaced by one who has left")
		}
	})
}

// TestManyWaitToTakeOver: their number has a bound, the oldest goes, and when the
// newest leaves the one before is next.
func TestManyWaitToTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		last := live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		var all []*publisher
		for range maxWaiting + 1 {
			p := publish(t, rs, "r", "", ClaimConfig{Identity: "ann"})
			wantErr(t, "start", p.Start(), nil)
			wantErr(t, "start again", p.Start(), nil)
			all = append(all, p)
		}
		synctest.Wait()
		for i, p := range all {
			if gone := len(p.gone) != 0; gone != (i == 0) {
				t.Errorf("number %d of those who wait: ended %t", i, gone)
			}
		}
		all[maxWaiting].leave()
		time.Sleep(takeoverPause)
		synctest.Wait()
		if len(last.gone) != 1 || !all[maxWaiting-1].is(claimStarted) {
			t.Error("the last who waits did not take over")
		}
		for _, p := range all[1 : maxWaiting-1] {
			if len(p.gone) != 1 || <-p.gone != EndReplaced {
				t.Error("somebody waits still")
			}
		}
	})
}

func TestLingerEndsViewers(t *testing.T) {
	for _, wait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			rs := newRooms(t, Config{})
			if _, err := rs.Create("r", Settings{Wait: wait}); err != nil {
				t.Fatal(err)
			}
			p := live(t, rs, "r", "", ClaimConfig{})
			var ended atomic.Bool
			if _, err := rs.Subscribe("r", "", SubscriptionConfig{Ended: func() { ended.Store(true) }}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if ended.Load() {
				t.Fatal("ended although the publication is live")
			}
			p.src.close()
			p.Close()
			time.Sleep(59 * time.Second)
			p = live(t, rs, "r", "", ClaimConfig{}) // the clock starts again
			p.src.close()
			p.Close()
			time.Sleep(time.Minute - 1)
			synctest.Wait()
			if ended.Load() {
				t.Fatal("ended before the linger")
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if ended.Load() == wait {
				t.Errorf("room waits %v: ended %v", wait, ended.Load())
			}
			if wait {
				time.Sleep(time.Hour)
				if _, err := rs.Update("r", Settings{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if !ended.Load() {
					t.Error("not ended though the room waits no more")
				}
			}
			if s := rs.Stats(); s.Subscriptions != 0 {
				t.Errorf("%d subscriptions left", s.Subscriptions)
			}
		})
	}
}

func TestDeleteEndsEverybody(t *testing.T) {
	rs := newRooms(t, Config{})
	p := live(t, rs, "r", "", ClaimConfig{})
	ended := make(chan struct{})
	s, err := rs.Subscribe("r", "", SubscriptionConfig{Ended: func() { close(ended) }})
	if err != nil {
		t.Fatal(err)
	}
	_, v := play(s)
	if err := rs.Delete("r"); err != nil {
		t.Fatal(err)
	}
	if why := <-p.gone; why != EndRoomEnded {
		t.Errorf("the publisher was told %d, want %d", why, EndRoomEnded)
	}
	<-ended
	if v.bound() {
		t.Error("the viewer is still bound")
	}
	s.Close()
	p.Close()
	wantErr(t, "start", p.Start(), ErrClosed)
}

func TestProgram(t *testing.T) {
	var events []string
	rs := newRooms(t, Config{OnEvent: func(e Event) { events = append(events, string(e.Type)+" "+e.Publication) }})
	if _, err := rs.Create("r", Settings{Wait: true}); err != nil {
		t.Fatal(err)
	}
	s, err := rs.Subscribe("r", "", SubscriptionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	_, v := play(s)
	program := func(want string, from *publisher) {
		t.Helper()
		if info, _ := rs.Info("r"); info.Program != want {
			t.Errorf("program: got %q, want %q", info.Program, want)
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if from == nil && v.source != nil || from != nil && v.source != from.track {
			t.Errorf("program %q: the viewer is bound to something else", want)
		}
	}
	program("", nil)
	one := live(t, rs, "r", "one", ClaimConfig{})
	program("one", one)
	two := live(t, rs, "r", "two", ClaimConfig{})
	program("", nil) // neither is main
	m := live(t, rs, "r", "main", ClaimConfig{})
	program("main", m)
	two.Close()
	program("main", m)
	m.Close()
	program("one", one)
	one.Close()
	program("", nil)
	want := []string{
		"publication.started one", "program.changed one", "publication.started two", "program.changed ",
		"publication.started main", "program.changed main", "publication.stopped two",
		"publication.stopped main", "program.changed one", "publication.stopped one", "program.changed ",
	}
	if !slices.Equal(events, want) {
		t.Errorf("events: got %q, want %q", events, want)
	}
}

func TestNamedSubscriptionStaysWithItsPublication(t *testing.T) {
	rs := newRooms(t, Config{})
	p := live(t, rs, "r", "cam", ClaimConfig{})
	s, err := rs.Subscribe("r", "cam", SubscriptionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	_, v := play(s)
	live(t, rs, "r", "main", ClaimConfig{})
	p.Close()
	if v.bound() {
		t.Error("bound to another publication")
	}
	again := live(t, rs, "r", "cam", ClaimConfig{})
	if v.source != again.track || len(v.seqs()) != 1 {
		t.Errorf("not bound to the publisher who came back: %v", v.seqs())
	}
}

func TestTakeoverFeedsTheSameViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		live(t, rs, "r", "side", ClaimConfig{})
		s, err := rs.Subscribe("r", "", SubscriptionConfig{})
		if err != nil {
			t.Fatal(err)
		}
		_, v := play(s)
		next := publish(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		if err := next.Start(); err != nil {
			t.Fatal(err)
		}
		if info, _ := rs.Info("r"); info.Program != "main" || !info.Live {
			t.Errorf("the program moved between the publishers: %+v", info)
		}
		if v.bound() {
			t.Error("still bound to the old publisher")
		}
		next.src.write(datagram(9, 9, vp8Key))
		synctest.Wait()
		if v.source != next.track || !slices.Equal(v.seqs(), []uint16{9}) {
			t.Errorf("viewer got %v", v.seqs())
		}
		silent := publish(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		if err := silent.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(takeoverPause + handoverTime)
		synctest.Wait()
		if info, _ := rs.Info("r"); info.Program != "side" {
			t.Errorf("a successor without media keeps the program: %+v", info)
		}
	})
}

func TestCodecTheViewerCannotPlay(t *testing.T) {
	rs := newRooms(t, Config{})
	p := live(t, rs, "r", "", ClaimConfig{})
	s, err := rs.Subscribe("r", "", SubscriptionConfig{})
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{}
	s.start([kinds]sink{video: {out: v, format: plays("video/H264")}})
	if v.bound() || rs.Stats().Unplayable != 1 {
		t.Errorf("bound %v, unplayable %d", v.bound(), rs.Stats().Unplayable)
	}
	src := newSource(t) // another codec replaces the track
	if _, err := p.AddTrack(TrackConfig{Kind: "video", Codec: h264}, src); err != nil {
		t.Fatal(err)
	}
	if !v.bound() || v.format.PayloadType != 96 {
		t.Errorf("after the change: bound %v, %+v", v.bound(), v.format)
	}
	src.write(datagram(1, 1, []byte{0x65, 1}))
	src.sync()
	if !slices.Equal(v.seqs(), []uint16{1}) {
		t.Errorf("viewer got %v", v.seqs())
	}
}

func TestTrackThatEndsLeavesItsViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		p := live(t, rs, "r", "", ClaimConfig{})
		s, err := rs.Subscribe("r", "", SubscriptionConfig{})
		if err != nil {
			t.Fatal(err)
		}
		_, v := play(s)
		p.src.close()
		synctest.Wait()
		if v.bound() || len(s.Codecs()) != 0 {
			t.Error("bound to a track that has ended")
		}
		if got := rs.Stats(); got.Packets != 1 || got.Publications != 1 || got.Rooms != 1 {
			t.Errorf("stats: got %+v", got)
		}
	})
}

func TestClosed(t *testing.T) {
	rs := newRooms(t, Config{})
	p := live(t, rs, "r", "", ClaimConfig{})
	rs.Close()
	wantErr(t, "start", p.Start(), ErrClosed)
	_, err := rs.Publish("r", "", ClaimConfig{})
	wantErr(t, "publish", err, ErrClosed)
	_, err = rs.Create("r", Settings{})
	wantErr(t, "create", err, ErrClosed)
}
