package sfu

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Hundreds of cuts: each on a keyframe that was asked for, at once.
func TestCuts(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		const cuts = 400
		for i, c := range m.all { // their encoders are not equally quick
			c.late = time.Duration(1+300*i) * time.Millisecond
		}
		m.run(time.Second)
		want := []string{"a"}
		for i := range cuts {
			to := m.all[(i+1)%3]
			m.program(to.name)
			m.run(200 * time.Millisecond)
			want = append(want, to.name)
		}
		got := m.check()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %d, %q; want %d", len(got), got, len(want))
		}
		for _, c := range m.all {
			if n := plis(c.src); n < cuts/3 || n > cuts/3+3 {
				t.Errorf("%s was asked for %d keyframes, want %d", c.name, n, cuts/3)
			}
		}
	}, "a", "b", "c")
}

// Cuts that are faster than keyframes come: the last one wins, and nobody is
// shown the others.
func TestCutsFasterThanKeyframes(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		m.run(time.Second)
		for _, c := range m.all {
			c.obeys = false
		}
		for _, name := range []string{"b", "c", "a", "c", "b"} {
			m.program(name)
			m.run(80 * time.Millisecond)
		}
		for _, c := range m.all {
			c.keys = 1
		}
		m.run(time.Second)
		m.program("c")
		m.program("b") // where it is
		m.run(time.Second)
		if got := fmt.Sprint(m.check()); got != "[a b]" {
			t.Errorf("got %s", got)
		}
	}, "a", "b", "c")
}

// A publisher that obeys no request: what was on goes on until its next keyframe.
func TestCutWaitsForTheNextKeyframe(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		b := m.all[1]
		b.obeys = false
		m.run(2 * time.Second)
		b.keys = 1 // every two seconds
		m.run(time.Second)
		m.program("b")
		m.run(time.Second)
		if got := fmt.Sprint(m.check()); got != "[a]" {
			t.Errorf("got %s before the keyframe", got)
		}
		b.keys = 1
		m.run(80 * time.Millisecond)
		if got := fmt.Sprint(m.check()); got != "[a b]" {
			t.Errorf("got %s after it", got)
		}
	}, "a", "b")
}

// Where none comes in time, the viewer is shown what followed the last one.
func TestCutWithoutKeyframe(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		b := m.all[1]
		b.obeys = false
		m.run(2 * time.Second)
		b.keys = 1
		m.run(time.Second)
		before := len(m.wire.packets())
		m.program("b")
		m.run(2*time.Second + 400*time.Millisecond)
		during := m.wire.packets()[before:]
		if got := fmt.Sprint(m.check()); got != "[a]" || len(during) < 3*59 {
			t.Errorf("got %s, %d packets in 2.4 s", got, len(during))
		}
		m.run(time.Second)
		shown := m.check()
		if fmt.Sprint(shown) != "[a b]" {
			t.Errorf("got %s after the time to wait", shown)
		}
		live := m.wire.packets()
		if newest := live[len(live)-1]; newest.SSRC == 2 && b.seq < 75*2 || len(live) < 3*25*6 {
			t.Errorf("got %d packets in 6.4 s", len(live))
		}
	}, "a", "b")
}

// One who has not shown a keyframe yet is not cut to: what was on goes on.
func TestCutToOneWithoutPicture(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		m.run(time.Second)
		m.program("b")
		b := m.add("b", vp8)
		m.run(2 * maxCutWait)
		if got := fmt.Sprint(m.check()); got != "[a]" {
			t.Errorf("got %s", got)
		}
		if n := plis(b.src); n < 5 {
			t.Errorf("asked for a keyframe %d times in 10 s", n)
		}
		b.keys = 1
		m.run(80 * time.Millisecond)
		if got := fmt.Sprint(m.check()); got != "[a b]" {
			t.Errorf("got %s after its keyframe", got)
		}
	}, "a")
}

// A picture that the viewer cannot decode is not waited for: it is counted and
// told, and the sound is cut.
func TestCutToAnotherCodec(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		m.add("b", h264)
		m.run(time.Second)
		m.program("b")
		m.run(100 * time.Millisecond)
		if got := fmt.Sprint(m.check()); got != "[a b]" {
			t.Errorf("got %s", got)
		}
		packets := m.wire.packets()
		if last := packets[len(packets)-1]; last.SSRC != 1 {
			t.Error("a picture that the viewer cannot decode was sent")
		}
		if got := m.watch.Diagnose(time.Now()); got != CodecRefused || m.rs.Stats().Unplayable != 1 {
			t.Errorf("got %q, %d counted", got, m.rs.Stats().Unplayable)
		}
		m.program("a")
		m.run(200 * time.Millisecond)
		if got := fmt.Sprint(m.check()); got != "[a b a]" {
			t.Errorf("got %s after the way back", got)
		}
	}, "a")
}

