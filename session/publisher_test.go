package session_test

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
	"github.com/sluicemedia/sluice/session"
)

// A publisher connects in both DTLS roles, whatever SRTP profile it knows, and
// its packets come out as they went in.
func TestPublisherConnects(t *testing.T) {
	t.Parallel()
	gcm := []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM}
	cm := []dtls.SRTPProtectionProfile{dtls.SRTP_AES128_CM_HMAC_SHA1_80}
	for _, c := range []struct {
		name string
		o    publisherOptions
	}{
		{"actpass, GCM", publisherOptions{profiles: gcm}},
		{"actpass, AES_CM only", publisherOptions{profiles: cm}},
		{"passive, AES_CM only", publisherOptions{profiles: cm, offer: passive}},
		{"active, GCM", publisherOptions{profiles: gcm, offer: active}},
		{"active, AES_CM only", publisherOptions{profiles: cm, offer: active}},
		{"SSRCs not announced", publisherOptions{offer: unannounced}},
		{"one section, SSRC not announced", publisherOptions{offer: unannounced, kinds: []string{"video"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := publish(t, newTable(t, nil), c.o).up()
			for kind := range p.tracks {
				in := p.track(kind)
				seq := p.send(kind, "hello")
				got := p.read(in, func(packet *rtp.Packet) bool { return packet.SequenceNumber == seq })
				if string(got.Payload) != "hello" || got.Timestamp != uint32(seq)*3000 || got.SSRC != in.SSRC || !got.Marker {
					t.Errorf("%s: got %v", kind, got)
				}
			}
			if i := p.session.Info(); i.State != "live" || i.Role != session.RolePublisher {
				t.Errorf("got %+v", i)
			}
		})
	}
}

func TestPublisherOverIPv6AndUnspecified(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		media string
		v6    bool
	}{{"[::1]:0", true}, {"[::]:0", true}, {"[::]:0", false}, {"0.0.0.0:0", false}} {
		t.Run(c.media, func(t *testing.T) {
			t.Parallel()
			table := newTable(t, func(cfg *session.Config) {
				cfg.Media = netip.MustParseAddrPort(c.media)
				cfg.Advertise = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
				if c.v6 {
					cfg.Advertise = []netip.Addr{netip.IPv6Loopback()}
				}
			})
			p := publish(t, table, publisherOptions{v6: c.v6}).up()
			p.track("video")
		})
	}
}

// What is lost is asked for and comes, as if it had never been lost.
func TestPublisherRepairs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		offer func(string) string
	}{{"announced", nil}, {"not announced", unannounced}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := publish(t, newTable(t, nil), publisherOptions{offer: c.offer}).up()
			in := p.track("video")
			seq := p.send("video", "again")
			same := func(packet *rtp.Packet) bool { return packet.SequenceNumber == seq }
			first := p.read(in, same)
			err := in.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
				SenderSSRC: 1, MediaSSRC: in.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{seq}),
			}})
			if err != nil {
				t.Fatal(err)
			}
			second := p.read(in, same)
			if string(second.Payload) != "again" || second.SSRC != first.SSRC || second.PayloadType != first.PayloadType ||
				second.Timestamp != first.Timestamp || second.Marker != first.Marker {
				t.Errorf("got %v, want %v", second, first)
			}
		})
	}
}

func TestPublisherTrackDescription(t *testing.T) {
	t.Parallel()
	p := publish(t, newTable(t, nil), publisherOptions{}).up()
	in := p.track("video")
	if in.Codec.MimeType != webrtc.MimeTypeVP8 || in.Codec.ClockRate != 90000 || in.RID != "" {
		t.Errorf("got %+v", in.Codec)
	}
	found := false
	for id, kind := range in.Extensions {
		found = found || kind == egress.ExtensionTransportCC && id > 0
	}
	if !found {
		t.Errorf("no transport-wide sequence number among %v", in.Extensions)
	}
	poll(t, "a sender report", func() bool {
		p.send("video", "more")
		return p.reports.Load() > 0
	})
}

// Our reports tell the publisher the state of the path.
func TestPublisherGetsFeedback(t *testing.T) {
	t.Parallel()
	p := publish(t, newTable(t, nil), publisherOptions{}).up()
	in := p.track("video")
	poll(t, "a receiver report", func() bool {
		p.send("video", "more")
		return p.reported.Load() == in.SSRC
	})
	poll(t, "transport-wide feedback", func() bool {
		p.send("video", "more")
		return p.arrivals.Load() > 0
	})
}

