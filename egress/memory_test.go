package egress

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/rtcp"
)

// TestJoiningViewerMemory holds what a viewer costs at its dearest: it catches up
// under transport-wide feedback, and misses packets.
func TestJoiningViewerMemory(t *testing.T) {
	const viewers, limit = 300, 10 << 10
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			far := newFarEnd(t, tc.profile)
			plane := newPlane(discard, nowhere{})
			t.Cleanup(func() { _ = plane.Close() })
			audio, video := newTrack(48000), newTrack(90000)
			backlog := []*Packet{video.key(base, 0, string(make([]byte, 1000)))}
			for i := range uint64(100) {
				backlog = append(backlog, video.packet(base+1+i, uint32(i)*300, string(make([]byte, 1000))))
			}
			sound := audio.packet(base, 0, "s")
			before := heap()
			all := make([]*Viewer, viewers)
			for i := range all {
				v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
				if err := v.Start(far.keys, viewerAddr); err != nil {
					t.Fatal(err)
				}
				v.Stream("audio").Bind(audio, Format{PayloadType: 111, ClockRate: 48000}, nil)
				v.Stream("audio").Write(sound)
				s := v.Stream("video")
				s.next, s.reached = 100, 100
				s.Bind(video, videoFormat, backlog)
				all[i] = v
			}
			plane.paceNow(time.Now())
			nack := far.seal(&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: 101, LostPackets: 3}}})
			for _, v := range all {
				if err := v.HandleRTCP(append(make([]byte, 0, len(nack)), nack...)); err != nil {
					t.Fatal(err)
				}
			}
			if st := plane.Stats(); st.CatchingUp != viewers || st.Retransmitted != 3*viewers {
				t.Fatalf("got %+v, want %d that catch up, each with 3 packets sent again", st, viewers)
			}
			each := int64(heap()-before) / viewers
			t.Logf("%d bytes a viewer, %d of them the queue", each, unsafe.Sizeof(backlog[0])*uintptr(cap(all[0].Stream("video").catchup.queue)))
			if each > limit {
				t.Errorf("got %d bytes a viewer, want at most %d", each, limit)
			}
			runtime.KeepAlive(all)
		})
	}
}

// A packet is counted apart from those that share its entry.
func TestAnswersOfPackets(t *testing.T) {
	a := &answers{}
	const index = 5<<30 + 17
	steps := []struct {
		index uint64
		at    time.Duration
		want  bool
	}{
		{index, 70 * time.Second, true},
		{index, 70*time.Second + 9*time.Millisecond, false}, // too soon
		{index, 70*time.Second + 10*time.Millisecond, true},
		{index + 1, 70*time.Second + 10*time.Millisecond, true},
		{index, 131070 * time.Millisecond, true}, // the low bits of the time begin anew next
		{index, 131079 * time.Millisecond, false},
		{index, 131080 * time.Millisecond, true},
		{index, 131090 * time.Millisecond, true},
		{index, 131100 * time.Millisecond, true},
		{index, 131110 * time.Millisecond, false},      // often enough
		{index + 256, 131110 * time.Millisecond, true}, // takes the entry
		{index + 256, 131119 * time.Millisecond, false},
		{index + 256, 131120 * time.Millisecond, true},
		{index + maxNACKAge, 131120 * time.Millisecond, true},
	}
	for i, s := range steps {
		if got := a.allow(s.index, s.at, 10*time.Millisecond); got != s.want {
			t.Errorf("step %d: got %v, want %v", i, got, s.want)
		}
	}
	if maxAnswers >= 1<<answerBits {
		t.Errorf("%d answers are counted in %d bits", maxAnswers, answerBits)
	}
	if size := unsafe.Sizeof(answers{}); size > 1152 { // what it is rounded up to
		t.Errorf("got %d bytes, want at most 1152", size)
	}
}
