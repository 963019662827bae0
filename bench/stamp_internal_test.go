package bench

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

func TestStampReadsBack(t *testing.T) {
	for _, s := range []stamp{{}, {1, 1}, {1<<35 - 1, 1<<63 - 1}, {12345, time.Now().UnixNano()}} {
		b := make([]byte, stampLen)
		s.put(b)
		if got, ok := readStamp(b); !ok || got != s {
			t.Errorf("%+v is read as %+v, %t", s, got, ok)
		}
		if bytes.IndexByte(b, 0) >= 0 {
			t.Errorf("%+v has a zero, which may make a start code: % x", s, b)
		}
		for i := range b {
			b[i] ^= 4
			if got, ok := readStamp(b); ok {
				t.Errorf("%+v with byte %d changed is read as %+v", s, i, got)
			}
			b[i] ^= 4
		}
	}
	if _, ok := readStamp(make([]byte, stampLen-1)); ok {
		t.Error("a stamp was read from too little")
	}
}

// picture is the payloads of one picture as the publisher would send them.
func picture(e *encoder, key bool, number *uint64) (payloads [][]byte) {
	e.frame(key, func(payload, room []byte, _ bool) {
		*number++
		stamp{*number, int64(*number) * 1000}.put(room)
		payloads = append(payloads, bytes.Clone(payload))
	})
	return payloads
}

// TestEncoder: pictures are in packets of the right size, each with one stamp; a
// second of them has the bit rate.
func TestEncoder(t *testing.T) {
	for _, bitrate := range []int{10_000, 300_000, 2_500_000, 20_000_000} {
		e := newEncoder(bitrate)
		var r stampReader
		var number, want uint64
		total := 0
		for n := range keyInterval {
			keyframes := 0
			for i, p := range picture(e, n == 0, &number) {
				total += len(p)
				if len(p) > maxPayload {
					t.Fatalf("%d bit/s: a payload of %d bytes", bitrate, len(p))
				}
				if n == 0 && i == 0 && p[0]&0x1f != nalSTAP {
					t.Errorf("%d bit/s: a keyframe begins with % x", bitrate, p[:2])
				}
				found := 0
				if r.read(p, func(s stamp) {
					want++
					found++
					if s.number != want || s.sent != int64(want)*1000 {
						t.Fatalf("%d bit/s: got %+v, want number %d", bitrate, s, want)
					}
				}) {
					keyframes++
				}
				if found != 1 {
					t.Fatalf("%d bit/s: picture %d, packet %d: %d stamps", bitrate, n, i, found)
				}
			}
			if (keyframes == 1) != (n == 0) || keyframes > 1 {
				t.Errorf("%d bit/s: picture %d looks like %d keyframes", bitrate, n, keyframes)
			}
		}
		if number != want {
			t.Errorf("%d bit/s: %d stamps of %d were found", bitrate, want, number)
		}
		got := total * 8 / (keyInterval / frameRate)
		if low, high := bitrate*95/100, bitrate*110/100+20_000; got < low || got > high {
			t.Errorf("%d bit/s: got %d", bitrate, got)
		}
	}
}

// TestStampAcrossPackets: a server may cut NAL units where it likes.
func TestStampAcrossPackets(t *testing.T) {
	e := newEncoder(2_500_000)
	var number uint64
	var nal []byte // the slice, put together again
	for _, p := range picture(e, false, &number) {
		nal = append(nal, p[2:]...)
	}
	for _, size := range []int{stampLen, 100, 777, 1188} {
		var r stampReader
		var got []uint64
		for part := range slices.Chunk(nal, size) {
			r.read(append([]byte{0x60 | nalFU, 1}, part...), func(s stamp) { got = append(got, s.number) })
		}
		if len(got) != int(number) || !slices.IsSorted(got) {
			t.Errorf("in parts of %d: got %v of %d stamps", size, got, number)
		}
	}
}

// TestKeyframe: where a keyframe begins, in each form of the payload format.
func TestKeyframe(t *testing.T) {
	for _, tc := range []struct {
		name    string
		payload []byte
		want    bool
	}{
		{"nothing", nil, false},
		{"one byte", []byte{0x65}, false},
		{"single", []byte{0x65, 0x88}, true},
		{"single, not IDR", []byte{0x61, 0x9a}, false},
		{"first fragment", []byte{0x7c, 0x85, 1}, true},
		{"later fragment", []byte{0x7c, 0x05, 1}, false},
		{"fragment of another", []byte{0x7c, 0x81, 1}, false},
		{"aggregate", []byte{0x78, 0, 1, 0x67, 0, 2, 0x65, 1}, true},
		{"aggregate of parameters", []byte{0x78, 0, 1, 0x67, 0, 1, 0x68}, false},
		{"aggregate cut short", []byte{0x78, 0xff, 0xff, 0x67}, false},
	} {
		var r stampReader
		if got := r.read(tc.payload, func(stamp) {}); got != tc.want {
			t.Errorf("%s: got %t, want %t", tc.name, got, tc.want)
		}
	}
}

func TestStampReaderAllocs(t *testing.T) {
	e := newEncoder(2_500_000)
	var number uint64
	payloads := picture(e, true, &number)
	var r stampReader
	seen := 0
	found := func(stamp) { seen++ }
	read := func() {
		for _, p := range payloads {
			r.read(p, found)
		}
	}
	if n := testing.AllocsPerRun(100, read); n != 0 || seen == 0 {
		t.Errorf("%v allocations for a picture, %d stamps", n, seen)
	}
}
