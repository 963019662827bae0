package egress

import (
	"slices"
	"testing"
)

// TestOrderWithoutSegments: where the kernel cuts no runs, what one viewer gets
// still leaves in the order it was sealed in, whatever was a run.
func TestOrderWithoutSegments(t *testing.T) {
	for _, segments := range []bool{false, true} {
		conn, _ := listen(t, "udp4", "127.0.0.1:0")
		far, at := listen(t, "udp4", "127.0.0.1:0")
		s := newSocket(conn)
		s.kernel.segments = s.kernel.segments && segments
		b := newBatch(s, new(counters), shardArena, shardMessages)
		to := newEndpoint(s, at)
		var want, got []byte
		for i, size := range []int{60, 100, 100, 90, 40, 120, 120, 130, 20} {
			b.put(to, byte('a'+i), size)
			want = append(want, byte('a'+i))
		}
		b.flush()
		buf := make([]byte, 2048)
		for range want {
			if _, err := far.Read(buf); err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[0])
		}
		if !slices.Equal(got, want) {
			t.Errorf("segments %t: got %s, want %s", segments, got, want)
		}
	}
}
