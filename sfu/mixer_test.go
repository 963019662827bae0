package sfu

import (
	"bytes"
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
	hears         *Track        // of the sound
	late          time.Duration // how long its encoder takes, by its sender reports; 0: it sends none
	keys          int           // keyframes that are to be sent unasked
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
	var err error
	if c.hears, err = c.AddTrack(TrackConfig{Kind: "audio", Codec: opus, SSRC: 8}, c.sound); err != nil {
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
	if now := time.Now(); c.late > 0 {
		ntp := uint64(now.UnixMilli()) << 32 / 1000
		c.track.SenderReport(ntp, c.ticks+uint32(c.late.Milliseconds()*90), now)
		c.hears.SenderReport(ntp, c.ticksA+uint32(c.late.Milliseconds()*48), now)
	}
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
