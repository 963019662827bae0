package sfu

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

// encoder is an H264 publisher that is live and sends pictures of clips, 25 a
// second.
type encoder struct {
	*publisher
	t         *testing.T
	seq       uint16
	timestamp uint32
	obeys     bool // keyframe requests
	every     int  // so many packets are one lost on the way; 0: none is
	answered  int
}

func encode(t *testing.T, rs *Rooms, obeys bool) *encoder {
	t.Helper()
	e := &encoder{publisher: &publisher{src: newSource(t), gone: make(chan EndReason, 1)}, t: t, obeys: obeys}
	var err error
	if e.Claim, err = rs.Publish("r", "", ClaimConfig{Video: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	codec := h264
	codec.SDPFmtpLine = "profile-level-id=64001f;packetization-mode=1"
	if e.track, err = e.AddTrack(TrackConfig{Kind: "video", Codec: codec, SSRC: 7}, e.src); err != nil {
		t.Fatal(err)
	}
	return e
}

// picture is what goes out with one timestamp.
type picture struct {
	payloads [][]byte
	key      bool
}

func pictures(t *testing.T, clip string) (all []picture) {
	t.Helper()
	var next picture
	for _, nal := range nalsOf(t, clip) {
		kind := nal[0] & 0x1f
		if kind == 7 || kind == 8 {
			next.payloads = append(next.payloads, nal) // each in a packet of its own
			continue
		}
		next.payloads = append(next.payloads, payloads(nal)...)
		if kind == 1 || kind == 5 {
			next.key = kind == 5
			all = append(all, next)
			next = picture{}
		}
	}
	return all
}

func (e *encoder) send(p picture) {
	e.timestamp += 3600
	for _, payload := range p.payloads {
		e.seq++
		if e.every > 0 && int(e.seq)%e.every == 0 {
			e.seq++
		}
		e.src.write(datagram(e.seq, e.timestamp, payload))
	}
	e.src.sync()
}

// run sends pictures for a time: key frames as the clip has them, or only the
// first one of all and, for one that obeys, those that are asked for.
func (e *encoder) run(d time.Duration, clip []picture, seldom bool) {
	for n, end := 0, time.Now().Add(d); time.Now().Before(end); n++ {
		time.Sleep(40 * time.Millisecond)
		p := clip[n%len(clip)]
		if seldom {
			p = clip[1+n%(len(clip)-1)]
			if requests := e.requests(); requests > e.answered && e.obeys || e.seq == 0 {
				e.answered = requests
				p = clip[0]
			}
		}
		e.send(p)
		synctest.Wait()
		e.Diagnose(time.Now())
	}
}

func (e *encoder) requests() (n int) {
	for _, packet := range e.src.sent() {
		if _, ok := packet.(*rtcp.PictureLossIndication); ok {
			n++
		}
	}
	return n
}

func wantTrouble(t *testing.T, what string, got, want Trouble) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// Video with B-frames is kept from viewers while it has them, and they are told
// why there is no picture.
func TestBFramesAreWithheld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		e := encode(t, rs, false)
		plain, b := pictures(t, "gop300.h264"), pictures(t, "bframes.h264")
		e.run(time.Second, plain[:60], false)
		s, err := rs.Subscribe("r", "", SubscriptionConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, v := play(s)
		wantTrouble(t, "a stream without B-frames", s.Diagnose(time.Now()), "")
		if !v.bound() {
			t.Fatal("the viewer gets nothing")
		}
		e.run(time.Second, b, false)
		wantTrouble(t, "publisher", e.Diagnose(time.Now()), BFrames)
		wantTrouble(t, "viewer", s.Diagnose(time.Now()), BFrames)
		if v.bound() {
			t.Error("the viewer still gets the video")
		}
		e.run(reorderedFor+2*time.Second, plain[:60], false)
		wantTrouble(t, "publisher who has mended it", e.Diagnose(time.Now()), "")
		wantTrouble(t, "viewer then", s.Diagnose(time.Now()), "")
		if !v.bound() {
			t.Error("the viewer does not get the video back")
		}
	})
}

