package egress

import (
	"slices"
	"testing"
	"time"
)

// A backlog belongs to all who join since its keyframe: a stream reads it and
// keeps nothing of its own but what comes behind it.
func TestCatchupSharesItsBacklog(t *testing.T) {
	const packets = 3000
	backlog := make([]*Packet, packets)
	for i := range backlog {
		backlog[i] = &Packet{Seq: 1<<16 + uint64(i), Timestamp: uint32(i / 3 * 3000), Marker: i%3 == 2, Payload: make([]byte, 10)}
	}
	backlog[0].Key = true
	before := slices.Clone(backlog)
	s := &Stream{kind: "video", current: &binding{format: videoFormat}}
	if got := testing.AllocsPerRun(100, func() { newCatchup(s, backlog) }); got > 1 {
		t.Errorf("%v allocations to begin, want 1 of fixed size", got)
	}
	c := newCatchup(s, backlog)
	if c.len() != packets || c.bytes != 10*packets || c.total != 10*packets {
		t.Errorf("%d packets of %d bytes in all wait, want %d of %d", c.len(), c.bytes, packets, 10*packets)
	}
	live := &Packet{Seq: 1<<16 + packets, Timestamp: packets * 1000, Payload: make([]byte, 5)}
	if !c.push(live) {
		t.Fatal("a live packet was refused")
	}
	for i := range packets - 1 {
		if got := c.pop(); got != before[i] {
			t.Fatalf("packet %d: got number %d, want %d", i, got.Seq, before[i].Seq)
		}
	}
	if c.len() != 2 || c.bytes != 15 {
		t.Errorf("%d packets of %d bytes wait, want the last of the backlog and the live one", c.len(), c.bytes)
	}
	if first, second := c.pop(), c.pop(); first != before[packets-1] || second != live || c.len() != 0 || c.bytes != 0 {
		t.Errorf("got %d and %d, want the end of the backlog and the live packet", first.Seq, second.Seq)
	}
	// A jump leaves the rest of the backlog out, but for a frame sent in part.
	c = newCatchup(s, backlog)
	c.pop()
	c.push(&Packet{Seq: 1<<16 + packets, Timestamp: packets * 1000, Key: true, Payload: make([]byte, 7)})
	if c.len() != 3 || c.pop() != before[1] || c.pop() != before[2] || !c.pop().Key || c.bytes != 0 {
		t.Error("the jump did not keep the rest of the frame, and the keyframe")
	}
	if !slices.Equal(backlog, before) {
		t.Error("the backlog was written to")
	}
}

// BenchmarkJoin is the beginning of a stream with a backlog of twelve seconds.
func BenchmarkJoin(b *testing.B) {
	backlog := newCamera(2_500_000, 12*30).backlog(12 * time.Second)
	s := &Stream{kind: "video", current: &binding{format: videoFormat}}
	b.ReportAllocs()
	for b.Loop() {
		newCatchup(s, backlog)
	}
}
