package sfu

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
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
	padding      int // of pictures
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
	for end := time.Now().Add(d); time.Now().Before(end); payload = append(vp8Delta[:3:3], make([]byte, p.padding)...) {
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
			t := p.t
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
		t := p.t
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

// A real viewer over a mute and its end: no gap in the numbers, timestamps that
// go on by the time gone, a picture that begins with a keyframe from after the
// mute, and no sign of an end.
func TestMuteIsSilence(t *testing.T) {
	inMixer(t, func(m *mixer) {
		t := m.t
		c := m.all[0]
		m.run(time.Second)
		before := len(m.wire.packets())
		mute := func(muted Muted) {
			t.Helper()
			if _, err := m.rs.Mute("r", "a", muted); err != nil {
				t.Fatal(err)
			}
		}
		reports := m.wire.reports()
		mute(Muted{Audio: true, Video: true})
		m.run(2 * time.Second)
		c.keys = 1 // is not to be shown later
		m.run(time.Second)
		if got := len(m.wire.packets()); got != before {
			t.Errorf("%d packets of what is muted", got-before)
		}
		if got := m.watch.Diagnose(time.Now()); got != "" {
			t.Errorf("muted is told as %q", got)
		}
		if got := m.wire.reports() - reports; got < 2 || got > 4 {
			t.Errorf("%d sender reports in 3 s, want about one a second", got)
		}
		mute(Muted{})
		m.run(200 * time.Millisecond)
		after := m.wire.packets()[before:]
		if len(after) == 0 {
			t.Fatal("nothing comes any more")
		}
		first := map[uint32]*rtp.Packet{}
		for _, p := range after {
			if first[p.SSRC] == nil {
				first[p.SSRC] = p
			}
		}
		if _, key := from(first[2]); !key {
			t.Error("the picture is back without a keyframe")
		}
		m.checkGap(before, 3*time.Second, 3*time.Second+120*time.Millisecond)
	}, "a")
}

// Who joins, and who chooses a layer, while a picture is muted gets it when it is
// back, and nothing of what was muted.
func TestMuteAndJoin(t *testing.T) {
	talking(t, func(p *talk) {
		t := p.t
		p.run(time.Second, vp8Delta)
		p.mute(Muted{Audio: true, Video: true})
		p.run(time.Second, vp8Key)
		asked := plis(p.src)
		a, v := play(subscribe(t, p.rs, "r"))
		p.run(time.Second, vp8Delta)
		if len(a.packets()) != 0 || len(v.packets()) != 0 {
			t.Error("who joins gets what is muted")
		}
		if plis(p.src) != asked {
			t.Error("the publisher is asked for keyframes that nobody gets")
		}
		p.mute(Muted{Audio: true})
		p.run(time.Second, vp8Key)
		if len(a.packets()) != 0 || len(v.packets()) != 25 || !v.packets()[0].Key {
			t.Errorf("got %d packets of sound and %d of pictures, want 0 and 25", len(a.packets()), len(v.packets()))
		}
	})
}

// The mute outlives the publisher: one who comes back, or takes over, is as
// muted as it was.
func TestMuteOutlivesThePublisher(t *testing.T) {
	talking(t, func(p *talk) {
		t := p.t
		p.mute(Muted{Video: true})
		_, before := p.counts()
		for _, leaves := range []bool{true, false} {
			if leaves {
				p.leave()
				p.sound.close()
			}
			time.Sleep(takeoverPause)
			p.publisher = live(t, p.rs, "r", "main", ClaimConfig{Identity: "ann"})
			p.seqV = 100
			p.addSound()
			p.run(time.Second, vp8Key)
			if _, pictures := p.counts(); pictures != before {
				t.Errorf("%d pictures of a muted publication (left: %v)", pictures-before, leaves)
			}
			if info, err := p.rs.Info("r"); err != nil || info.Publications[0].Muted != (Muted{Video: true}) {
				t.Errorf("got %+v, %v", info.Publications, err)
			}
		}
		p.mute(Muted{})
		p.run(time.Second, vp8Key)
		if _, pictures := p.counts(); pictures != before+25 {
			t.Errorf("%d pictures since it is not muted any more, want 25", pictures-before)
		}
	})
}

// A viewer who chooses another layer of a muted picture gets that one later.
func TestMuteAndLayers(t *testing.T) {
	inLayers(t, func(p *simulcast) {
		t := p.t
		p.run(time.Second, "a", "b", "c")
		s := subscribe(t, p.rs, "r")
		_, v := play(s)
		if _, err := p.rs.Mute("r", "main", Muted{Video: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.Select(Selection{RID: "c"}); err != nil {
			t.Fatal(err)
		}
		p.run(time.Minute, "a", "b", "c")
		p.want(v, "c")
		if _, err := p.rs.Mute("r", "main", Muted{}); err != nil {
			t.Fatal(err)
		}
		p.key("c")
		p.want(v, "c")
		if got := v.packets(); len(got) != 1 || !got[0].Key {
			t.Errorf("got %d packets, want the keyframe", len(got))
		}
	})
}

// What was to be caught up with when the mute came is not shown any more.
func TestMuteEndsTheBurst(t *testing.T) {
	talking(t, func(p *talk) {
		t := p.t
		p.padding = 1100
		p.run(2*time.Second, vp8Delta)
		w := realViewer(t, subscribe(t, p.rs, "r"))
		synctest.Wait()
		p.mute(Muted{Video: true})
		got := len(w.packets())
		if got == 0 || got > 25 {
			t.Fatalf("got %d packets at once, want a part of 50", got)
		}
		p.run(time.Second, vp8Delta)
		for _, packet := range w.packets()[got:] {
			if packet.SSRC == 2 {
				t.Fatal("pictures come after the mute")
			}
		}
	})
}

func TestMuteErrors(t *testing.T) {
	var told []Event
	rs := newRooms(t, Config{OnEvent: func(e Event) { told = append(told, e) }})
	_, err := rs.Mute("r", "main", Muted{Audio: true})
	wantErr(t, "no room", err, ErrRoomNotFound)
	if _, err := rs.Create("r", Settings{}); err != nil {
		t.Fatal(err)
	}
	_, err = rs.Mute("r", "main", Muted{Audio: true})
	wantErr(t, "no publication", err, ErrPublicationNotFound)
	p := publish(t, rs, "r", "main", ClaimConfig{Session: "s", Identity: "ann", Name: "Ann"})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is no news
		if info, err := rs.Mute("r", "main", Muted{Audio: true}); err != nil || info.Session != "s" || !info.Muted.Audio {
			t.Errorf("got %+v, %v", info, err)
		}
	}
	p.leave()
	if info, err := rs.Mute("r", "main", Muted{}); err != nil || info.Name != "main" || info.Muted != (Muted{}) {
		t.Errorf("unmute of one who has left: got %+v, %v", info, err)
	}
	want := []Event{
		{Type: PublicationMuted, Room: "r", Publication: "main", Session: "s", Identity: "ann", Name: "Ann", Muted: Muted{Audio: true}},
		{Type: PublicationMuted, Room: "r", Publication: "main"},
	}
	for i := range told {
		told[i].Time = time.Time{}
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
	for i := range maxMuted {
		name := fmt.Sprintf("p%d", i)
		p := publish(t, rs, "r", name, ClaimConfig{})
		if _, err := rs.Mute("r", name, Muted{Video: true}); err != nil {
			t.Fatal(err)
		}
		p.leave()
	}
	publish(t, rs, "r", "more", ClaimConfig{})
	_, err = rs.Mute("r", "more", Muted{Video: true})
	wantErr(t, "too many", err, ErrTooMany)
}
