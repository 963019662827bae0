package egress

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// playing starts a viewer whose video stream was sent n packets, numbered from
// base on, and returns the wire form of the first sequence number.
func playing(t *testing.T, f Format, n int) (v *Viewer, far *farEnd, src *track, first uint16) {
	t.Helper()
	_, v, far = start(t, gcm, defaultStreams())
	src = newTrack(90000)
	s := v.Stream("video")
	s.Bind(src, f, nil)
	for i := range n {
		p := src.packet(base+uint64(i), uint32(i)*3000, strings.Repeat(string(rune('a'+i%26)), 100))
		p.Key = i == 0
		s.Write(p)
	}
	got := far.takeRTP(videoSSRC)
	if len(got) != n {
		t.Fatalf("got %d packets, want %d", len(got), n)
	}
	return v, far, src, got[0].SequenceNumber
}

func TestNACKAnsweredByRTX(t *testing.T) {
	v, far, _, first := playing(t, videoFormat, 8)
	far.nack(v, videoSSRC, first+2, first+5) // before and after the wrap of the incoming numbers
	got := far.takeRTP(videoRTX)
	if len(got) != 2 {
		t.Fatalf("got %d retransmissions, want 2", len(got))
	}
	inSequence(t, got)
	for i, n := range []uint16{2, 5} {
		p := got[i]
		if osn := binary.BigEndian.Uint16(p.Payload); osn != first+n {
			t.Errorf("got original sequence number %d, want %d", osn, first+n)
		}
		if want := strings.Repeat(string(rune('a'+n)), 100); string(p.Payload[2:]) != want {
			t.Errorf("got payload %q, want %q", p.Payload[2:], want)
		}
		if p.PayloadType != 97 || string(p.GetExtension(4)) != "1" {
			t.Errorf("got payload type %d, mid %q", p.PayloadType, p.GetExtension(4))
		}
	}
	if d := got[1].Timestamp - got[0].Timestamp; d != 9000 {
		t.Errorf("got timestamps %d apart, want those of the originals", d)
	}
	if st := v.Stats(); st.NACKs != 2 || st.Retransmitted != 2 || st.Packets != 8 {
		t.Errorf("got statistics %+v", st)
	}
}

func TestNACKAnsweredByIdenticalPacket(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			_, v, far := start(t, tc.profile, defaultStreams())
			s := v.Stream("video")
			s.next = 1<<16 - 2 // the outgoing numbers wrap: the resend needs the old rollover counter
			src := newTrack(90000)
			s.Bind(src, plainFormat, nil)
			for i := range uint64(5) {
				p := src.packet(base+i, 0, "payload")
				p.Key = i == 0
				p.Extensions = []HeaderExtension{{ExtensionOrientation, []byte{byte(i)}}}
				s.Write(p)
			}
			sent := far.take()[1:]
			far.nack(v, videoSSRC, 65535)
			again := far.take()
			if len(again) != 1 || !bytes.Equal(again[0].sealed, sent[1].sealed) {
				t.Fatalf("got %d datagrams, want one, identical to the first transmission", len(again))
			}
		})
	}
}

func TestNACKIgnored(t *testing.T) {
	v, far, src, first := playing(t, videoFormat, 4)
	for _, tc := range []struct {
		name string
		ssrc uint32
		seq  uint16
	}{
		{"unknown SSRC", 0xdeadbeef, first},
		{"SSRC of the retransmissions", videoRTX, first},
		{"stream never bound", audioSSRC, first},
		{"before the first", videoSSRC, first - 1},
		{"not sent yet", videoSSRC, first + 4},
		{"half the numbers away", videoSSRC, first + 1<<15},
	} {
		t.Run(tc.name, func(t *testing.T) {
			far.nack(v, tc.ssrc, tc.seq)
			if got := far.take(); len(got) != 0 {
				t.Errorf("got %d datagrams, want none", len(got))
			}
		})
	}
	src.mu.Lock()
	delete(src.ring, base+1)
	src.mu.Unlock()
	far.nack(v, videoSSRC, first+1)
	if got := far.take(); len(got) != 0 {
		t.Errorf("got %d datagrams for a packet that is gone", len(got))
	}

	f := plainFormat
	f.NACK = false
	v, far, _, first = playing(t, f, 2)
	far.nack(v, videoSSRC, first)
	if got := far.take(); len(got) != 0 {
		t.Errorf("got %d datagrams where NACK was not negotiated", len(got))
	}
}

func TestNACKLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, far, _, first := playing(t, videoFormat, 4)
		far.nack(v, videoSSRC, first+1, first+1)
		far.nack(v, videoSSRC, first+1)
		if got := far.takeRTP(videoRTX); len(got) != 1 {
			t.Errorf("got %d answers at once, want 1", len(got))
		}
		for range 10 {
			time.Sleep(minAnswerGap)
			far.nack(v, videoSSRC, first+1)
		}
		if got := far.takeRTP(videoRTX); len(got) != maxAnswers-1 {
			t.Errorf("got %d further answers, want %d", len(got), maxAnswers-1)
		}
		// Once the round trip is known, half of it must go by.
		v.mu.Lock()
		v.stats.RTT = 200 * time.Millisecond
		v.mu.Unlock()
		for range 10 { // 90 ms
			far.nack(v, videoSSRC, first+2)
			time.Sleep(minAnswerGap)
		}
		if got := far.takeRTP(videoRTX); len(got) != 1 {
			t.Errorf("got %d answers within half a round trip, want 1", len(got))
		}
		// The table of answers goes when nobody has asked for a while.
		time.Sleep(keepAnswers + 3*time.Second)
		v.mu.Lock()
		if v.Stream("video").answers != nil {
			t.Error("the answers are kept for ever")
		}
		v.mu.Unlock()
		_ = v.plane.Close()
	})
}

func TestNACKBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, far := start(t, gcm, defaultStreams())
		src := newTrack(90000)
		s := v.Stream("video")
		s.Bind(src, videoFormat, nil)
		payload := strings.Repeat("x", 1000)
		var sent int
		for i := range 2000 {
			p := src.packet(base+uint64(i), uint32(i)*3000, payload)
			p.Key = i == 0
			s.Write(p)
			sent += len(payload)
		}
		packets := far.takeRTP(videoSSRC)
		for range 5 {
			for i := 0; i < len(packets); i += 16 {
				var seqs []uint16
				for _, p := range packets[i:min(i+16, len(packets))] {
					seqs = append(seqs, p.SequenceNumber)
				}
				far.nack(v, videoSSRC, seqs...)
			}
			time.Sleep(minAnswerGap)
		}
		var again int
		for _, p := range far.takeRTP(videoRTX) {
			again += len(p.Payload) - 2
		}
		// What the reserve holds cannot be more than its cap.
		if again == 0 || again > maxRepair+repairPerSec {
			t.Errorf("got %d bytes again for %d sent, want at most %d", again, sent, maxRepair)
		}
		_ = v.plane.Close()
	})
}

func TestNACKNamesThousands(t *testing.T) {
	v, far, _, first := playing(t, videoFormat, 4)
	pairs := make([]rtcp.NackPair, 250)
	for i := range pairs {
		pairs[i] = rtcp.NackPair{PacketID: first, LostPackets: 0xffff}
	}
	if err := v.HandleRTCP(far.seal(&rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: pairs})); err != nil {
		t.Fatal(err)
	}
	if st := v.Stats(); st.NACKs > maxNACKs || st.Retransmitted != 4 {
		t.Errorf("got %d numbers looked at and %d packets sent, want at most %d and 4", st.NACKs, st.Retransmitted, maxNACKs)
	}
}

// A NACK after changes of numbering must find the right packet of the right
// source.
func TestNACKAfterRebase(t *testing.T) {
	_, v, far := start(t, gcm, defaultStreams())
	s := v.Stream("video")
	first, second := newTrack(90000), newTrack(90000)
	s.Bind(first, videoFormat, nil)
	s.Write(first.key(base, 0, "a0"))
	s.Write(first.packet(base+1, 0, ""))
	s.Write(first.packet(base+2, 0, "a2"))
	s.Bind(second, videoFormat, nil)
	s.Write(second.key(base, 0, "b0")) // the same numbers
	s.Write(second.packet(base+2, 0, "b2"))
	s.Write(second.packet(base+30000, 0, "far"))

	sent := far.takeRTP(videoSSRC)
	for i, want := range strings.Fields("a0 a2 b0 b2 far") {
		if got := string(sent[i].Payload); got != want {
			t.Fatalf("got packets %q", payloads(sent))
		}
		far.nack(v, videoSSRC, sent[i].SequenceNumber)
		got := far.takeRTP(videoRTX)
		if len(got) != 1 || string(got[0].Payload[2:]) != want {
			t.Errorf("NACK of %q: got %q", want, payloads(got))
			continue
		}
		if got[0].Timestamp != sent[i].Timestamp {
			t.Errorf("NACK of %q: got timestamp %d, want %d", want, got[0].Timestamp, sent[i].Timestamp)
		}
	}
	// The hole that was left for a packet that came late is filled on demand.
	second.packet(base+1, 0, "b1")
	far.nack(v, videoSSRC, sent[3].SequenceNumber-1)
	if got := far.takeRTP(videoSSRC); payloads(got) != "b1" {
		t.Errorf("got %q for the hole, want b1 as a first transmission", payloads(got))
	}
	s.Write(second.Packet(base + 1))
	if got := far.take(); len(got) != 0 {
		t.Errorf("got %d datagrams when it came late, want none: it was sent", len(got))
	}
}

