package egress

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

// startTo starts a viewer who plays audio and video, catches up on another
// video after it, and whose datagrams go to a writer; nil: to the far end.
func startTo(t testing.TB, to PacketWriter, profile srtp.ProtectionProfile) (*Plane, *Viewer, *farEnd) {
	t.Helper()
	far := newFarEnd(t, profile)
	if to == nil {
		to = far
	}
	plane := newPlane(slog.New(slog.DiscardHandler), to)
	t.Cleanup(func() { _ = plane.Close() })
	v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
	if err := v.Start(far.keys, viewerAddr); err != nil {
		t.Fatal(err)
	}
	src := newTrack(90000)
	s := v.Stream("video")
	s.next, s.reached = 100, 100
	s.Bind(src, videoFormat, nil)
	payload := strings.Repeat("p", 1000)
	s.Write(src.key(base, 0, payload))
	for i := range uint64(40) {
		s.Write(src.packet(base+1+i, uint32(i), payload))
	}
	sound := newTrack(48000)
	v.Stream("audio").Bind(sound, audioFormat, nil)
	v.Stream("audio").Write(sound.packet(base, 0, "s"))
	far.plane = plane
	plane.settle()
	return plane, v, far
}

// datagrams are what a browser sends most, by name.
func datagrams() map[string][]rtcp.Packet {
	return map[string][]rtcp.Packet{
		"RR": {&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{
			{SSRC: videoSSRC, LastSenderReport: 1 << 20}, {SSRC: audioSSRC},
		}}},
		"SR": {&rtcp.SenderReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: videoSSRC}}}},
		"NACK": {&rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{
			{PacketID: 110}, {PacketID: 200, LostPackets: 0b101}, // one of them was sent
		}}},
		"PLI":  {&rtcp.PictureLossIndication{MediaSSRC: videoSSRC}},
		"FIR":  {&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: videoSSRC}}}},
		"REMB": {&rtcp.ReceiverReport{SSRC: 1}, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{videoSSRC}}},
		"TransportCC": {pionFeedback(0, 1, []time.Duration{
			0, 1e6, 2e6, -1, 4e6, 5e6, 6e6, 7e6, 8e6, 9e6, -1, -1, 12e6, 13e6, 14e6, 15e6, 16e6, 17e6, 18e6, 19e6, 20e6, 21e6, 22e6, 23e6, 24e6, 25e6, 26e6, 27e6,
		})},
	}
}

// repeatable is a viewer whom the same datagram can be given again and again,
// with the same effect.
func repeatable(t testing.TB, profile srtp.ProtectionProfile, packets []rtcp.Packet) (v *Viewer, handle func()) {
	t.Helper()
	_, v, far := startTo(t, nowhere{}, profile)
	s := v.Stream("video")
	s.catchup = &catchup{running: true, pacing: true, log: &sendLog{}}
	now := time.Now()
	for i := range uint16(30) {
		s.catchup.log.sent(i, 1000, now.Add(time.Duration(i)*time.Millisecond))
	}
	sealed := far.seal(packets...)
	datagram := make([]byte, len(sealed))
	return v, func() {
		copy(datagram, sealed)
		for i := range v.open.senders {
			v.open.senders[i] = replayWindow{ssrc: v.open.senders[i].ssrc}
		}
		if s.answers != nil {
			*s.answers = answers{}
		}
		v.repair.start(now)
		v.plane.count.retransmitted.Store(0)
		if err := v.HandleRTCP(datagram); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHandleRTCPAllocations(t *testing.T) {
	for _, tc := range profiles {
		for name, packets := range datagrams() {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				v, handle := repeatable(t, tc.profile, packets)
				handle() // what is kept of a sender is made once
				if st := v.Stats(); (st.Retransmitted == 1) != (name == "NACK") {
					t.Errorf("got %d packets sent again", st.Retransmitted)
				}
				want := 0.0
				if name == "NACK" {
					want = tc.allocs // the packet sent again
				}
				if got := testing.AllocsPerRun(200, handle); got > want {
					t.Errorf("got %v allocations a datagram, want %v", got, want)
				}
			})
		}
	}
}

// What is refused, who sends it can send without end.
func TestRefusedRTCPAllocations(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			_, v, far := startTo(t, nowhere{}, tc.profile)
			forged := far.seal(&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: videoSSRC})
			forged[len(forged)-1] ^= 1
			malformed := far.sealRaw([]byte{0x81, typeReceiverReport, 0, 1, 0, 0, 0, 1})
			datagram := make([]byte, max(len(forged), len(malformed)))
			for name, sealed := range map[string][]byte{"forged": forged, "malformed": malformed, "short": forged[:9]} {
				got := testing.AllocsPerRun(200, func() {
					v.open.senders = v.open.senders[:0] // whatever was seen of it
					if v.HandleRTCP(datagram[:copy(datagram, sealed)]) == nil {
						t.Fatalf("%s: got no error", name)
					}
				})
				if got != 0 {
					t.Errorf("%s: got %v allocations, want none", name, got)
				}
			}
		})
	}
}

func BenchmarkHandleRTCP(b *testing.B) {
	for _, tc := range profiles {
		for name, packets := range datagrams() {
			b.Run(tc.name+"/"+name, func(b *testing.B) {
				_, handle := repeatable(b, tc.profile, packets)
				b.ReportAllocs()
				for b.Loop() {
					handle()
				}
			})
		}
	}
}
