package sfu

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

func TestParseRTP(t *testing.T) {
	head := func(first byte) []byte { return []byte{first, 0xe0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 9} }
	cases := []struct {
		name    string
		in      []byte
		ok      bool
		payload string
	}{
		{"empty", nil, false, ""},
		{"short", head(0x80)[:11], false, ""},
		{"version 1", head(0x40), false, ""},
		{"no payload", head(0x80), true, ""},
		{"payload", append(head(0x80), "abc"...), true, "abc"},
		{"two sources", append(head(0x82), "12345678abc"...), true, "abc"},
		{"sources cut off", append(head(0x82), "1234567"...), false, ""},
		{"extension", append(head(0x90), "\xbe\xde\x00\x01abcdxyz"...), true, "xyz"},
		{"extension without length", append(head(0x90), "\xbe\xde\x00"...), false, ""},
		{"extension cut off", append(head(0x90), "\xbe\xde\x00\x02abcdxyz"...), false, ""},
		{"padding", append(head(0xa0), "abc\x00\x00\x03"...), true, "abc"},
		{"padding only", append(head(0xa0), "\x00\x02"...), true, ""},
		{"padding of no octets", append(head(0xa0), "abc\x00"...), false, ""},
		{"padding into the header", append(head(0xa0), "abc\x05"...), false, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h, ok := parseRTP(c.in)
			if ok != c.ok || string(h.payload) != c.payload {
				t.Fatalf("got %v %q, want %v %q", ok, h.payload, c.ok, c.payload)
			}
			if ok && (!h.marker || h.payloadType != 0x60 || h.sequence != 0x0102 || h.timestamp != 0x03040506) {
				t.Errorf("header: got %+v", h)
			}
		})
	}
}

func TestNextExtension(t *testing.T) {
	type element struct {
		id    uint8
		value string
	}
	cases := []struct {
		name    string
		profile uint16
		in      string
		want    []element
	}{
		{"one-byte", 0xbede, "\x10a\x00\x00\x21bc\x00", []element{{1, "a"}, {2, "bc"}}},
		{"one-byte, id 15 ends", 0xbede, "\x10a\xf0b\x20c", []element{{1, "a"}}},
		{"one-byte, cut off", 0xbede, "\x10a\x23bc", []element{{1, "a"}}},
		{"two-byte", 0x1005, "\x01\x00\x00\xc8\x02ab", []element{{1, ""}, {200, "ab"}}},
		{"two-byte, cut off", 0x1000, "\x05\x01a\x01", []element{{5, "a"}}},
		{"unknown profile", 0x1234, "\x10a", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []element
			for rest := []byte(c.in); ; {
				id, value, next := nextExtension(c.profile, rest)
				if id == 0 {
					break
				}
				got = append(got, element{id, string(value)})
				rest = next
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("got %v, want %v", got, c.want)
				}
			}
		})
	}
}

// FuzzParseRTP: no panic, and what pion reads, we read the same.
func FuzzParseRTP(f *testing.F) {
	f.Add(datagram(1, 2, []byte("abc")))
	f.Add([]byte("\x90\xe0\x01\x02\x03\x04\x05\x06\x00\x00\x00\x09\xbe\xde\x00\x01\x10a\x00\x00xyz"))
	f.Add([]byte("\xb2\xe0\x01\x02\x03\x04\x05\x06\x00\x00\x00\x0912345678\x10\x00\x00\x01\x01\x01a\x00xyz\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := parseRTP(b)
		seen := 0
		for rest := h.extension; ; seen++ {
			id, value, next := nextExtension(h.profile, rest)
			if id == 0 {
				break
			}
			if len(next) >= len(rest) || len(value) > 255 {
				t.Fatalf("element %d of %d octets leaves %d of %d", id, len(value), len(next), len(rest))
			}
			rest = next
		}
		var p rtp.Packet
		if p.Unmarshal(b) != nil || p.Version != 2 {
			return
		}
		if !ok {
			if p.Padding && p.PaddingSize == 0 {
				return // pion lets that pass
			}
			t.Fatalf("pion reads %v, we do not", p.Header)
		}
		if h.sequence != p.SequenceNumber || h.timestamp != p.Timestamp || h.marker != p.Marker ||
			h.payloadType != p.PayloadType || !bytes.Equal(h.payload, p.Payload) {
			t.Errorf("got %+v, pion %+v", h, p)
		}
	})
}
