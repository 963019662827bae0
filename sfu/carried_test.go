package sfu

import (
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
	s.move(p.track, rs, rs.epoch)
	if want := "profile-level-id=640028;level-asymmetry-allowed=1;packetization-mode=1"; asked.SDPFmtpLine != want {
		t.Errorf("the sink is asked for %q, want %q", asked.SDPFmtpLine, want)
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
