package egress

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pion/rtp"
)

// collector is a PacketWriter that keeps what it is given.
type collector struct {
	got  []string
	to   []netip.AddrPort
	fail error
}

func (c *collector) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if c.fail != nil {
		return 0, c.fail
	}
	c.got, c.to = append(c.got, string(b)), append(c.to, to)
	return len(b), nil
}

// put adds a datagram of n bytes, all of them c.
func (b *batch) put(to *endpoint, c byte, n int) {
	copy(b.room(), bytes.Repeat([]byte{c}, n))
	b.add(to, n)
}

// runs describes what is in a batch: "endpoint:segment*count" with the last
// datagram's length behind it when it is shorter.
func (b *batch) runs(endpoints ...*endpoint) string {
	var all []string
	for _, m := range b.messages {
		s := itoa(int64(slices.Index(endpoints, m.to))) + ":" + itoa(int64(m.segment)) + "*" + itoa(int64(m.count))
		if last := m.end - m.start - (m.count-1)*m.segment; last != m.segment {
			s += "," + itoa(int64(last))
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func TestBatchMerges(t *testing.T) {
	type datagram struct{ to, size int }
	repeat := func(d datagram, n int) []datagram { return slices.Repeat([]datagram{d}, n) }
	for _, tc := range []struct {
		name string
		give []datagram
		want string
	}{
		{"one", []datagram{{0, 100}}, "0:100*1"},
		{"equal", []datagram{{0, 100}, {0, 100}, {0, 100}}, "0:100*3"},
		{"a shorter one ends the run", []datagram{{0, 100}, {0, 100}, {0, 60}, {0, 60}}, "0:100*3,60 0:60*1"},
		{"a longer one begins another", []datagram{{0, 60}, {0, 100}, {0, 100}}, "0:60*1 0:100*2"},
		{"viewers do not share", []datagram{{0, 100}, {1, 100}, {0, 100}}, "0:100*1 1:100*1 0:100*1"},
		{"what is too long for a frame goes alone", []datagram{{0, 1453}, {0, 1453}, {0, 1452}, {0, 1452}}, "0:1453*1 0:1453*1 0:1452*2"},
		{"not more than the kernel cuts up", repeat(datagram{0, 100}, 70), "0:100*64 0:100*6"},
		{"not more than it takes at once", repeat(datagram{0, 1400}, 50), "0:1400*46 0:1400*4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSocket(&collector{})
			b := newBatch(s, new(counters), shardArena, shardMessages)
			endpoints := []*endpoint{newEndpoint(s, viewerAddr), newEndpoint(s, viewerAddr)}
			for i, d := range tc.give {
				b.put(endpoints[d.to], byte(i), d.size)
			}
			if got := b.runs(endpoints...); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// What goes out is what was put in, in the same order, however it was merged and
// whenever the batch was full.
func TestBatchKeepsAll(t *testing.T) {
	c := &collector{}
	s := newSocket(c)
	count := new(counters)
	b := newBatch(s, count, 4*bufferSize, 3)
	one, other := newEndpoint(s, viewerAddr), newEndpoint(s, netip.MustParseAddrPort("192.0.2.2:6000"))
	var want []string
	random := newRand(3)
	for i := range 500 {
		to := one
		if random(3) == 0 {
			to = other
		}
		n := int(1 + random(3)*600)
		want = append(want, to.addr.String()+strings.Repeat(string(rune('a'+i%26)), n))
		b.put(to, byte('a'+i%26), n)
	}
	b.flush()
	b.flush() // of nothing
	if len(c.got) != len(want) {
		t.Fatalf("got %d datagrams, want %d", len(c.got), len(want))
	}
	for i, w := range want {
		if got := c.to[i].String() + c.got[i]; got != w {
			t.Fatalf("datagram %d: got %.40s of %d bytes, want %.40s of %d", i, got, len(got), w, len(w))
		}
	}
	if n := count.dropped.Load() + count.failed.Load(); n != 0 {
		t.Errorf("%d counted as lost, want none", n)
	}
	if len(b.messages) != 0 || b.messages[:1][0].to != nil {
		t.Error("a flushed batch still knows viewers, who may have left")
	}
}

func TestBatchCountsLosses(t *testing.T) {
	for _, tc := range []struct {
		fail            error
		dropped, failed uint64
	}{{syscall.EAGAIN, 3, 0}, {syscall.ENOBUFS, 3, 0}, {syscall.EPERM, 0, 3}} {
		s := newSocket(&collector{fail: tc.fail})
		count := new(counters)
		b := newBatch(s, count, shardArena, shardMessages)
		to := newEndpoint(s, viewerAddr)
		for range 3 {
			b.put(to, 'x', 100)
		}
		b.flush()
		if d, f := count.dropped.Load(), count.failed.Load(); d != tc.dropped || f != tc.failed {
			t.Errorf("%v: got %d dropped and %d failed, want %d and %d", tc.fail, d, f, tc.dropped, tc.failed)
		}
	}
}

// slowPipe is a DatagramWriter with room for some datagrams.
type slowPipe struct {
	room int
	got  []string
}

func (p *slowPipe) WriteDatagram(b []byte) bool {
	if len(p.got) == p.room {
		return false
	}
	p.got = append(p.got, string(b))
	return true
}

// A viewer reached another way gets the same stream, sealed by the same keys
// under the same numbers; what does not fit is dropped like on a full socket.
func TestMoveTo(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			plane, v, far := start(t, tc.profile, defaultStreams())
			src := newTrack(90000)
			src.silent = true // no sender reports in between
			s := v.Stream("video")
			s.Bind(src, videoFormat, nil)
			s.Write(src.key(base, 0, "over UDP"))
			plane.settle()
			pipe := &slowPipe{room: 2}
			v.MoveTo(pipe)
			for i, payload := range []string{"one", "two", "none"} {
				s.Write(src.packet(base+1+uint64(i), 0, payload))
			}
			plane.settle()
			if st := plane.Stats(); len(pipe.got) != 2 || st.Dropped != 1 {
				t.Fatalf("got %d datagrams and %d dropped, want 2 and 1", len(pipe.got), st.Dropped)
			}
			v.Move(viewerAddr)
			s.Write(src.packet(base+4, 0, "UDP again"))
			plane.settle()
			for _, sealed := range pipe.got {
				_, _ = far.WriteToUDPAddrPort([]byte(sealed), viewerAddr) // opens it
			}
			got := far.takeRTP(videoSSRC)
			slices.SortFunc(got, func(a, b *rtp.Packet) int { return int(int16(a.SequenceNumber - b.SequenceNumber)) })
			if p := payloads(got); p != "over UDP one two UDP again" {
				t.Errorf("got packets %q", p)
			}
			if n := len(got); n != 4 || got[3].SequenceNumber-got[0].SequenceNumber != 4 {
				t.Error("the dropped packet left no gap")
			}
		})
	}
}
