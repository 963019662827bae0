package egress

import (
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/rtcp"
)

// A log is as large as what is in flight needs, and no larger than its bound.
func TestSendLogGrows(t *testing.T) {
	for _, tc := range []struct {
		name  string
		every time.Duration
		told  bool // reported 50 packets later
		want  int
	}{
		{"reported in time", time.Millisecond, true, minSendLog},
		{"few in flight", 100 * time.Millisecond, false, minSendLog},
		{"reported late", 5 * time.Millisecond, false, 256}, // 200 a second
		{"never reported", 100 * time.Microsecond, false, maxSendLog},
	} {
		l := &sendLog{}
		for i := range 5000 {
			l.sent(uint16(63000+i), 1200, epoch.Add(time.Duration(i)*tc.every))
			if e := l.find(uint16(63000 + i - 50)); tc.told && e != nil {
				e.told = true
			}
			newest := min(i+1, minSendLog)
			for back := range newest { // what it grew by was kept
				e := l.find(uint16(63000 + i - back))
				if want := time.Duration(i-back) * tc.every; e == nil || l.sentAt(e) != want || e.size != 1200 {
					t.Fatalf("%s: packet %d of %d: got %+v, want it sent after %v", tc.name, i-back, i, e, want)
				}
			}
		}
		if len(l.entries) != tc.want {
			t.Errorf("%s: got room for %d packets, want %d", tc.name, len(l.entries), tc.want)
		}
	}
	if size := unsafe.Sizeof(sentPacket{}); size != 8 {
		t.Errorf("got %d bytes a packet, want 8", size)
	}
}

// The time of sending is kept in 32 bits, and right beyond these.
func TestSendLogTimeWraps(t *testing.T) {
	l := &sendLog{}
	for i := range 3 {
		l.sent(uint16(i), 100, epoch.Add(time.Duration(i)*time.Hour))
	}
	if got := l.sentAt(l.find(2)); got != 2*time.Hour {
		t.Errorf("got %v, want 2h", got)
	}
	if got := l.sentAt(l.find(1)); got != time.Hour {
		t.Errorf("got %v, want 1h", got)
	}
}

// Of packets that did not come, those count which were sent; a run of them is
// not walked.
func TestSendLogMissing(t *testing.T) {
	l := &sendLog{}
	if got := l.untold(0, 65535); got != 0 {
		t.Errorf("nothing sent: got %d, want 0", got)
	}
	for i := range 100 {
		l.sent(uint16(65500+i), 100, epoch)
	}
	l.find(65510).told = true
	for _, tc := range []struct {
		seq     uint16
		n, want int
	}{
		{65500, 100, 99},
		{65509, 3, 2},
		{65490, 10, 0},
		{65490, 11, 1},
		{64, 65535, 98},
		{63, 65535, 98},
		{65501, 65535, 98},
		{50, 1000, 14},
		{0, 65535, 98},
	} {
		if got := l.untold(tc.seq, tc.n); got != tc.want {
			t.Errorf("%d packets from %d on: got %d lost, want %d", tc.n, tc.seq, got, tc.want)
		}
	}
}

// A datagram that tells of millions of packets costs about what any other does.
func TestTransportFeedbackOfMillions(t *testing.T) {
	_, v, far := startTo(t, nowhere{}, gcm)
	log := &sendLog{}
	v.Stream("video").catchup = &catchup{running: true, pacing: true, log: log}
	for i := range uint16(40) {
		log.sent(i, 1000, epoch)
	}
	run := &rtcp.RunLengthChunk{Type: rtcp.TypeTCCRunLengthChunk, PacketStatusSymbol: rtcp.TypeTCCPacketNotReceived, RunLength: 8191}
	cc := &rtcp.TransportLayerCC{SenderSSRC: 1, PacketStatusCount: 65528, PacketChunks: slices.Repeat([]rtcp.PacketStatusChunk{run}, 8)}
	cc.Header = rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 8}
	raw, err := cc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	visits := 0
	f, err := parseTransportFeedback(raw)
	if err != nil {
		t.Fatal(err)
	}
	f.each(func(uint16, int) { visits++ }, func(uint16, time.Duration) { visits++ })
	if visits != 8 {
		t.Errorf("got %d visits, want one for each of 8 chunks", visits)
	}
	if err := v.HandleRTCP(far.sealRaw(slices.Repeat(raw, 40))); err != nil {
		t.Fatal(err)
	}
	if r, ok := log.report(f); ok || r.lost != 40 {
		t.Errorf("got %d lost of 40 sent, received any: %v", r.lost, ok)
	}
}
