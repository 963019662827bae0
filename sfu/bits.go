package sfu

// bitReader reads the headers of encoded pictures. Beyond the end it yields
// zeros and remembers that it did.
type bitReader struct {
	b    []byte
	at   int // in bits
	over bool
}

func (r *bitReader) bit() uint32 {
	if r.at>>3 >= len(r.b) {
		r.over = true
		return 0
	}
	v := r.b[r.at>>3] >> (7 - r.at&7) & 1
	r.at++
	return uint32(v)
}

func (r *bitReader) flag() bool { return r.bit() == 1 }

// read takes n bits, at most 32.
func (r *bitReader) read(n int) (v uint32) {
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}

func (r *bitReader) skip(n int) {
	r.at += n
	r.over = r.over || r.at > 8*len(r.b)
}

// golomb takes an unsigned Exp-Golomb number (H.264 section 9.1).
func (r *bitReader) golomb() uint32 {
	zeros := 0
	for r.bit() == 0 {
		if zeros++; zeros > 31 || r.over {
			r.over = true
			return 0
		}
	}
	return uint32(uint64(1)<<zeros - 1 + uint64(r.read(zeros)))
}

// signedGolomb takes a signed one (section 9.1.1).
func (r *bitReader) signedGolomb() int32 {
	n := r.golomb()
	if n&1 == 1 {
		return int32(n/2 + 1)
	}
	return -int32(n / 2)
}

// unescaped leaves out the octets that keep start codes from appearing in a
// NAL unit (H.264 section 7.4.1.1). It appends to out as much as that has room for.
func unescaped(out, nal []byte) []byte {
	zeros := 0
	for _, b := range nal {
		if len(out) == cap(out) {
			break
		}
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, b)
	}
	return out
}
