package egress

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// What is built is, byte for byte, what pion builds.
func TestBuiltRTCPAgreesWithPion(t *testing.T) {
	chunk := func(ssrc uint32, cname string) rtcp.SourceDescriptionChunk {
		return rtcp.SourceDescriptionChunk{Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: cname}}}
	}
	report := senderReport{ssrc: 0xfedcba98, ntp: 0x0123456789abcdef, timestamp: 0xf0000001, packets: 3, octets: 1 << 31}
	type test struct {
		name string
		got  []byte
		want rtcp.Packet
	}
	tests := []test{
		{"sender report", appendSenderReport(nil, report), &rtcp.SenderReport{
			SSRC: report.ssrc, NTPTime: report.ntp, RTPTime: report.timestamp, PacketCount: report.packets, OctetCount: report.octets,
		}},
		{"empty report", appendEmptyReport(nil, 7), &rtcp.ReceiverReport{SSRC: 7}},
		{"goodbye", appendGoodbye(nil, []uint32{1, 0xffffffff}), &rtcp.Goodbye{Sources: []uint32{1, 0xffffffff}}},
		{"too long a name", appendDescription(nil, strings.Repeat("n", 300), []uint32{1}), &rtcp.SourceDescription{
			Chunks: []rtcp.SourceDescriptionChunk{chunk(1, strings.Repeat("n", maxCNAME))},
		}},
	}
	for n := range 9 { // every filling
		cname := strings.Repeat("c", n)
		tests = append(tests, test{"description of " + cname, appendDescription(nil, cname, []uint32{1, 0xfedcba98}), &rtcp.SourceDescription{
			Chunks: []rtcp.SourceDescriptionChunk{chunk(1, cname), chunk(0xfedcba98, cname)},
		}})
	}
	for _, tc := range tests {
		want, err := tc.want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if string(tc.got) != string(want) {
			t.Errorf("%s: got %x, want %x", tc.name, tc.got, want)
		}
	}
}

// The longest compounds fit a datagram.
func TestBuiltRTCPIsBounded(t *testing.T) {
	var long []byte
	for range maxStreams {
		long = appendSenderReport(long, senderReport{})
	}
	name := strings.Repeat("n", 1000)
	long = appendDescription(long, name, make([]uint32, maxStreams))
	if len(long) > maxCompound || maxCompound+rtcpOverhead > bufferSize {
		t.Errorf("got %d bytes, want at most %d, and that to fit %d with the tag", len(long), maxCompound, bufferSize)
	}
}

// Both streams report in one datagram, which says of each what its own would,
// and in an order that pion calls valid.
func TestReportsTogether(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			_, v, far := startTo(t, nil, tc.profile)
			far.take()
			out := v.plane.borrow(v)
			now := time.Now()
			for range 2 {
				if !v.report(out, now) {
					t.Error("the viewer is said to have stopped")
				}
			}
			v.plane.giveBack(out)
			got := far.take()
			if len(got) != 2 {
				t.Fatalf("got %d datagrams of two times two reports, want 2", len(got))
			}
			for _, r := range got {
				if err := rtcp.CompoundPacket(r.rtcp).Validate(); err != nil {
					t.Errorf("got %v: %v", r.rtcp, err)
				}
				name := []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "gateway"}}
				a, ok := r.rtcp[0].(*rtcp.SenderReport)
				b, both := r.rtcp[2].(*rtcp.SenderReport)
				if !ok || !both || a.SSRC != audioSSRC || b.SSRC != videoSSRC || a.PacketCount != 1 || b.PacketCount != 41 || b.OctetCount != 41_000 {
					t.Errorf("got reports %v and %v", r.rtcp[0], r.rtcp[2])
				}
				want := &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: audioSSRC, Items: name}, {Source: videoSSRC, Items: name}}}
				if !reflect.DeepEqual(r.rtcp[1], want) {
					t.Errorf("got %v, want %v", r.rtcp[1], want)
				}
				if a.NTPTime != ntpTime(now) || b.NTPTime != a.NTPTime {
					t.Errorf("got times %x and %x, want %x", a.NTPTime, b.NTPTime, ntpTime(now))
				}
			}
			// One of them alone, once the other is not sent any more.
			v.Stream("audio").Unbind(v.Stream("audio").current.source)
			out = v.plane.borrow(v)
			v.report(out, now)
			v.plane.giveBack(out)
			got = far.take()
			if len(got) != 1 || len(got[0].rtcp) != 2 {
				t.Fatalf("got %v, want one report", got)
			}
			if sr, ok := got[0].rtcp[0].(*rtcp.SenderReport); !ok || sr.SSRC != videoSSRC {
				t.Errorf("got %v, want the report of the video", got[0].rtcp[0])
			}
		})
	}
}

func TestReportAllocations(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			_, v, _ := startTo(t, nowhere{}, tc.profile)
			out := newBatch(v.shard.socket, &v.plane.count, answerArena, answerMessages)
			now := time.Now()
			got := testing.AllocsPerRun(200, func() {
				v.report(out, now)
				if len(out.messages) != 1 {
					t.Fatalf("got %d reports, want 1", len(out.messages))
				}
				out.flush()
			})
			if got != 0 {
				t.Errorf("got %v allocations a report, want none", got)
			}
		})
	}
}

func BenchmarkReport(b *testing.B) {
	for _, tc := range profiles {
		b.Run(tc.name, func(b *testing.B) {
			_, v, _ := startTo(b, nowhere{}, tc.profile)
			out := newBatch(v.shard.socket, &v.plane.count, answerArena, answerMessages)
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				v.report(out, now)
			}
		})
	}
}
