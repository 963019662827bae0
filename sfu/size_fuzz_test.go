package sfu

import "testing"

// FuzzSize: whatever stands in a header, a size is one that can be.
func FuzzSize(f *testing.F) {
	f.Add(uint8(codecVP8), []byte("\x10\x00\x00\x00\x9d\x01\x2a\x80\x02\xe0\x01"))
	f.Add(uint8(codecH264), []byte("\x67\x64\x00\x28\xac\xd9\x40\x78\x02\x27\xe5\xc0\x44\x00\x00\x03\x00\x04"))
	f.Add(uint8(codecH265), []byte("\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x5d\xa0\x02\x80\x80\x2d\x16"))
	f.Add(uint8(codecVP9), []byte("\x8e\x80\x01\x18\x02\x80\x01\x68\x82\x49\x83\x42\x00"))
	f.Add(uint8(codecAV1), []byte("\x18\x0a\x0b\x00\x00\x00\x04\x3c\xff\xbc\xff\xe6\x30\x80"))
	f.Fuzz(func(t *testing.T, c uint8, b []byte) {
		for _, s := range []size{keyframeSize(codec(c), b), h264Size(b), h265Size(b)} {
			if s.width < 0 || s.height < 0 || s.width > maxSide || s.height > maxSide || (s.width == 0) != (s.height == 0) {
				t.Errorf("%x is %d by %d", b, s.width, s.height)
			}
		}
	})
}
