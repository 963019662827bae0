package sfu

import (
	"bytes"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/sluicemedia/sluice/egress"
)

// wire is the far end of a real egress plane: it opens what is sent.
type wire struct {
	t       *testing.T
	context *srtp.Context

	mu   sync.Mutex
	got  []*rtp.Packet
	rtcp int // datagrams
}

func (w *wire) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b[1] >= 192 && b[1] < 224 { // RTCP
		w.rtcp++
		return len(b), nil
	}
	plain, err := w.context.DecryptRTP(nil, b, nil)
	p := &rtp.Packet{}
	if err == nil {
		err = p.Unmarshal(plain)
	}
	if err != nil {
		w.t.Errorf("a packet that cannot be read: %v", err)
		return len(b), nil
	}
	w.got = append(w.got, p)
	return len(b), nil
}

// reports counts the datagrams with sender reports.
func (w *wire) reports() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rtcp
}

func (w *wire) packets() []*rtp.Packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*rtp.Packet(nil), w.got...)
}

// realViewer is a viewer of a real plane with keys, playing from s.
func realViewer(t *testing.T, s *Subscription) *wire {
	t.Helper()
	key, salt := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 12)
	context, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, context: context}
	plane := egress.NewPlane(nopLog(), w)
	t.Cleanup(func() { _ = plane.Close() })
	v := plane.NewViewer(egress.ViewerConfig{CNAME: "c", Streams: []egress.StreamConfig{
		{Kind: "audio", MID: "0", SSRC: 1}, {Kind: "video", MID: "1", SSRC: 2},
	}})
	t.Cleanup(v.Stop)
	keys := egress.Keys{
		Profile: srtp.ProtectionProfileAeadAes128Gcm, LocalKey: key, LocalSalt: salt, RemoteKey: key, RemoteSalt: salt,
	}
	if err := v.Start(keys, netip.MustParseAddrPort("192.0.2.1:9")); err != nil {
		t.Fatal(err)
	}
	s.Start(&Sink{Stream: v.Stream("audio"), Format: plays("audio/opus")}, &Sink{Stream: v.Stream("video"), Format: plays("video/VP8")})
	return w
}

// A real viewer gets one unbroken stream: the keyframe that was there before
// it came, what follows, and a second publisher's pictures after a takeover.
func TestRealViewerOverATakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := newRooms(t, Config{})
		old := live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		for i := range uint16(9) {
			old.src.write(datagram(101+i, 1000+3000*uint32(i+1), vp8Delta))
		}
		w := realViewer(t, subscribe(t, rs, "r"))
		time.Sleep(time.Second)
		old.src.write(datagram(110, 31000, vp8Delta))
		time.Sleep(time.Second)
		next := live(t, rs, "r", "", ClaimConfig{Identity: "ann"})
		next.src.write(datagram(101, 4000, vp8Delta))
		time.Sleep(time.Second)

		got := w.packets()
		if len(got) != 13 {
			t.Fatalf("got %d packets, want 13", len(got))
		}
		for i, p := range got {
			if p.SSRC != 2 || p.SequenceNumber != got[0].SequenceNumber+uint16(i) {
				t.Errorf("packet %d: got SSRC %d, number %d after %d", i, p.SSRC, p.SequenceNumber, got[0].SequenceNumber)
			}
			if i > 0 && int32(p.Timestamp-got[i-1].Timestamp) <= 0 {
				t.Errorf("packet %d: the timestamp goes from %d to %d", i, got[i-1].Timestamp, p.Timestamp)
			}
		}
		for i, want := range map[int][]byte{0: vp8Key, 1: vp8Delta, 11: vp8Key, 12: vp8Delta} {
			if !bytes.Equal(got[i].Payload, want) {
				t.Errorf("packet %d: got % x, want % x", i, got[i].Payload, want)
			}
		}
	})
}
