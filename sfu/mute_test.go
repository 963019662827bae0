package sfu

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

// talk is a publication with sound and picture, and one who watches it.
type talk struct {
	*publisher
	t            *testing.T
	rs           *Rooms
	sound        *source
	a, v         *viewer
	s            *Subscription
	seqA, seqV   uint16
	ticksA, tick uint32
}

// newTalk is on air with a keyframe; frames are 40 ms apart.
func newTalk(t *testing.T, rs *Rooms, name string) *talk {
	t.Helper()
	p := &talk{publisher: live(t, rs, "r", name, ClaimConfig{Session: "s-" + name, Identity: "ann"}), t: t, rs: rs, seqV: 100, tick: 1000}
	p.addSound()
	p.s = subscribe(t, rs, "r")
	p.a, p.v = play(p.s)
	return p
}

func (p *talk) addSound() {
	p.t.Helper()
	p.sound = newSource(p.t)
	if _, err := p.AddTrack(TrackConfig{Kind: "audio", Codec: opus, SSRC: 8}, p.sound); err != nil {
		p.t.Fatal(err)
	}
}

// run sends sound and pictures for a time, which begin with a keyframe or not.
func (p *talk) run(d time.Duration, payload []byte) {
	for end := time.Now().Add(d); time.Now().Before(end); payload = vp8Delta {
		time.Sleep(40 * time.Millisecond)
		p.seqA, p.seqV, p.ticksA, p.tick = p.seqA+1, p.seqV+1, p.ticksA+1920, p.tick+3600
		p.sound.write(datagram(p.seqA, p.ticksA, []byte("sound")))
		b := datagram(p.seqV, p.tick, payload)
		b[1] |= 0x80
		p.src.write(b)
		synctest.Wait()
	}
}

func (p *talk) mute(m Muted) {
	p.t.Helper()
	info, err := p.rs.Mute("r", p.track.claim.publication.name, m)
	if err != nil || info.Muted != m {
		p.t.Fatalf("mute: got %+v, %v", info, err)
	}
}

// plis counts the keyframe requests that a source got.
func plis(src *source) (n int) {
	for _, packet := range src.sent() {
		if _, ok := packet.(*rtcp.PictureLossIndication); ok {
			n++
		}
	}
	return n
}

// counts are what the viewer got in all.
func (p *talk) counts() (sound, pictures int) {
	p.a.mu.Lock()
	defer p.a.mu.Unlock()
	p.v.mu.Lock()
	defer p.v.mu.Unlock()
	return p.a.all, p.v.all
}

func talking(t *testing.T, f func(p *talk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newTalk(t, newRooms(t, Config{}), "main")) })
}

// From the call on nothing of what is muted is forwarded, and all of the rest.
func TestMute(t *testing.T) {
	for _, m := range []Muted{{Audio: true}, {Video: true}, {Audio: true, Video: true}} {
		talking(t, func(p *talk) {
			p.run(time.Second, vp8Delta)
			p.mute(m)
			sound, pictures := p.counts()
			p.run(time.Second, vp8Key)
			moreSound, morePictures := p.counts()
			if got := moreSound == sound; got != m.Audio {
				t.Errorf("%+v: %d packets of sound", m, moreSound-sound)
			}
			if got := morePictures == pictures; got != m.Video {
				t.Errorf("%+v: %d packets of pictures", m, morePictures-pictures)
			}
			if !p.a.bound() || !p.v.bound() {
				t.Errorf("%+v: a muted stream looks as if it had ended", m)
			}
		})
	}
}

// Sound is back at once, the picture with the next keyframe, which is asked for.
func TestUnmute(t *testing.T) {
	talking(t, func(p *talk) {
		p.run(time.Second, vp8Delta)
		p.mute(Muted{Audio: true, Video: true})
		p.run(3*time.Second, vp8Key)
		asked := plis(p.src)
		p.mute(Muted{})
		p.run(40*time.Millisecond, vp8Delta)
		if got := p.a.seqs(); !slices.Equal(got, []uint16{p.seqA}) {
			t.Errorf("got sound %v, want %d", got, p.seqA)
		}
		if plis(p.src) != asked+1 {
			t.Errorf("%d keyframe requests, want 1", plis(p.src)-asked)
		}
		if got := p.v.seqs(); !slices.Equal(got, []uint16{p.seqV}) { // a real stream waits for a keyframe
			t.Errorf("got pictures %v, want %d", got, p.seqV)
		}
	})
}
