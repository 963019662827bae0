package sfu

import "testing"

func TestUnwrap(t *testing.T) {
	type in struct {
		n    uint16
		want uint64 // relative to 2<<16
		how  unwrapped
	}
	cases := []struct {
		name string
		in   []in
	}{
		{"in order over a wrap", []in{{65534, 65534, accepted}, {65535, 65535, accepted}, {0, 65536, accepted}, {1, 65537, accepted}}},
		{"reordered over a wrap", []in{{65535, 65535, accepted}, {1, 65537, accepted}, {0, 65536, accepted}, {65534, 65534, accepted}}},
		{"first is late", []in{{0, 0, accepted}, {65535, ^uint64(0), accepted}}},
		{"repeated", []in{{5, 5, accepted}, {5, 5, accepted}}},
		{"gap", []in{{5, 5, accepted}, {3004, 3004, accepted}}},
		{"jump, alone", []in{{5, 5, accepted}, {3005, 0, suspended}, {6, 6, accepted}, {3005, 3005, accepted}}},
		{"jump, confirmed", []in{{5, 5, accepted}, {30000, 0, suspended}, {30001, 2<<16 + 30000, restarted}, {30001, 2<<16 + 30001, accepted}}},
		{"jump back, confirmed", []in{{60000, 60000, accepted}, {7, 0, suspended}, {8, 2<<16 + 7, restarted}, {8, 2<<16 + 8, accepted}}},
		{"two jumps apart", []in{{5, 5, accepted}, {30000, 0, suspended}, {40000, 0, suspended}, {30001, 0, suspended}, {6, 6, accepted}}},
		{"jump confirmed over the wrap", []in{{30000, 30000, accepted}, {65535, 0, suspended}, {0, 2<<16 + 65535, restarted}, {0, 3 << 16, accepted}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := sequence{reach: 256}
			for i, in := range c.in {
				got, how := s.unwrap(in.n)
				if how != in.how || how != suspended && (got != 2<<16+in.want || uint16(got) != in.n && how == accepted) {
					t.Errorf("number %d, %d: got %d, %v, want %d, %v", i, in.n, int64(got-2<<16), how, in.want, in.how)
				}
			}
		})
	}
}

func TestUnwrapStaysAboveTheFirstWrap(t *testing.T) {
	s := sequence{reach: videoRing}
	s.unwrap(0)
	for back := range uint16(videoRing) {
		if got, how := s.unwrap(-back); how != accepted || got < 1<<16 {
			t.Fatalf("%d back: got %d, %v", back, got, how)
		}
	}
}

func TestRenumbering(t *testing.T) {
	var r renumbering
	want := func(wire, seq uint64) {
		t.Helper()
		if got := r.number(wire); got != seq {
			t.Errorf("number(%d): got %d, want %d", wire, got, seq)
		}
	}
	want(100, 100)
	r.insert(110)
	want(109, 109)
	want(110, 111) // 110 is the inserted one
	r.insert(112)
	want(111, 112)
	want(112, 114)
	for i := range uint64(100) {
		r.insert(1000 + 10*i)
	}
	if len(r.steps) > maxSteps {
		t.Errorf("%d steps are kept", len(r.steps))
	}
	want(1990, 1990+102)
	want(1989, 1989+101)
	want(1, 1+102-maxSteps) // long out of reach
}
