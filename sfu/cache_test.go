package sfu

import (
	"slices"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/egress"
)

func seqsOf(packets []*egress.Packet) []uint64 {
	var s []uint64
	for _, p := range packets {
		s = append(s, p.Seq)
	}
	return s
}

func TestCacheKeepsOrder(t *testing.T) {
	var c cache
	at := time.Now()
	add := func(seqs ...uint64) {
		for _, s := range seqs {
			c.add(&egress.Packet{Seq: s, Payload: []byte{1}, Arrived: at})
		}
	}
	add(9) // nothing to belong to
	if c.lend() != nil {
		t.Error("a group without keyframe")
	}
	c.begin(&egress.Packet{Seq: 10, Payload: []byte{1}, Arrived: at})
	add(11, 14, 13, 16, 9)
	lent := c.lend()
	add(12, 15)
	if got := seqsOf(lent); !slices.Equal(got, []uint64{10, 11, 13, 14, 16}) {
		t.Errorf("what was lent has changed: %v", got)
	}
	if got := seqsOf(c.lend()); !slices.Equal(got, []uint64{10, 11, 12, 13, 14, 15, 16}) {
		t.Errorf("got %v", got)
	}
	if c.bytes != 7 || c.age(at.Add(time.Second)) != time.Second {
		t.Errorf("%d bytes, age %v", c.bytes, c.age(at.Add(time.Second)))
	}
	lent = c.lend()
	c.begin(&egress.Packet{Seq: 20, Arrived: at})
	add(21)
	if got := seqsOf(lent); !slices.Equal(got, []uint64{10, 11, 12, 13, 14, 15, 16}) {
		t.Errorf("what was lent has changed with the next keyframe: %v", got)
	}
	if got := seqsOf(c.lend()); !slices.Equal(got, []uint64{20, 21}) {
		t.Errorf("got %v", got)
	}
	if lent = c.lend(); cap(lent) != len(lent) {
		t.Error("who appends to what was lent writes into the cache")
	}
}

func TestCacheForgetsWhatIsTooMuch(t *testing.T) {
	at := time.Now()
	big := make([]byte, 1<<20)
	cases := map[string]func(i uint64) *egress.Packet{
		"packets": func(i uint64) *egress.Packet { return &egress.Packet{Seq: i, Arrived: at} },
		"bytes":   func(i uint64) *egress.Packet { return &egress.Packet{Seq: i, Arrived: at, Payload: big} },
		"age": func(i uint64) *egress.Packet {
			return &egress.Packet{Seq: i, Arrived: at.Add(time.Duration(i) * time.Second)}
		},
	}
	limits := map[string]uint64{"packets": cachePackets, "bytes": cacheBytes >> 20, "age": uint64(cacheAge/time.Second) + 1}
	for name, packet := range cases {
		t.Run(name, func(t *testing.T) {
			var c cache
			c.begin(packet(0))
			for i := uint64(1); i < limits[name]; i++ {
				c.add(packet(i))
			}
			if len(c.packets) != int(limits[name]) {
				t.Fatalf("%d packets at the limit, want %d", len(c.packets), limits[name])
			}
			c.add(packet(limits[name]))
			if c.lend() != nil || c.bytes != 0 {
				t.Errorf("beyond the limit: %d packets, %d bytes", len(c.packets), c.bytes)
			}
			c.add(packet(limits[name] + 1))
			if c.lend() != nil {
				t.Error("a group that was cut off goes on")
			}
		})
	}
}
