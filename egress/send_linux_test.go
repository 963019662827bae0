package egress

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// sendBuffer is that of the sockets that benchmarks send by.
const sendBuffer = 4 << 20

// sink is a socket to send by, and receivers who read nothing: their buffers are
// full at once, so that receiving costs the sender no more than the attempt.
func sink(t testing.TB, receivers int) (*net.UDPConn, []netip.AddrPort) {
	t.Helper()
	conn, _ := listen(t, "udp4", "127.0.0.1:0")
	setOption(t, conn, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	var to []netip.AddrPort
	for range receivers {
		r, at := listen(t, "udp4", "127.0.0.1:0")
		setOption(t, r, unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
		to = append(to, at)
	}
	return conn, to
}

// batching returns a function that adds one packet to a batch, made by fill in
// the space that it is given: run after run, each to the next viewer.
func batching(t testing.TB, viewers, run int, fill func(viewer int, b []byte) int) (next func(), batch *batch) {
	t.Helper()
	conn, addresses := sink(t, viewers)
	s := newSocket(conn)
	batch = newBatch(s, new(counters), shardArena, shardMessages)
	var to []*endpoint
	for _, a := range addresses {
		to = append(to, newEndpoint(s, a))
	}
	n := 0
	t.Cleanup(func() {
		batch.flush()
		if c := batch.count; c.failed.Load() > 0 || c.dropped.Load() > 0 {
			t.Errorf("of %d packets %d failed and %d were dropped", n, c.failed.Load(), c.dropped.Load())
		}
	})
	return func() {
		viewer := n / run % viewers
		n++
		room := batch.room()
		batch.add(to[viewer], fill(viewer, room))
	}, batch
}

const sealedLength = 1228 // of a packet of 1,200 bytes under AES-GCM

// BenchmarkSend is what a packet costs by each way of sending, nothing sealed.
func BenchmarkSend(b *testing.B) {
	b.Run("sendto", func(b *testing.B) {
		conn, to := sink(b, 1)
		packet := make([]byte, sealedLength)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := conn.WriteToUDPAddrPort(packet, to[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, run := range []int{1, 2, 4, 8, 16, 32} {
		name := fmt.Sprintf("sendmmsg-runs-of-%d", run)
		b.Run(name, func(b *testing.B) {
			next, _ := batching(b, 64, run, func(int, []byte) int { return sealedLength })
			b.ReportAllocs()
			for b.Loop() {
				next()
			}
		})
	}
}

// sealing returns a fill for batching that seals packets of a size for each of
// the viewers.
func sealing(t testing.TB, name string, viewers, size int) func(viewer int, b []byte) int {
	t.Helper()
	var all []protector
	for _, tc := range profiles {
		for range viewers {
			if tc.name != name {
				continue
			}
			k := testKeys(t, tc.profile)
			p, err := newProtector(k.Profile, k.LocalKey, k.LocalSalt)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
		}
	}
	payload := make([]byte, size)
	index := uint64(0)
	return func(viewer int, b []byte) int {
		index++
		return all[viewer].seal(b, rtpHeader, payload, 1, index)
	}
}

// BenchmarkSealAndSend is the least that a packet of a frame, and one of audio,
// can cost: what the rest of the path adds to it is ours.
func BenchmarkSealAndSend(b *testing.B) {
	const viewers = 200
	for _, tc := range profiles {
		for _, kind := range []struct {
			name      string
			run, size int
		}{{"video", 8, 1200}, {"audio", 1, 160}} {
			b.Run(tc.name+"/"+kind.name, func(b *testing.B) {
				next, _ := batching(b, viewers, kind.run, sealing(b, tc.name, viewers, kind.size))
				b.ReportAllocs()
				for b.Loop() {
					next()
				}
			})
		}
	}
}

// TestSealAndSendAllocations holds that the kernel's way allocates no more than
// the sealing does.
func TestSealAndSendAllocations(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			next, batch := batching(t, 4, 8, sealing(t, tc.name, 4, 1200))
			got := testing.AllocsPerRun(500, func() {
				next()
				if len(batch.messages) == 4 {
					batch.flush()
				}
			})
			if got > tc.allocs {
				t.Errorf("got %v allocations a packet, want at most %v", got, tc.allocs)
			}
			if batch.count.failed.Load() > 0 {
				t.Errorf("%d packets failed", batch.count.failed.Load())
			}
		})
	}
}
