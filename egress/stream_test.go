package egress

import (
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

func payloads(packets []*rtp.Packet) string {
	var out []string
	for _, p := range packets {
		out = append(out, string(p.Payload))
	}
	return strings.Join(out, " ")
}

func TestStreamRewrites(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			plane, v, far := start(t, tc.profile, defaultStreams())
			src := newTrack(90000)
			s := v.Stream("video")
			s.Bind(src, videoFormat, nil)
			s.Write(src.packet(base, 1000, "early")) // before any keyframe
			s.Write(src.key(base+1, 4000, "k1"))
			p := src.packet(base+2, 4000, "k2")
			p.Marker = true
			p.Extensions = []HeaderExtension{
				{ExtensionOrientation, []byte{2}},
				{ExtensionAudioLevel, []byte{9}},                  // not negotiated for video
				{ExtensionMID, []byte("theirs")},                  // never forwarded
				{ExtensionDependencyDescriptor, make([]byte, 17)}, // too long for one byte
			}
			s.Write(p)
			s.Write(src.packet(base+5, 7000, "d")) // over the wrap, two missing

			all := far.take()
			if len(all) == 0 || all[0].rtp != nil {
				t.Fatal("the first datagram is not a sender report")
			}
			if sr, ok := all[0].rtcp[0].(*rtcp.SenderReport); !ok || sr.SSRC != videoSSRC || sr.PacketCount != 0 {
				t.Fatalf("got %v, want a sender report before any packet", all[0].rtcp[0])
			}
			var got []*rtp.Packet
			for _, r := range all[1:] {
				if r.to != viewerAddr {
					t.Errorf("sent to %v, want %v", r.to, viewerAddr)
				}
				got = append(got, r.rtp)
			}
			if payloads(got) != "k1 k2 d" {
				t.Fatalf("got packets %q", payloads(got))
			}
			for i, p := range got {
				if p.SSRC != videoSSRC || p.PayloadType != 96 || string(p.GetExtension(4)) != "1" {
					t.Errorf("packet %d: got SSRC %x, payload type %d, mid %q", i, p.SSRC, p.PayloadType, p.GetExtension(4))
				}
				if p.Timestamp-got[0].Timestamp != []uint32{0, 0, 3000}[i] {
					t.Errorf("packet %d: got timestamp %d after the first", i, p.Timestamp-got[0].Timestamp)
				}
				if p.SequenceNumber-got[0].SequenceNumber != []uint16{0, 1, 4}[i] {
					t.Errorf("packet %d: got sequence number %d after the first", i, p.SequenceNumber-got[0].SequenceNumber)
				}
				if p.Marker != (i == 1) {
					t.Errorf("packet %d: got marker %v", i, p.Marker)
				}
			}
			if ids := got[1].GetExtensionIDs(); len(ids) != 2 || got[1].GetExtension(13)[0] != 2 {
				t.Errorf("got extensions %v, want mid and orientation", ids)
			}
			if got[0].GetExtension(3) != nil {
				t.Error("a live packet carries a transport-wide sequence number")
			}
			if src.asked() != 1 {
				t.Errorf("got %d keyframe requests, want one at Bind", src.asked())
			}
			if st := v.Stats(); st.Packets != 3 || st.Bytes != 5 || st.FirstVideo.IsZero() {
				t.Errorf("got statistics %+v", st)
			}
			if st := plane.Stats(); st.Packets != 3 || st.Bytes != 5 || st.Viewers != 1 {
				t.Errorf("got statistics %+v", st)
			}
		})
	}
}

func TestStreamOrder(t *testing.T) {
	// Each step is a sequence number behind base; negative: padding only. Want
	// is what arrives, as payload@sequence relative to the first.
	type out struct {
		payload string
		seq     uint16
	}
	for _, tc := range []struct {
		name  string
		steps []int64
		want  []out
	}{
		{"late", []int64{1, 2, 4, 3, 5}, []out{{"1", 0}, {"2", 1}, {"4", 3}, {"3", 2}, {"5", 4}}},
		{"duplicate", []int64{1, 2, 2, 1, 3}, []out{{"1", 0}, {"2", 1}, {"3", 2}}},
		{"before the first", []int64{3, 2, 1, 4}, []out{{"3", 0}, {"4", 1}}},
		{"padding", []int64{1, -2, 3, -4, -5, 6}, []out{{"1", 0}, {"3", 1}, {"6", 2}}},
		{"padding twice", []int64{1, -2, -2, 3}, []out{{"1", 0}, {"3", 1}}},
		{"padding first", []int64{-1, 2, 3}, []out{{"2", 0}, {"3", 1}}},
		{"late over padding", []int64{1, -4, 5, 2, 3}, []out{{"1", 0}, {"5", 3}, {"2", 1}, {"3", 2}}},
		{"late padding fills its gap", []int64{1, 3, -2, 4}, []out{{"1", 0}, {"3", 2}, {"", 1}, {"4", 3}}},
		{"far jump is a renumbering", []int64{1, 2, 40000, 40001, 39999}, []out{{"1", 0}, {"2", 1}, {"40000", 2}, {"40001", 3}}},
		{"loss over the wrap", []int64{1, 9, 2}, []out{{"1", 0}, {"9", 8}, {"2", 1}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, v, far := start(t, gcm, defaultStreams())
			src := newTrack(48000)
			s := v.Stream("audio")
			s.Bind(src, audioFormat, nil)
			for _, n := range tc.steps {
				payload := ""
				if n > 0 {
					payload = itoa(n)
				}
				n = max(n, -n)
				s.Write(src.packet(base+uint64(n), uint32(n)*960, payload))
			}
			got := far.takeRTP(audioSSRC)
			if len(got) != len(tc.want) {
				t.Fatalf("got packets %q, want %v", payloads(got), tc.want)
			}
			for i, p := range got {
				o := out{string(p.Payload), p.SequenceNumber - got[0].SequenceNumber}
				if o != tc.want[i] {
					t.Errorf("packet %d: got %v, want %v", i, o, tc.want[i])
				}
			}
		})
	}
}

