package egress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/srtp/v3"
)

func TestKeyframeRequests(t *testing.T) {
	v, far, src, _ := playing(t, videoFormat, 1)
	before := src.asked()
	for _, tc := range []struct {
		name string
		pkt  rtcp.Packet
		want int
	}{
		{"PLI", &rtcp.PictureLossIndication{MediaSSRC: videoSSRC}, 1},
		{"FIR", &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: videoSSRC, SequenceNumber: 1}}}, 1},
		{"unknown SSRC", &rtcp.PictureLossIndication{MediaSSRC: 4711}, 0},
		{"nothing bound", &rtcp.PictureLossIndication{MediaSSRC: audioSSRC}, 0},
	} {
		if err := v.HandleRTCP(far.seal(tc.pkt)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if got := src.asked() - before; got != tc.want {
			t.Errorf("%s: got %d requests at the source, want %d", tc.name, got, tc.want)
		}
		before = src.asked()
	}
	if got := v.Stats().KeyframeRequests; got != 3 {
		t.Errorf("got %d keyframe requests counted, want 3", got)
	}
}

func TestReceiverReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, far := start(t, gcm, defaultStreams())
		src := newTrack(90000)
		s := v.Stream("video")
		s.Bind(src, videoFormat, nil)
		s.Write(src.key(base, 0, "k"))
		sr, ok := far.take()[0].rtcp[0].(*rtcp.SenderReport)
		if !ok {
			t.Fatal("no sender report")
		}
		time.Sleep(150 * time.Millisecond) // 80 on the way, 70 at the viewer
		rr := &rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{
			{SSRC: videoSSRC, FractionLost: 64, TotalLost: 12, Jitter: 900, LastSenderReport: uint32(sr.NTPTime >> 16), Delay: 70 * 65536 / 1000},
			{SSRC: audioSSRC, TotalLost: 3, FractionLost: 255},
			{SSRC: 4711, TotalLost: 1000},
		}}
		if err := v.HandleRTCP(far.seal(rr, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{videoSSRC}})); err != nil {
			t.Fatal(err)
		}
		st := v.Stats()
		if st.LossFraction != 0.25 || st.Lost != 15 || st.Jitter != 10*time.Millisecond {
			t.Errorf("got loss %v, lost %d, jitter %v", st.LossFraction, st.Lost, st.Jitter)
		}
		if d := st.RTT - 80*time.Millisecond; d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("got round trip %v, want 80 ms", st.RTT)
		}
		// More lost than sent is nonsense, fewer than none is duplicates; a
		// report from the future is no round trip.
		rr = &rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{
			{SSRC: videoSSRC, TotalLost: 0xffffff, LastSenderReport: uint32(sr.NTPTime>>16) + 1<<20},
		}}
		if err := v.HandleRTCP(far.seal(rr)); err != nil {
			t.Fatal(err)
		}
		if got := v.Stats(); got.Lost != 15 || got.RTT != st.RTT {
			t.Errorf("got lost %d and round trip %v after nonsense, want them unchanged", got.Lost, got.RTT)
		}
		_ = v.plane.Close()
	})
}

func TestRTCPRefused(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			_, v, far := start(t, tc.profile, defaultStreams())
			good := far.seal(&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: videoSSRC})
			forged := bytes.Clone(good)
			forged[len(forged)-1] ^= 1
			malformed, err := (&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: videoSSRC}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			binary.BigEndian.PutUint16(malformed[2:], 100) // longer than it is
			refused := uint64(0)
			for _, bad := range []struct {
				name     string
				datagram []byte
			}{
				{"empty", nil},
				{"short", good[:7]},
				{"cut", good[:len(good)-1]},
				{"forged", forged},
				{"in the clear", malformed},
				{"malformed inside", far.sealRaw(malformed)},
			} {
				refused++
				if err := v.HandleRTCP(bytes.Clone(bad.datagram)); err == nil {
					t.Errorf("%s: got no error", bad.name)
				}
				if got := v.Stats().Refused; got != refused {
					t.Errorf("%s: got %d refused, want %d", bad.name, got, refused)
				}
			}
			for n := range len(good) {
				if err := v.HandleRTCP(bytes.Clone(good[:n])); err == nil {
					t.Errorf("cut to %d bytes: got no error", n)
				}
			}
			if err := v.HandleRTCP(bytes.Clone(good)); err != nil {
				t.Errorf("the good one after the bad: %v", err)
			}
			if err := v.HandleRTCP(good); err == nil {
				t.Error("a replay was accepted")
			}
		})
	}
}

