package sfu

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// mixer is publications of a room, each of which sends sound and a picture of
// one packet 25 times in a second, and one who watches the program.
type mixer struct {
	t     *testing.T
	rs    *Rooms
	all   []*camera
	wire  *wire
	watch *Subscription
}

// camera is a publication. Its payloads name it.
type camera struct {
	*publisher
	name          string
	sound         *source
	seq, seqA     uint16
	ticks, ticksA uint32
	obeys         bool // makes a keyframe when asked for one
	answered      int
	keys          int // keyframes that are to be sent unasked
}

func newMixer(t *testing.T, names ...string) *mixer {
	t.Helper()
	m := &mixer{t: t, rs: newRooms(t, Config{Linger: time.Hour})}
	if _, err := m.rs.Create("r", Settings{Wait: true, Program: names[0]}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		m.enter(name, true)
	}
	m.watch = subscribe(t, m.rs, "r")
	m.wire = realViewer(t, m.watch)
	return m
}

// enter puts a camera on air with a keyframe.
func (m *mixer) enter(name string, obeys bool) *camera {
	m.t.Helper()
	c := m.add(name, vp8)
	c.obeys, c.keys = obeys, 1
	c.shoot()
	return c
}

// add lets a camera come that has sent nothing yet.
func (m *mixer) add(name string, codec webrtc.RTPCodecCapability) *camera {
	m.t.Helper()
	n := uint32(len(m.all))
	c := &camera{name: name, seq: uint16(7000 * n), ticks: 1e9 * n, ticksA: 5e8 * n}
	c.publisher = publishing(m.t, m.rs, "r", name, codec, ClaimConfig{Session: "s-" + name, Identity: name, Video: true})
	c.sound = newSource(m.t)
	if _, err := c.AddTrack(TrackConfig{Kind: "audio", Codec: opus, SSRC: 8}, c.sound); err != nil {
		m.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.all = append(m.all, c)
	return c
}

// shoot sends the next picture, in two packets, and its sound.
func (c *camera) shoot() {
	key := c.keys > 0
	if asked := plis(c.src); c.obeys && asked > c.answered {
		key, c.answered = true, asked
	}
	first := vp8Delta
	if key {
		first = vp8Key
		c.keys = 0
	}
	for i, head := range [][]byte{first, {0x00, 0x00}} {
		c.seq++
		b := datagram(c.seq, c.ticks, append(bytes.Clone(head), c.name...))
		if i == 1 {
			b[1] |= 0x80
		}
		c.src.write(b)
	}
	c.seqA++
	c.sound.write(datagram(c.seqA, c.ticksA, []byte(c.name)))
	c.ticks, c.ticksA = c.ticks+3600, c.ticksA+1920
	synctest.Wait()
}

func (m *mixer) run(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for _, c := range m.all { // not all at the same moment
			time.Sleep(40 * time.Millisecond / time.Duration(len(m.all)))
			c.shoot()
		}
	}
	time.Sleep(2 * time.Millisecond) // frames wait for their end
	synctest.Wait()
}

func (m *mixer) program(name string) {
	m.t.Helper()
	if _, err := m.rs.Update("r", Settings{Wait: true, Program: name}); err != nil {
		m.t.Fatal(err)
	}
}

// from tells whose a packet is, and whether it begins a keyframe.
func from(p *rtp.Packet) (name string, key bool) {
	if p.SSRC == 1 {
		return string(p.Payload), false
	}
	head := map[bool]int{true: 2, false: 3}[p.Payload[0] == 0]
	return string(p.Payload[head:]), bytes.HasPrefix(p.Payload, vp8Key)
}

// check looks at all that the viewer got: numbers without a gap, timestamps
// that never step back nor leap, and every picture after a change begins with a
// keyframe. It returns whose packets came, in turn: sound and picture together.
func (m *mixer) check() (shown []string) {
	m.t.Helper()
	last, picture := map[uint32]*rtp.Packet{}, ""
	for i, p := range m.wire.packets() {
		name, key := from(p)
		if before := last[p.SSRC]; before != nil {
			if p.SequenceNumber != before.SequenceNumber+1 {
				m.t.Errorf("packet %d: number %d after %d", i, p.SequenceNumber, before.SequenceNumber)
			}
			// 25 pictures in a second, and the time that a cut waited for its sound.
			limit := map[uint32]int32{1: 2 * 1920, 2: 2 * 3600}[p.SSRC]
			if step := int32(p.Timestamp - before.Timestamp); step < 0 || step > limit {
				m.t.Errorf("packet %d of %s: the timestamp steps by %d", i, name, step)
			}
		}
		last[p.SSRC] = p
		if p.SSRC == 2 && name != picture {
			if !key {
				m.t.Errorf("packet %d: %s does not begin with a keyframe", i, name)
			}
			picture = name
		}
		if len(shown) == 0 || shown[len(shown)-1] != name {
			shown = append(shown, name)
		}
	}
	return shown
}

// checkGap looks at the first packets of both streams behind a pause: numbers
// that go on, and timestamps that tell how long it was.
func (m *mixer) checkGap(at int, least, most time.Duration) {
	m.t.Helper()
	packets := m.wire.packets()
	for ssrc, rate := range map[uint32]time.Duration{1: 48000, 2: 90000} {
		of := func(p *rtp.Packet) bool { return p.SSRC == ssrc }
		next := at + slices.IndexFunc(packets[at:], of)
		before := at - 1
		for !of(packets[before]) {
			before--
		}
		if got, want := packets[next].SequenceNumber, packets[before].SequenceNumber+1; got != want {
			m.t.Errorf("stream %d goes on with number %d, want %d", ssrc, got, want)
		}
		gone := time.Duration(packets[next].Timestamp-packets[before].Timestamp) * time.Second / rate
		if gone < least || gone > most {
			m.t.Errorf("stream %d says that %v went by, want %v to %v", ssrc, gone, least, most)
		}
	}
}

func inMixer(t *testing.T, f func(m *mixer), names ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newMixer(t, names...)) })
}

// Hundreds of cuts: each on a keyframe that was asked for, at once.
func TestCuts(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		const cuts = 400
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
