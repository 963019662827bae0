package session_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/session"
)

// An address may have four publishers' sessions that never connected and had
// time to; the fifth ends the oldest. Loopback may have more: tests and proxies
// of this machine come from there.
func TestStrays(t *testing.T) {
	t.Parallel()
	var media webrtc.MediaEngine
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&media)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	track, err := webrtc.NewTrackLocalStaticRTP(vp8, "video", "publisher")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := session.ParseOffer([]byte(offer.SDP))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, from string
		age        time.Duration // that makes a stray
		want       int
	}{
		{"all strays", "192.0.2.1", time.Nanosecond, 4},
		{"too young", "192.0.2.1", time.Hour, 7},
		{"loopback", "127.0.0.1", time.Nanosecond, 7},
		{"mapped loopback", "::ffff:127.0.0.1", time.Nanosecond, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table := newTable(t, nil)
			table.Limits(0, 0, c.age)
			closed := make(chan session.Cause, 8)
			var opened []*session.Session
			for range 7 {
				s, err := table.OpenPublisher(parsed, session.PublisherSetup{
					Remote: netip.MustParseAddr(c.from),
					Closed: func(c session.Cause) { closed <- c },
				})
				if err != nil {
					t.Fatal(err)
				}
				opened = append(opened, s)
			}
			if n := len(table.List()); n != c.want {
				t.Fatalf("%d sessions, want %d", n, c.want)
			}
			for i := range 7 - c.want {
				<-opened[i].Done() // the oldest
				if cause := <-closed; cause != session.CauseNoICE {
					t.Errorf("ended by %s", cause)
				}
			}
		})
	}
}