func itoa(n int64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestStreamRebind(t *testing.T) {
	_, v, far := start(t, gcm, defaultStreams())
	s := v.Stream("video")
	first, second := newTrack(90000), newTrack(48000)
	at := time.Now()
	s.Bind(first, videoFormat, nil)
	p := first.key(base, 5_000_000, "a1")
	p.Arrived = at
	s.Write(p)
	p = first.packet(base+1, 5_003_000, "a2")
	p.Arrived = at.Add(40 * time.Millisecond)
	s.Write(p)

	s.Bind(second, Format{PayloadType: 100, ClockRate: 48000}, nil)
	s.Write(first.packet(base+2, 5_006_000, "old")) // no keyframe of the new one
	p = second.key(1<<16+7, 99, "b1")
	p.Arrived = at.Add(540 * time.Millisecond)
	s.Write(p)
	p = second.packet(1<<16+8, 99+1600, "b2")
	s.Write(p)

	// A source whose first packet came before the last of the one before.
	third := newTrack(90000)
	s.Bind(third, videoFormat, nil)
	p = third.key(1<<16+500, 70, "c1")
	p.Arrived = at
	s.Write(p)

	got := far.takeRTP(videoSSRC)
	if payloads(got) != "a1 a2 b1 b2 c1" {
		t.Fatalf("got packets %q", payloads(got))
	}
	inSequence(t, got)
	for i, want := range []uint32{3000, 24000, 1600, 1} {
		if d := got[i+1].Timestamp - got[i].Timestamp; d != want {
			t.Errorf("timestamp of packet %d: got %d after the one before, want %d", i+1, d, want)
		}
	}
	if got[2].PayloadType != 100 {
		t.Errorf("got payload type %d, want that of the new format", got[2].PayloadType)
	}

	s.Unbind(first) // not bound any more
	s.Write(third.packet(1<<16+501, 3070, "c2"))
	s.Unbind(third)
	s.Write(third.packet(1<<16+502, 6070, "c3"))
	if got := far.takeRTP(videoSSRC); payloads(got) != "c2" {
		t.Errorf("got packets %q after Unbind, want only c2", payloads(got))
	}
}

func TestStreamSkipsOversize(t *testing.T) {
	plane, v, far := start(t, gcm, defaultStreams())
	src := newTrack(48000)
	s := v.Stream("audio")
	s.Bind(src, audioFormat, nil)
	s.Write(src.packet(base, 0, "1"))
	s.Write(src.packet(base+1, 960, strings.Repeat("x", maxPayload+1)))
	s.Write(src.packet(base+2, 1920, strings.Repeat("y", maxPayload)))
	got := far.takeRTP(audioSSRC)
	if len(got) != 2 || got[1].SequenceNumber-got[0].SequenceNumber != 2 || len(got[1].Payload) != maxPayload {
		t.Errorf("got %d packets, want the first and the last with a gap", len(got))
	}
	if st := plane.Stats(); st.Oversize != 1 {
		t.Errorf("got %d oversize packets, want 1", st.Oversize)
	}
}

// TestPaddingWithHoles: lost packets and padding alone must not carry the
// numbers further than a receiver can follow.
func TestPaddingWithHoles(t *testing.T) {
	_, v, far := start(t, gcm, defaultStreams())
	src := newTrack(90000)
	s := v.Stream("video")
	s.Bind(src, videoFormat, nil)
	s.Write(src.key(base, 1000, "k"))
	seq := base
	for range 40 {
		seq += 3000
		s.Write(src.packet(seq, 1000, ""))
	}
	s.Write(src.packet(seq+1, 4000, "d"))
	got := far.takeRTP(videoSSRC)
	if payloads(got) != "k d" {
		t.Fatalf("got packets %q, want both", payloads(got))
	}
	if gap := got[1].SequenceNumber - got[0].SequenceNumber; gap > maxGap+1 {
		t.Errorf("the numbers went on by %d", gap)
	}
}
