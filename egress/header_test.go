package egress

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

func TestHeaderExtensions(t *testing.T) {
	all := map[ExtensionKind]uint8{}
	for kind := ExtensionMID; kind < extensionKinds; kind++ {
		all[kind] = uint8(kind) + 3
	}
	full := bytes.Repeat([]byte{7}, maxExtension)
	for _, tc := range []struct {
		name    string
		ids     map[ExtensionKind]uint8
		mid     string
		forward []HeaderExtension
		want    map[uint8]string
	}{
		{"none negotiated", nil, "0", []HeaderExtension{{ExtensionAudioLevel, []byte{1}}}, nil},
		{"mid only", all, "audio", nil, map[uint8]string{4: "audio"}},
		{"longest mid", all, "0123456789abcdef", nil, map[uint8]string{4: "0123456789abcdef"}},
		{"mid too long", all, "0123456789abcdefg", nil, nil},
		{"no mid", all, "", nil, nil},
		{
			"ids out of range",
			map[ExtensionKind]uint8{ExtensionMID: 15, ExtensionAudioLevel: 0, ExtensionOrientation: 16, extensionKinds: 3, 255: 4},
			"0",
			[]HeaderExtension{{ExtensionOrientation, []byte{1}}, {extensionKinds, []byte{1}}, {255, []byte{1}}},
			nil,
		},
		{"empty and too long values", all, "", []HeaderExtension{
			{ExtensionAudioLevel, nil}, {ExtensionDependencyDescriptor, make([]byte, maxExtension+1)},
		}, nil},
		{"the first of a kind", all, "", []HeaderExtension{
			{ExtensionAudioLevel, []byte{1}}, {ExtensionAudioLevel, []byte{2}},
		}, map[uint8]string{6: "\x01"}},
		{"not the gateway's own", all, "0", []HeaderExtension{
			{ExtensionMID, []byte("x")}, {ExtensionTransportCC, []byte{1, 2}},
		}, map[uint8]string{4: "0"}},
		{"everything", all, "0123456789abcdef", []HeaderExtension{
			{ExtensionAudioLevel, full},
			{ExtensionOrientation, full},
			{ExtensionAbsCaptureTime, full},
			{ExtensionPlayoutDelay, full},
			{ExtensionDependencyDescriptor, full},
		}, map[uint8]string{4: "0123456789abcdef", 6: string(full), 7: string(full), 8: string(full), 9: string(full), 10: string(full)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ids := newExtensionIDs(tc.ids)
			for _, transport := range []bool{false, true} {
				h := header{
					payloadType: 0xff, marker: true, seq: 65535, timestamp: 1 << 31, ssrc: 0xfedcba98,
					mid: tc.mid, ids: &ids, forward: tc.forward, transportSeq: 0xabcd, hasTransport: transport,
				}
				b := bytes.Repeat([]byte{0xee}, bufferSize) // as pooled: not zero
				n := h.put(b)
				if n > maxHeader {
					t.Fatalf("got %d bytes, want at most %d", n, maxHeader)
				}
				var got rtp.Header
				if m, err := got.Unmarshal(b[:n]); err != nil || m != n {
					t.Fatalf("pion reads %d of %d bytes: %v", m, n, err)
				}
				if !got.Marker || got.PayloadType != 0x7f || got.SequenceNumber != 65535 || got.Timestamp != 1<<31 || got.SSRC != 0xfedcba98 {
					t.Errorf("got %+v", got)
				}
				want := len(tc.want)
				if transport && ids[ExtensionTransportCC] != 0 {
					want++
					if v := got.GetExtension(5); !bytes.Equal(v, []byte{0xab, 0xcd}) {
						t.Errorf("got transport-wide number %x", v)
					}
				}
				if len(got.GetExtensionIDs()) != want {
					t.Errorf("got extensions %v, want %d", got.GetExtensionIDs(), want)
				}
				for id, value := range tc.want {
					if v := got.GetExtension(id); string(v) != value {
						t.Errorf("extension %d: got %q, want %q", id, v, value)
					}
				}
			}
		})
	}
}

// rewritten is a header as browsers get it: a mid, a transport number, and what
// the publisher sent along.
func rewritten() (h header, b []byte) {
	ids := newExtensionIDs(map[ExtensionKind]uint8{ExtensionMID: 1, ExtensionTransportCC: 2, ExtensionOrientation: 3})
	return header{
		payloadType: 96, marker: true, ssrc: 1, mid: "1", ids: &ids, hasTransport: true,
		forward: []HeaderExtension{{ExtensionOrientation, []byte{1}}},
	}, make([]byte, bufferSize)
}

func BenchmarkHeader(b *testing.B) {
	h, room := rewritten()
	b.ReportAllocs()
	for b.Loop() {
		h.seq++
		h.put(room)
	}
}

func TestHeaderAllocations(t *testing.T) {
	h, room := rewritten()
	if got := testing.AllocsPerRun(500, func() { h.put(room) }); got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}