// A publisher on a line that loses packets is told; viewers are not, who have a
// line of their own.
func TestPoorLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		e := encode(t, rs, false)
		clip := pictures(t, "gop300.h264")[:60]
		e.run(3*time.Second, clip, false)
		s, err := rs.Subscribe("r", "", SubscriptionConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		play(s)
		for _, tt := range []struct {
			every int
			want  Trouble
		}{{0, ""}, {100, ""}, {10, PoorLink}, {0, ""}} {
			e.every = tt.every
			e.run(12*time.Second, clip, false)
			wantTrouble(t, "publisher", e.Diagnose(time.Now()), tt.want)
			wantTrouble(t, "viewer", s.Diagnose(time.Now()), "")
		}
	})
}

// Two pictures out of order are too many only when one comes soon after the other.
func TestOldDisordersDoNotCount(t *testing.T) {
	var track Track
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		after time.Duration // the one before
		want  bool
	}{{0, false}, {reorderedFor, false}, {time.Hour, false}, {reorderedFor - time.Second, true}} {
		now = now.Add(tt.after)
		track.evidence.disorder(now)
		if track.disordered() != tt.want || track.reordered(now) != tt.want {
			t.Errorf("%v after the one before: got %t and %t, want %t", tt.after, track.disordered(), track.reordered(now), tt.want)
		}
	}
}

// Whether it matters that no keyframe comes depends on whether one would come
// on request.
func TestMissingKeyframes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		obeys bool
		want  Trouble
	}{{"obeys", true, ""}, {"ignores requests", false, NoKeyframe}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := encode(t, newRooms(t, Config{}), tt.obeys)
				clip := pictures(t, "gop300.h264")
				e.run(keyframeGap-100*time.Millisecond, clip, true)
				wantTrouble(t, "before", e.Diagnose(time.Now()), "")
				e.run(slowAnswer, clip, true)
				wantTrouble(t, "after", e.Diagnose(time.Now()), tt.want)
				e.run(time.Minute, clip, true)
				wantTrouble(t, "long after", e.Diagnose(time.Now()), tt.want)
				if n := e.requests(); tt.obeys && n > 2 {
					t.Errorf("one who obeys was asked %d times, want once to know", n)
				}
				e.send(clip[0])
				wantTrouble(t, "with a keyframe", e.Diagnose(time.Now()), "")
			})
		})
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		e := encode(t, rs, true)
		clip := pictures(t, "gop300.h264")
		wantTrouble(t, "just connected", e.Diagnose(time.Now()), "")
		time.Sleep(silentAfter)
		wantTrouble(t, "nothing came", e.Diagnose(time.Now()), NoRTP)
		e.run(time.Second, clip, false)
		wantTrouble(t, "it sends", e.Diagnose(time.Now()), "")
		s, err := rs.Subscribe("r", "", SubscriptionConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		play(s)
		time.Sleep(3 * time.Second)
		wantTrouble(t, "a pause", e.Diagnose(time.Now()), "")
		time.Sleep(time.Second)
		wantTrouble(t, "it has stopped", e.Diagnose(time.Now()), Silent)
		wantTrouble(t, "viewer", s.Diagnose(time.Now()), Silent)
		e.leave()
		time.Sleep(time.Second)
		wantTrouble(t, "viewer, a moment later", s.Diagnose(time.Now()), "")
		time.Sleep(idleAfter)
		wantTrouble(t, "viewer, later", s.Diagnose(time.Now()), NotLive)
		wantTrouble(t, "a publisher who has left", e.Diagnose(time.Now()), "")
	})
}

// A track without media says nothing of one that was announced and never came.
func TestSoundAlone(t *testing.T) {
	for _, tt := range []struct {
		announced bool
		want      Trouble
	}{{true, NoVideo}, {false, ""}} {
		synctest.Test(t, func(t *testing.T) {
			rs := newRooms(t, Config{})
			c, err := rs.Publish("r", "", ClaimConfig{Video: tt.announced})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			src := newSource(t)
			if _, err := c.AddTrack(TrackConfig{Kind: "audio", Codec: opus, SSRC: 9}, src); err != nil {
				t.Fatal(err)
			}
			for n := range 30 {
				wantTrouble(t, "before", c.Diagnose(time.Now()), "")
				time.Sleep(400 * time.Millisecond) // discontinuous transmission
				src.write(datagram(uint16(n), uint32(n)*19200, []byte{0xfc, 1}))
				src.sync()
				if time.Duration(n+1)*400*time.Millisecond >= blindAfter {
					break
				}
			}
			wantTrouble(t, "after 10 s", c.Diagnose(time.Now()), tt.want)
		})
	}
}