// A source that gives another packet under an old number must not get it sealed
// under the old index.
func TestNACKOfChangedPacket(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Packet)
	}{
		{"payload", func(p *Packet) { p.Payload = []byte("other") }},
		{"timestamp", func(p *Packet) { p.Timestamp++ }},
		{"marker", func(p *Packet) { p.Marker = true }},
		{"extension added", func(p *Packet) { p.Extensions = []HeaderExtension{{ExtensionOrientation, []byte{1}}} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, far, src, first := playing(t, plainFormat, 3)
			changed := new(Packet)
			src.Packet(base + 1).CopyTo(changed)
			tc.change(changed)
			src.mu.Lock()
			src.ring[base+1] = changed
			src.mu.Unlock()
			far.nack(v, videoSSRC, first+1)
			if got := far.take(); len(got) != 0 {
				t.Errorf("got %d datagrams, want none", len(got))
			}
			far.nack(v, videoSSRC, first+2)
			if got := far.take(); len(got) != 1 {
				t.Errorf("got %d datagrams for a packet that is unchanged, want 1", len(got))
			}
		})
	}
}

// A source bound again may have begun anew: its numbers mean other packets.
func TestNACKAfterSameSourceIsBoundAgain(t *testing.T) {
	v, far, src, first := playing(t, videoFormat, 3)
	s := v.Stream("video")
	s.Bind(src, videoFormat, nil)
	s.Write(src.key(base, 0, "anew"))
	far.take()
	far.nack(v, videoSSRC, first)
	if got := far.take(); len(got) != 0 {
		t.Errorf("got %d datagrams for a packet of before, want none", len(got))
	}
	far.nack(v, videoSSRC, first+3)
	if got := far.takeRTP(videoRTX); len(got) != 1 || string(got[0].Payload[2:]) != "anew" {
		t.Errorf("got %q, want the packet of now", payloads(got))
	}
}

// It may be bound again while a NACK is being answered, too.
func TestNACKWhileSameSourceIsBoundAgain(t *testing.T) {
	v, far, src, first := playing(t, videoFormat, 3)
	s := v.Stream("video")
	v.mu.Lock()
	lost, ok := v.find(videoSSRC, first+1)
	v.mu.Unlock()
	if !ok {
		t.Fatal("the packet is not found")
	}
	s.Bind(src, videoFormat, nil)
	v.resend(videoSSRC, []lookup{lost}, time.Now())
	if got := far.take(); len(got) != 0 {
		t.Errorf("got %d datagrams, want none", len(got))
	}
}

func TestHistoryIsBounded(t *testing.T) {
	_, v, far := start(t, gcm, defaultStreams())
	s := v.Stream("audio")
	src := newTrack(48000)
	s.Bind(src, audioFormat, nil)
	for i := range uint64(4 * maxSegments) {
		s.Write(src.packet(base+3*i, 0, "x"))
		s.Write(src.packet(base+3*i+1, 0, ""))
		s.Write(src.packet(base+3*i+2, 0, "y"))
	}
	if got := far.takeRTP(audioSSRC); len(got) != 8*maxSegments {
		t.Fatalf("got %d packets, want %d", len(got), 8*maxSegments)
	} else {
		inSequence(t, got)
	}
	if n := len(s.past.segments); n > maxSegments {
		t.Errorf("got %d segments, want at most %d", n, maxSegments)
	}
}

// No two packets may ever be sealed under one index: with GCM that gives the
// authentication key away.
func TestIndexIsNeverUsedTwice(t *testing.T) {
	for _, f := range []Format{videoFormat, plainFormat} {
		_, v, far := start(t, gcm, defaultStreams())
		seen := map[uint64]string{} // SSRC and sequence number; fewer than 65536 packets
		far.onRTP = func(sealed []byte, p *rtp.Packet) {
			id := uint64(p.SSRC)<<16 | uint64(p.SequenceNumber)
			if was, ok := seen[id]; ok && was != string(sealed) {
				t.Errorf("SSRC %x sequence number %d was sealed with two contents", p.SSRC, p.SequenceNumber)
			}
			seen[id] = string(sealed)
		}
		s := v.Stream("video")
		rng := newRand(7)
		for range 20 {
			src := newTrack(90000)
			var backlog []*Packet
			at := base + rng(1000)
			if rng(2) == 0 {
				backlog = []*Packet{src.key(at, 0, "backlog"), src.packet(at+1, 0, "backlog 2")}
				at += 2
			}
			s.Bind(src, f, backlog)
			for range 60 {
				seq := at + rng(40) - rng(20)
				p := src.Packet(seq) // a duplicate is the same packet
				if p == nil {
					payload := "x" + itoa(int64(rng(100000)))
					if rng(5) == 0 {
						payload = ""
					}
					p = src.packet(seq, uint32(seq)*90, payload)
					p.Key = rng(4) == 0
				}
				s.Write(p)
				if rng(3) == 0 {
					v.mu.Lock()
					next := s.next
					v.mu.Unlock()
					far.nack(v, videoSSRC, uint16(next-rng(30)))
				}
				if rng(3) == 0 {
					s.paceNow()
				}
				at++
			}
		}
		_ = v.plane.Close()
		far.mu.Lock()
		if len(seen) < 300 {
			t.Errorf("got %d packets, want enough to mean something", len(seen))
		}
		far.mu.Unlock()
	}
}

// newRand is a small generator with a fixed seed: the same test each time.
func newRand(seed uint64) func(n uint64) uint64 {
	return func(n uint64) uint64 {
		seed = seed*6364136223846793005 + 1442695040888963407
		return seed >> 33 % n
	}
}
