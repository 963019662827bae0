package egress

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// FuzzHeader: whatever is to be forwarded, the header is one that pion reads,
// and says what it was told.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{4, 3, 1, 13, 0, 0, 12, 0}, "audio", []byte("\x03\x01a\x07\x02bc"), uint16(7), true)
	f.Add([]byte{14, 14, 14, 1, 15, 200}, "0123456789abcdef", bytes.Repeat([]byte("\x07\x10aaaaaaaaaaaaaaaa"), 9), uint16(0), false)
	f.Fuzz(func(t *testing.T, table []byte, mid string, elements []byte, seq uint16, transport bool) {
		negotiated := map[ExtensionKind]uint8{}
		for i, id := range table {
			negotiated[ExtensionKind(i)] = id
		}
		ids := newExtensionIDs(negotiated)
		h := header{payloadType: uint8(seq), seq: seq, timestamp: 9, ssrc: 8, mid: mid, ids: &ids, transportSeq: ^seq, hasTransport: transport}
		for len(elements) >= 2 {
			kind, n := ExtensionKind(elements[0]), min(int(elements[1]), len(elements)-2)
			h.forward = append(h.forward, HeaderExtension{kind, elements[2 : 2+n]})
			elements = elements[2+n:]
		}
		b := bytes.Repeat([]byte{0xee}, bufferSize)
		n := h.put(b)
		var got rtp.Header
		if m, err := got.Unmarshal(b[:n]); err != nil || m != n || n > maxHeader {
			t.Fatalf("pion reads %d of %d bytes, of %d at most: %v", m, n, maxHeader, err)
		}
		if got.SequenceNumber != seq || got.PayloadType != uint8(seq)&0x7f || got.SSRC != 8 || got.Timestamp != 9 {
			t.Errorf("got %+v", got)
		}
		for _, id := range got.GetExtensionIDs() {
			value := got.GetExtension(id)
			known := id == ids[ExtensionMID] && string(value) == mid
			known = known || transport && id == ids[ExtensionTransportCC] && len(value) == 2
			for _, e := range h.forward {
				known = known || e.Kind < extensionKinds && id == ids[e.Kind] && bytes.Equal(value, e.Value)
			}
			if !known {
				t.Errorf("the extension %d is %x, which nobody said", id, value)
			}
		}
	})
}

// rewriting drives the video stream of one viewer by the bytes of a fuzzer, with
// two sources that take turns, and looks at what arrives.
type rewriting struct {
	t      *testing.T
	plane  *Plane
	v      *Viewer
	far    *farEnd
	now    time.Time
	tracks [2]*track
	newest [2]uint64
	bound  int

	highest map[uint32]uint64            // by SSRC, unwrapped
	sent    map[uint32]map[uint64][]byte // what went out under a number
}

func newRewriting(t *testing.T) *rewriting {
	t.Helper()
	far := newFarEnd(t, gcm)
	r := &rewriting{
		t: t, far: far, now: time.Now(),
		plane:   newPlane(slog.New(slog.DiscardHandler), far),
		tracks:  [2]*track{newTrack(90000), newTrack(90000)},
		newest:  [2]uint64{base, 5 << 16},
		highest: map[uint32]uint64{}, sent: map[uint32]map[uint64][]byte{},
	}
	far.plane, far.onRTP = r.plane, r.arrived
	r.v = r.plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
	if err := r.v.Start(far.keys, viewerAddr); err != nil {
		t.Fatal(err)
	}
	return r
}

// arrived holds a packet to what is promised of every one.
func (r *rewriting) arrived(sealed []byte, p *rtp.Packet) {
	if want := map[uint32]string{videoSSRC: "\x60\x66", videoRTX: "\x61"}[p.SSRC]; !strings.Contains(want, string(rune(p.PayloadType))) || want == "" {
		r.t.Errorf("payload type %d on SSRC %x", p.PayloadType, p.SSRC)
	}
	if r.sent[p.SSRC] == nil {
		r.sent[p.SSRC], r.highest[p.SSRC] = map[uint64][]byte{}, 1<<16|uint64(p.SequenceNumber)
	}
	number := r.highest[p.SSRC] + uint64(int64(int16(p.SequenceNumber-uint16(r.highest[p.SSRC]))))
	r.highest[p.SSRC] = max(number, r.highest[p.SSRC])
	before, again := r.sent[p.SSRC][number]
	if again && !bytes.Equal(before, sealed) {
		r.t.Errorf("number %d of SSRC %x went out as two different packets", number, p.SSRC)
	}
	r.sent[p.SSRC][number] = bytes.Clone(sealed)
}