// One who sends sound alone is cut to at once, and from.
func TestCutToSound(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		b := m.add("b", vp8)
		b.src.close()
		m.run(time.Second)
		for range 2 {
			m.program("b")
			m.run(100 * time.Millisecond)
			m.program("a")
			m.run(100 * time.Millisecond)
		}
		if got := fmt.Sprint(m.check()); got != "[a b a b a]" {
			t.Errorf("got %s", got)
		}
	}, "a")
}

// A thousand viewers are cut with one keyframe request, and none before the
// others have begun to wait.
func TestCutForMany(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		const viewers = 1000
		var all []*viewer
		for range viewers {
			_, v := play(subscribe(t, m.rs, "r"))
			all = append(all, v)
		}
		m.run(time.Second)
		a, b := m.all[0], m.all[1]
		asked := plis(b.src)
		m.program("b")
		synctest.Wait()
		for _, v := range all {
			if v.from() != a.track {
				t.Fatal("cut before the keyframe")
			}
		}
		m.run(2 * time.Second)
		for _, v := range all {
			if packets := v.packets(); v.from() != b.track || !packets[0].Key || v.binds != 2 {
				t.Fatalf("from the new one: %v, bound %d times", v.from() == b.track, v.binds)
			}
		}
		if n := plis(b.src) - asked; n != 1 {
			t.Errorf("%d keyframe requests, want 1", n)
		}
	}, "a", "b")
}

// The chosen publication goes and comes back: the rule decides meanwhile.
func TestCutByRule(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		program := func(want string) {
			t.Helper()
			info, err := m.rs.Info("r")
			if err != nil || info.Program != want {
				t.Errorf("the program is %q (%v), want %q", info.Program, err, want)
			}
		}
		m.run(time.Second)
		program("guest")
		m.program("nobody")
		program("main")
		m.run(200 * time.Millisecond)
		m.program("guest")
		program("guest")
		m.run(200 * time.Millisecond)
		m.all[0].leave()
		m.all = m.all[1:]
		program("main")
		m.run(200 * time.Millisecond)
		m.enter("guest", true)
		m.run(200 * time.Millisecond)
		program("guest")
		if got := fmt.Sprint(m.check()); got != "[guest main guest main guest]" {
			t.Errorf("got %s", got)
		}
	}, "guest", "main")
}

// One who has taken over just now has nothing to show yet: what was on goes on.
func TestCutDuringATakeover(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		m.run(time.Second)
		next := m.add("b", vp8)
		m.all = m.all[:1]
		m.program("b")
		m.run(handoverTime - time.Second)
		if got := fmt.Sprint(m.check()); got != "[a]" {
			t.Errorf("got %s", got)
		}
		m.all = append(m.all, next)
		m.run(time.Second)
		if got := fmt.Sprint(m.check()); got != "[a]" {
			t.Errorf("got %s before a keyframe", got)
		}
		next.keys = 1
		m.run(80 * time.Millisecond)
		if got := fmt.Sprint(m.check()); got != "[a b]" {
			t.Errorf("got %s", got)
		}
	}, "a", "b")
}

// A simulcast is cut to in its best layer, and the viewer is told which that is
// only once it has it.
func TestCutToLayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		rs := newRooms(t, Config{OnEvent: func(e Event) {
			if e.Type == LayerChanged {
				told = append(told, e.Publication+" "+e.RID+" to "+e.Session)
			}
		}})
		if _, err := rs.Create("r", Settings{Program: "guest"}); err != nil {
			t.Fatal(err)
		}
		guest := live(t, rs, "r", "guest", ClaimConfig{})
		s, err := rs.Subscribe("r", "", SubscriptionConfig{Session: "v", LayersChanged: func() {}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, v := play(s)
		p := publishLayers(t, rs, three, "a", "b", "c")
		p.run(time.Second, "a", "b", "c")
		guest.src.write(datagram(101, 4000, vp8Delta))
		guest.src.sync()
		if _, err := rs.Update("r", Settings{Program: "main"}); err != nil {
			t.Fatal(err)
		}
		p.key("a")
		if v.from() != guest.track {
			t.Error("cut before the best layer has a keyframe")
		}
		if layers, rid := s.Layers(); len(layers) != 3 || rid != "" {
			t.Errorf("told of %d layers, %q", len(layers), rid)
		}
		p.key("b")
		p.want(v, "b")
		p.run(2*time.Second, "a", "b", "c")
		if err := s.Select(Selection{RID: "c"}); err != nil {
			t.Fatal(err)
		}
		p.key("c")
		p.want(v, "c")
		p.run(2*time.Second, "a", "b", "c")
		if got := fmt.Sprint(told); got != "[main b to v main c to v]" {
			t.Errorf("told %s", got)
		}
	})
}

