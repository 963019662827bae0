package sfu

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/srtp/v3"

	"github.com/sluicemedia/sluice/egress"
)

// nowhere takes datagrams and drops them.
type nowhere struct{}

func (nowhere) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }

// streams are those of viewers of a plane; without keys nothing is sealed.
func streams(b *testing.B, n int, keys bool) (list []*egress.Stream) {
	b.Helper()
	plane := egress.NewPlane(nopLog(), nowhere{})
	b.Cleanup(func() { _ = plane.Close() })
	key, salt := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 12)
	for range n {
		v := plane.NewViewer(egress.ViewerConfig{CNAME: "c", Streams: []egress.StreamConfig{{Kind: "video", MID: "0", SSRC: 2}}})
		b.Cleanup(v.Stop)
		if keys {
			if err := v.Start(egress.Keys{
				Profile: srtp.ProtectionProfileAeadAes128Gcm, LocalKey: key, LocalSalt: salt, RemoteKey: key, RemoteSalt: salt,
			}, netip.MustParseAddrPort("192.0.2.1:9")); err != nil {
				b.Fatal(err)
			}
		}
		list = append(list, v.Stream("video"))
	}
	return list
}

// BenchmarkFanOutToStreams is how long the lock of a track is held for a packet
// to many viewers, and all that the packet costs, sealing included.
func BenchmarkFanOutToStreams(b *testing.B) {
	track, claim := unread(b)
	defer claim.Close()
	for _, s := range streams(b, 1000, true) {
		track.attach(s, egress.Format{PayloadType: 96, ClockRate: 90000}, nil, false)
	}
	packet := datagram(1, 1, make([]byte, 1100))
	copy(packet[12:], vp8Key)
	seq := uint16(0)
	var held time.Duration
	b.ReportAllocs()
	for b.Loop() {
		seq++
		binary.BigEndian.PutUint16(packet[2:], seq)
		packet[1] = packet[1]&0x7f | byte(seq%10/9)<<7 // frames of ten packets
		began := time.Now()
		track.receive(packet, began)
		held += time.Since(began)
		packet[14] = vp8Delta[2]
		if seq%10 == 0 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	b.ReportMetric(float64(held.Nanoseconds())/float64(b.N)/1000, "ns/write")
}

// BenchmarkTakeover is a change of publisher for many viewers.
func BenchmarkTakeover(b *testing.B) {
	rs := NewRooms(Config{}, nopLog())
	b.Cleanup(rs.Close)
	if _, err := rs.Create("r", Settings{Wait: true}); err != nil {
		b.Fatal(err)
	}
	for _, s := range streams(b, manyViewers, true) {
		sub, err := rs.Subscribe("r", "", SubscriptionConfig{OnAir: func(bool) {}})
		if err != nil {
			b.Fatal(err)
		}
		sub.Start(nil, &Sink{Stream: s, Format: plays("video/VP8")})
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		c, err := rs.Publish("r", "", ClaimConfig{})
		if err != nil {
			b.Fatal(err)
		}
		t, err := newTrack(c, TrackConfig{Kind: "video", Codec: vp8, SSRC: 7}, newSource(b))
		if err != nil {
			b.Fatal(err)
		}
		c.room.mu.Lock()
		c.addLayer(t)
		c.room.mu.Unlock()
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		t.receive(datagram(0, 0, vp8Key), now)
		c.Close()
	}
}