// step does what four bytes say.
func (r *rewriting) step(b []byte) {
	s, i := r.v.Stream("video"), r.bound
	src := r.tracks[i]
	write := func(gap uint64, payload string, key bool) *Packet {
		r.newest[i] += gap
		p := src.packet(r.newest[i], uint32(b[2])*3000, payload)
		p.Key, p.Marker = key, b[3]&2 != 0
		p.Extensions = []HeaderExtension{{ExtensionKind(b[3]), b[1:]}}
		return p
	}
	switch b[0] % 12 {
	case 0, 1:
		r.bound = int(b[1] & 1)
		i, src = r.bound, r.tracks[r.bound]
		format := videoFormat
		if b[1]&2 != 0 {
			format = plainFormat
		}
		var backlog []*Packet
		for n := range int(b[2] % 8) {
			backlog = append(backlog, write(1, strings.Repeat("b", 1+int(b[3])), n == 0))
		}
		s.Bind(src, format, backlog)
	case 2:
		s.Unbind(r.tracks[b[1]&1])
	case 3: // a hole of any size that sfu lets through
		s.Write(write(1+uint64(b[1])<<4, "after a hole", b[3]&1 != 0))
	case 4:
		s.Write(write(1+uint64(b[1])<<4, "", false))
	case 5:
		s.Write(write(1, strings.Repeat("x", int(b[1])*8), true))
	case 6: // late, or a second time
		if p := src.Packet(r.newest[i] - uint64(b[1])); p != nil {
			s.Write(p)
		}
	case 7: // asked for again, also what never was
		highest := uint16(r.highest[videoSSRC])
		r.now = r.now.Add(time.Duration(b[3]) * time.Millisecond)
		nack := &rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: videoSSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(
			[]uint16{highest - uint16(b[1]), highest - uint16(b[2]), highest + uint16(b[3])})}
		_ = r.v.HandleRTCP(r.far.seal(nack)) // refused after too many senders
	case 8:
		r.now = r.now.Add(time.Duration(b[1]) * time.Millisecond)
		r.plane.paceNow(r.now)
	case 9:
		r.v.reportNow(r.now.Add(time.Duration(b[1]) * time.Second))
	case 10: // anything under the viewer's keys
		_ = r.v.HandleRTCP(r.far.sealRaw(append([]byte{0x80 | b[1]&0x1f, 200 + b[2]%8, 0, 1}, 0x11, 0x11, 0x11, b[3])))
	default:
		s.Write(write(1, string(b), b[3]&1 != 0))
	}
}

// FuzzRewrite: no order of packets, holes, sources and reports makes a stream
// send what the viewer cannot open, or two packets under one number.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x05\x01\x00\x00\x0b\x00\x01\x00\x0b\x00\x02\x02\x07\x01\x02\x00\x00\x01\x03\x05\x08\x10\x00\x00\x06\x02\x00\x00"))
	f.Add([]byte("\x00\x02\x00\x00\x05\x01\x00\x00\x03\xff\x01\x00\x04\xff\x01\x00\x04\xff\x01\x00\x0b\x00\x02\x02\x07\x01\x02\x00\x02\x00\x00\x00\x09\x05\x00\x00"))
	f.Add(append([]byte("\x00\x00\x00\x00\x05\x01\x00\x00"), bytes.Repeat([]byte("\x04\xff\x00\x00"), 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newRewriting(t)
		for ; len(b) >= 4 && !t.Failed(); b = b[4:] {
			r.step(b[:4])
		}
		r.plane.paceNow(r.now.Add(time.Second))
		r.v.Stop()
	})
}
