package sfu

import (
	"slices"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// TestCodecsAreThoseSent: a publisher says one profile and sends another.
func TestCodecsAreThoseSent(t *testing.T) {
	announced := h264
	announced.SDPFmtpLine = "level-asymmetry-allowed=1; packetization-mode=1;Profile-Level-Id=42e01f"
	rs, p, _ := onAir(t, TrackConfig{Kind: "video", Codec: announced, SSRC: 7})
	fmtp := func() string {
		codecs := subscribe(t, rs, "r").Codecs()
		if len(codecs) != 1 || codecs[0].MimeType != announced.MimeType || codecs[0].ClockRate != announced.ClockRate {
			t.Fatalf("got %+v", codecs)
		}
		return codecs[0].SDPFmtpLine
	}
	if got := fmtp(); got != announced.SDPFmtpLine {
		t.Errorf("before any parameter set that says a profile: got %q, want as announced", got)
	}
	p.src.write(datagram(103, 4000, []byte("\x78\x00\x05\x67\x64\x00\x28\xac\x00\x02\x68p\x00\x02\x65i")))
	p.src.sync()
	if got, want := fmtp(), "profile-level-id=640028;level-asymmetry-allowed=1;packetization-mode=1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// The sinks are asked with it, too.
	var asked webrtc.RTPCodecCapability
	s := sink{out: &viewer{}, format: func(c webrtc.RTPCodecCapability) (egress.Format, bool) {
		asked = c
		return egress.Format{}, false
	}}
	s.move(p.track, changeAnew, rs, rs.epoch)
	if want := "profile-level-id=640028;level-asymmetry-allowed=1;packetization-mode=1"; asked.SDPFmtpLine != want {
		t.Errorf("the sink is asked for %q, want %q", asked.SDPFmtpLine, want)
	}
}

// TestViewersWhoWaitedGetTheProfileSent: they are bound before a parameter set
// has come that says it.
func TestViewersWhoWaitedGetTheProfileSent(t *testing.T) {
	rs := newRooms(t, Config{})
	if _, err := rs.Create("r", Settings{Wait: true}); err != nil {
		t.Fatal(err)
	}
	const announced, high = 96, 97
	byProfile := func(c webrtc.RTPCodecCapability) (egress.Format, bool) {
		if strings.Contains(c.SDPFmtpLine, "profile-level-id=640028") {
			return egress.Format{PayloadType: high, ClockRate: c.ClockRate}, true
		}
		return egress.Format{PayloadType: announced, ClockRate: c.ClockRate}, true
	}
	waiting, onlyAnnounced := &viewer{}, &viewer{}
	subscribe(t, rs, "r").start([kinds]sink{video: {out: waiting, format: byProfile}})
	subscribe(t, rs, "r").start([kinds]sink{video: {out: onlyAnnounced, format: plays(h264.MimeType)}})
	p := &publisher{src: newSource(t)}
	var err error
	if p.Claim, err = rs.Publish("r", "", ClaimConfig{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	codec := h264
	codec.SDPFmtpLine = "profile-level-id=42e01f;packetization-mode=1"
	if p.track, err = p.AddTrack(TrackConfig{Kind: "video", Codec: codec, SSRC: 7}, p.src); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	const sets = "\x78\x00\x05\x67\x64\x00\x28\xac\x00\x02\x68p\x00\x02\x65i"
	p.src.write(datagram(100, 1000, []byte(sets)))
	p.src.write(datagram(101, 4000, []byte("\x41d")))
	p.src.write(datagram(102, 7000, []byte(strings.Replace(sets, "\x28", "\x29", 1)))) // another level
	p.src.sync()
	if got := waiting.format.PayloadType; got != high {
		t.Errorf("got the payload type %d, want %d", got, high)
	}
	if got := waiting.seqs(); !slices.Equal(got, []uint16{100, 101, 102}) {
		t.Errorf("got the packets %v, want all from the keyframe on", got)
	}
	if waiting.binds != 2 || onlyAnnounced.binds != 1 {
		t.Errorf("bound %d and %d times, want twice and once", waiting.binds, onlyAnnounced.binds)
	}
}

func TestProfileOfParameterSetsInTheSDP(t *testing.T) {
	announced := h264
	announced.SDPFmtpLine = "profile-level-id=42e01f;sprop-parameter-sets=Z2QAKKw=,aHA="
	_, p, _ := onAir(t, TrackConfig{Kind: "video", Codec: announced, SSRC: 7})
	if got, want := p.track.carried().SDPFmtpLine, "profile-level-id=640028;sprop-parameter-sets=Z2QAKKw=,aHA="; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