func TestRTCPCipherAgreesWithPion(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			k := testKeys(t, tc.profile)
			ours, err := newRTCPCipher(k.Profile, k.LocalKey, k.LocalSalt)
			if err != nil {
				t.Fatal(err)
			}
			opening, err := srtp.CreateContext(k.LocalKey, k.LocalSalt, k.Profile)
			if err != nil {
				t.Fatal(err)
			}
			sealing, err := srtp.CreateContext(k.LocalKey, k.LocalSalt, k.Profile)
			if err != nil {
				t.Fatal(err)
			}
			for index, n := range []int{0, 1, 13, 200} {
				plain, err := rtcp.Marshal([]rtcp.Packet{
					&rtcp.ReceiverReport{SSRC: 0xfedcba98},
					&rtcp.Goodbye{Sources: []uint32{1}, Reason: strings.Repeat("r", n)},
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, at := range []uint32{uint32(index) + 1, 0x12345678, 0x7fffffff} {
					room := append(make([]byte, 0, bufferSize), plain...)
					sealed := ours.sealRTCP(room, at)
					if &sealed[0] != &room[0] || len(sealed) > len(plain)+rtcpOverhead {
						t.Errorf("index %#x: got %d bytes of %d, want them in place", at, len(sealed), len(plain))
					}
					if got, err := opening.DecryptRTCP(nil, sealed, nil); err != nil || !bytes.Equal(got, plain) {
						t.Errorf("index %#x: pion opens %x, %v", at, got, err)
					}
				}
				sealed, err := sealing.EncryptRTCP(nil, plain, nil)
				if err != nil {
					t.Fatal(err)
				}
				got, at, err := ours.openRTCP(bytes.Clone(sealed))
				if err != nil || at != uint32(index)+1 || !bytes.Equal(got, plain) {
					t.Errorf("got %x, index %d, %v", got, at, err)
				}
				for i := range sealed { // every bit counts
					sealed[i] ^= 0x10
					if _, _, err := ours.openRTCP(bytes.Clone(sealed)); err == nil {
						t.Errorf("byte %d changed: got no error", i)
					}
					sealed[i] ^= 0x10
				}
			}
		})
	}
}

func TestReplayWindow(t *testing.T) {
	w := replayWindow{high: 100, seen: 1}
	for _, step := range []struct {
		index uint32
		want  bool
	}{
		{100, false},
		{99, true},
		{99, false},
		{37, true},
		{36, false},
		{101, true},
		{38, true},
		{37, false},
		{100, false},
		{164, true},
		{101, false},
		{102, true},
		{1 << 30, true},
		{164, false},
		{1<<30 - 63, true},
		{0, false},
	} {
		if got := w.take(step.index); got != step.want {
			t.Errorf("index %d: got %v, want %v", step.index, got, step.want)
		}
	}
}