// Where the picture stands still nothing is waited for: what there is of the
// other is shown.
func TestCutFromOneWhoStandsStill(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		m.all[1].obeys = false
		m.run(500 * time.Millisecond)
		m.all = m.all[1:] // the first one's link is gone
		m.run(2 * layerSilence)
		m.program("b")
		m.run(40 * time.Millisecond)
		packets := m.wire.packets()
		if name, _ := from(packets[len(packets)-1]); name != "b" {
			t.Errorf("still waits for %s", name)
		}
	}, "a", "b")
}

// One whose picture is muted is cut to at once, and shown when it is not muted
// any more.
func TestCutToMuted(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		m.run(time.Second)
		if _, err := m.rs.Mute("r", "b", Muted{Video: true}); err != nil {
			t.Fatal(err)
		}
		m.program("b")
		before := len(m.wire.packets())
		m.run(time.Second)
		for _, p := range m.wire.packets()[before:] {
			if name, _ := from(p); name != "b" || p.SSRC != 1 {
				t.Fatalf("got a packet of %s, stream %d", name, p.SSRC)
			}
		}
		if _, err := m.rs.Mute("r", "b", Muted{}); err != nil {
			t.Fatal(err)
		}
		before = len(m.wire.packets())
		m.run(200 * time.Millisecond)
		pictures := 0
		for _, p := range m.wire.packets()[before:] {
			_, key := from(p)
			if pictures == 0 && p.SSRC == 2 && !key {
				t.Error("the picture does not begin with a keyframe")
			}
			if p.SSRC == 2 {
				pictures++
			}
		}
		if pictures == 0 {
			t.Error("no picture")
		}
	}, "a", "b")
}

// A selection of layers outlasts a cut that waits longer than a change of
// layers would.
func TestCutKeepsTheSelection(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t := p.t
		p.run(time.Second, "a", "b", "c")
		s := subscribe(t, p.rs, "r")
		_, v := play(s)
		if err := s.Select(Selection{RID: "a"}); err != nil {
			t.Fatal(err)
		}
		p.key("a")
		p.want(v, "a")
		guest := publish(t, p.rs, "r", "guest", ClaimConfig{})
		if err := guest.Start(); err != nil {
			t.Fatal(err)
		}
		guest.src.write(datagram(1, 0, vp8Delta))
		guest.src.sync()
		for _, program := range []string{"guest", "main"} {
			if _, err := p.rs.Update("r", Settings{Program: program}); err != nil {
				t.Fatal(err)
			}
			p.run(maxWait+time.Second, "a", "b", "c")
			p.want(v, "a")
		}
		if s.selection.RID != "a" {
			t.Errorf("the selection is %+v", s.selection)
		}
	})
}

// One who sees no picture, since what is on is muted, has nothing to lose: the
// sound does not wait for a keyframe.
func TestCutFromMuted(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		m.all[1].obeys = false
		m.run(time.Second)
		if _, err := m.rs.Mute("r", "a", Muted{Video: true}); err != nil {
			t.Fatal(err)
		}
		m.run(200 * time.Millisecond)
		m.program("b")
		before := len(m.wire.packets())
		m.run(200 * time.Millisecond)
		for _, p := range m.wire.packets()[before:] {
			if name, _ := from(p); name != "b" {
				t.Fatalf("still gets %s, stream %d", name, p.SSRC)
			}
		}
		if len(m.wire.packets()) == before {
			t.Error("gets nothing")
		}
	}, "a", "b")
}

// The one that is on falls silent while a cut waits for a picture that does not
// come: the viewer is given the sound of the other.
func TestCutFromOneWhoFallsSilent(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		m.run(time.Second)
		m.program("b")
		m.add("b", vp8)
		m.run(maxCutWait + time.Second)
		if got := fmt.Sprint(m.check()); got != "[a]" {
			t.Errorf("got %s", got)
		}
		m.all = m.all[1:] // the first one's link is gone
		m.run(3 * layerSilence)
		packets := m.wire.packets()
		if name, _ := from(packets[len(packets)-1]); name != "b" {
			t.Errorf("still waits for %s", name)
		}
	}, "a")
}
