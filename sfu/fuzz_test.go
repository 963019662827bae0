package sfu

import (
	"encoding/binary"
	"testing"
)

// FuzzNumbering: numbers on the wire are extended and moved so that none ever
// stands for two packets, however they come and wherever the gateway inserts.
func FuzzNumbering(f *testing.F) {
	f.Add([]byte("\xff\xfe\x00\xff\xff\x00\x00\x00\x01\x00\x01\x00\xff\xff\x00\x40\x00\x00\x40\x01\x00"), uint16(256))
	f.Add([]byte("\x00\x05\x01\x75\x30\x00\x75\x31\x01\x00\x06\x00"), uint16(3000))
	f.Fuzz(func(t *testing.T, b []byte, reach uint16) {
		s := sequence{reach: reach % (1 << 14)}
		var r renumbering
		given := map[uint64]uint64{} // outgoing by extended number
		taken := map[uint64]bool{}   // outgoing numbers
		take := func(n uint64) {
			if taken[n] {
				t.Fatalf("the number %d was given twice", n)
			}
			taken[n] = true
		}
		for ; len(b) >= 3; b = b[3:] {
			wire := binary.BigEndian.Uint16(b)
			n, how := s.unwrap(wire)
			if how == restarted {
				if uint16(n) != wire-1 {
					t.Fatalf("a numbering that begins before %d begins at %d", wire, uint16(n))
				}
				n, how = s.unwrap(wire)
			}
			if how == suspended {
				continue
			}
			if how != accepted || uint16(n) != wire || n < 1<<16 {
				t.Fatalf("%d became %d, %d", wire, n, how)
			}
			if out, known := given[n]; known {
				// Its steps may be forgotten by now; the ring has forgotten it long before.
				if got := r.number(n); len(r.steps) < maxSteps && got != out {
					t.Fatalf("%d was %d and is %d", n, out, got)
				}
				continue
			}
			if newest := n == s.highest; newest && b[2]&1 != 0 {
				r.insert(n)
				take(r.number(n) - 1)
			}
			if out := r.number(n); len(r.steps) < maxSteps {
				take(out)
				given[n] = out
			}
		}
	})
}