func TestRTCPSendersAreBounded(t *testing.T) {
	_, v, far := start(t, gcm, defaultStreams())
	for ssrc := range uint32(maxSenders) {
		if err := v.HandleRTCP(far.seal(&rtcp.ReceiverReport{SSRC: ssrc})); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.HandleRTCP(far.seal(&rtcp.ReceiverReport{SSRC: 1000})); !errors.Is(err, errManySenders) {
		t.Errorf("got %v, want %v", err, errManySenders)
	}
	if err := v.HandleRTCP(far.seal(&rtcp.ReceiverReport{SSRC: 0})); err != nil {
		t.Errorf("a known sender: %v", err)
	}
}

func TestRTCPBeforeStartAndAfterStop(t *testing.T) {
	plane, v, far := start(t, gcm, defaultStreams())
	if err := plane.NewViewer(ViewerConfig{}).HandleRTCP(far.seal(&rtcp.ReceiverReport{})); !errors.Is(err, errNoKeys) {
		t.Errorf("before Start: got %v, want %v", err, errNoKeys)
	}
	v.Stop()
	if err := v.HandleRTCP(far.seal(&rtcp.ReceiverReport{})); !errors.Is(err, ErrClosed) {
		t.Errorf("after Stop: got %v, want %v", err, ErrClosed)
	}
}

// pionFeedback makes the transport-wide feedback of a receiver, for numbers
// from base on that arrived after the given times; negative: not received.
func pionFeedback(base uint16, reference uint32, arrivals []time.Duration) *rtcp.TransportLayerCC {
	cc := &rtcp.TransportLayerCC{
		BaseSequenceNumber: base, PacketStatusCount: uint16(len(arrivals)),
		ReferenceTime: reference & 0xffffff, MediaSSRC: videoSSRC, SenderSSRC: 1,
	}
	last := time.Duration(0)
	size := 20
	for i := 0; i < len(arrivals); i += 7 {
		chunk := &rtcp.StatusVectorChunk{Type: rtcp.TypeTCCStatusVectorChunk, SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit}
		for j := i; j < i+7; j++ {
			symbol := rtcp.TypeTCCPacketNotReceived
			if j < len(arrivals) && arrivals[j] >= 0 {
				ticks := (arrivals[j] - last) / (250 * time.Microsecond)
				last += ticks * 250 * time.Microsecond
				symbol = rtcp.TypeTCCPacketReceivedSmallDelta
				size++
				if ticks < 0 || ticks > 255 {
					symbol = rtcp.TypeTCCPacketReceivedLargeDelta
					size++
				}
				cc.RecvDeltas = append(cc.RecvDeltas, &rtcp.RecvDelta{Type: symbol, Delta: int64(ticks) * rtcp.TypeTCCDeltaScaleFactor})
			}
			chunk.SymbolList = append(chunk.SymbolList, symbol)
		}
		cc.PacketChunks = append(cc.PacketChunks, chunk)
		size += 2
	}
	padded := (size + 3) / 4 * 4
	cc.Header = rtcp.Header{
		Padding: padded != size, Count: rtcp.FormatTCC,
		Type: rtcp.TypeTransportSpecificFeedback, Length: uint16(padded/4 - 1),
	}
	return cc
}

// eachPacket tells of packets that did not come one by one, too.
func eachPacket(f *transportFeedback, fn func(seq uint16, received bool, arrival time.Duration)) {
	f.each(func(seq uint16, n int) {
		for i := range n {
			fn(seq+uint16(i), false, 0)
		}
	}, func(seq uint16, arrival time.Duration) { fn(seq, true, arrival) })
}

func TestTransportFeedbackAgreesWithPion(t *testing.T) {
	ms := time.Millisecond
	arrivals := []time.Duration{0, 2 * ms, -1, 500 * ms, 490 * ms, -1, -1, -1, 600 * ms, 600 * ms}
	raw, err := pionFeedback(65530, 77, arrivals).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	f, err := parseTransportFeedback(raw)
	if err != nil {
		t.Fatal(err)
	}
	if f.reference != 77 {
		t.Errorf("got reference %d, want 77", f.reference)
	}
	n := 0
	eachPacket(&f, func(seq uint16, received bool, arrival time.Duration) {
		want := arrivals[n]
		if seq != uint16(65530+n) || received != (want >= 0) || received && arrival != want {
			t.Errorf("packet %d: got number %d, received %v at %v, want %v", n, seq, received, arrival, want)
		}
		n++
	})
	if n != len(arrivals) {
		t.Errorf("got %d packets, want %d", n, len(arrivals))
	}
}

func TestTransportFeedbackRunLength(t *testing.T) {
	raw := make([]byte, 20, 40)
	binary.BigEndian.PutUint16(raw[14:], 20)
	raw = append(raw, 0x20, 2, 0x00, 16, 0x80|0x20, 0) // 2 received, 16 not, then one-bit: first of 14 received
	raw = append(raw, 4, 8, 0)
	raw = append(raw, 12)
	f, err := parseTransportFeedback(raw)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	eachPacket(&f, func(seq uint16, received bool, _ time.Duration) {
		if received {
			got = append(got, int(seq))
		}
	})
	if len(got) != 3 || got[0] != 0 || got[1] != 1 || got[2] != 18 {
		t.Errorf("got numbers %v, want 0, 1 and 18", got)
	}
	for cut := range len(raw) - 1 {
		if _, err := parseTransportFeedback(raw[:cut]); err == nil {
			t.Errorf("cut to %d bytes: got no error", cut)
		}
	}
}