func TestPublisherLeaves(t *testing.T) {
	t.Parallel()
	p := publish(t, newTable(t, nil), publisherOptions{}).up()
	in := p.track("video")
	if err := p.pc.Close(); err != nil {
		t.Fatal(err)
	}
	p.ended(session.CausePeerClosed)
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Errorf("track: %v, want its end", err)
	}
}

func TestPublisherIsSentAway(t *testing.T) {
	t.Parallel()
	p := publish(t, newTable(t, nil), publisherOptions{}).up()
	p.session.Close(session.CauseKicked)
	p.ended(session.CauseKicked)
	poll(t, "close_notify at the publisher", func() bool {
		return p.pc.ConnectionState() == webrtc.PeerConnectionStateClosed
	})
}

func TestPublisherRefusedAfterConnecting(t *testing.T) {
	t.Parallel()
	p := publish(t, newTable(t, nil), publisherOptions{connected: func() error { return errors.New("taken") }})
	p.ended(session.CauseReplaced)
}

func TestPublisherWithAnotherFingerprint(t *testing.T) {
	t.Parallel()
	for name, role := range map[string]func(string) string{"server": active, "client": passive} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := publish(t, newTable(t, nil), publisherOptions{offer: func(sdp string) string {
				return otherFingerprint(role(sdp))
			}})
			p.ended(session.CauseFingerprint)
		})
	}
}

func TestPublisherNeverComes(t *testing.T) {
	t.Parallel()
	table := newTable(t, func(c *session.Config) { c.ConnectTimeout = 200 * time.Millisecond })
	p := publish(t, table, publisherOptions{offer: func(sdp string) string {
		return otherUFrag(sdp) // so that all its checks are wrong
	}})
	p.ended(session.CauseICERefused)
}

func TestPublisherFallsSilent(t *testing.T) {
	t.Parallel()
	table := newTable(t, func(c *session.Config) { c.ConsentTimeout = time.Second })
	p := publish(t, table, publisherOptions{keepalive: time.Hour, silent: true}).up()
	p.ended(session.CauseConsentLost)
}

// A publisher without media goes on as long as its checks come.
func TestPublisherPauses(t *testing.T) {
	t.Parallel()
	const consent = 500 * time.Millisecond
	table := newTable(t, func(c *session.Config) { c.ConsentTimeout = consent })
	p := publish(t, table, publisherOptions{keepalive: 50 * time.Millisecond}).up()
	select {
	case c := <-p.closed:
		t.Errorf("ended by %q", c)
	case <-time.After(3 * consent):
	}
}

// An ICE restart changes addresses and credentials; the streams go on.
func TestPublisherRestartsICE(t *testing.T) {
	t.Parallel()
	p := publish(t, newTable(t, nil), publisherOptions{}).up()
	in := p.track("video")
	for range 3 {
		p.restart()
		limit := time.After(patience)
		tick := time.NewTicker(10 * time.Millisecond)
		began := time.Now()
		got := make(chan struct{})
		go func() {
			defer close(got)
			p.read(in, func(packet *rtp.Packet) bool { return string(packet.Payload) == "after" })
		}()
	wait:
		for {
			select {
			case <-got:
				break wait
			case <-tick.C:
				p.send("video", "after")
			case <-limit:
				t.Fatal("no media after the restart")
			}
		}
		tick.Stop()
		t.Logf("media after %v", time.Since(began))
	}
	select {
	case other := <-p.incoming:
		t.Errorf("a new track %d after the restart, want %d to go on", other.SSRC, in.SSRC)
	default:
	}
}

// TestPublisherUnanswered: an offer that passed all checks and cannot be
// answered ends quietly, although pion tells of the end of its connection.
func TestPublisherUnanswered(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("y", 4000)
	text := strings.NewReplacer(
		"a=fmtp:111 minptime=10;useinbandfec=1", "a=fmtp:111 x="+long,
		"a=rtpmap:96 H264/90000", "a=rtpmap:96 VP8/90000\r\na=fmtp:96 x="+long,
	).Replace(string(testdata(t, "fixtures/o_ok.sdp")))
	offer := parseOffer(t, text)
	if err := offer.CheckPublish(); err != nil {
		t.Fatal(err)
	}
	_, err := newTable(t, nil).OpenPublisher(offer, session.PublisherSetup{
		Labels: session.Labels{Room: "demo", Publication: "main"},
		Closed: func(c session.Cause) { t.Errorf("told of the end (%v) of what never began", c) },
	})
	if got := problem(t, err); got != session.ProblemTooComplex {
		t.Errorf("got %v", err)
	}
}
