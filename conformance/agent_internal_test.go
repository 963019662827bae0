package conformance

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// An old ClientHello is one that a DTLS stack can read, and says what it should.
func TestHelloDTLS10(t *testing.T) {
	cookie := []byte("a cookie of twenty b")
	for _, want := range [][]byte{nil, cookie} {
		record := helloDTLS10(1, want)
		var hello handshake.Handshake
		if err := hello.Unmarshal(record[13:]); err != nil {
			t.Fatal(err)
		}
		m, ok := hello.Message.(*handshake.MessageClientHello)
		if !ok {
			t.Fatalf("got %T, want a ClientHello", hello.Message)
		}
		if m.Version != protocol.Version1_0 {
			t.Errorf("got version %v, want 1.0", m.Version)
		}
		if !slices.Equal(m.Cookie, want) {
			t.Errorf("got cookie %x, want %x", m.Cookie, want)
		}
	}
	verify := append([]byte{recordHandshake, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 35, helloVerify, 0, 0, 23, 0, 0, 0, 0, 0, 0, 0, 23, 0xfe, 0xff, 20}, cookie...)
	if got := verifyCookie(verify); !slices.Equal(got, cookie) {
		t.Errorf("got cookie %q, want %q", got, cookie)
	}
	for n := range verify { // cut short it is none, and nothing breaks
		if got := verifyCookie(verify[:n]); len(got) == len(cookie) {
			t.Errorf("got a cookie of %d bytes of a HelloVerifyRequest", n)
		}
	}
}

// The NAL units of a picture are found however it is packed.
func TestNALTypes(t *testing.T) {
	var p codecs.H264Payloader
	var got []byte
	for _, payload := range p.Payload(payloadSize, frameH264(1, true)) {
		got = append(got, nalTypes(payload)...)
	}
	if want := []byte{7, 8, 5}; !slices.Equal(got, want) {
		t.Errorf("got types %v, want %v", got, want)
	}
	for _, b := range [][]byte{nil, {24}, {24, 0}, {24, 0, 9, 1}, {28}, {28, 0x05}} {
		if got := nalTypes(b); len(got) > 0 {
			t.Errorf("%x: got types %v, want none", b, got)
		}
	}
}

func TestVP8Width(t *testing.T) {
	if got := widthVP8(frameVP8(3, true, 1280, 720)); got != 1280 {
		t.Errorf("got width %d, want 1280", got)
	}
	for name, frame := range map[string][]byte{"delta": frameVP8(3, false, 1280, 720), "short": {0x10, 0, 0}, "empty": nil} {
		if got := widthVP8(frame); got != 0 {
			t.Errorf("%s: got width %d, want 0", name, got)
		}
	}
}

// The payloads of both spatial layers say which they are, and pion reads the same.
func TestSVC(t *testing.T) {
	var p svcPayloader
	frame := svcFeed().frame(1, true)
	var layers []int
	for i, payload := range p.Payload(payloadSize, frame) {
		var d codecs.VP9Packet
		if _, err := d.Unmarshal(payload); err != nil {
			t.Fatal(err)
		}
		if got := spatialOf(payload); got != int(d.SID) {
			t.Errorf("packet %d: got layer %d, pion says %d", i, got, d.SID)
		}
		if i == 0 && (!d.V || d.NS != 1 || !slices.Equal(d.Width, []uint16{640, 1280})) {
			t.Errorf("got structure %v, %d, %v", d.V, d.NS, d.Width)
		}
		layers = append(layers, spatialOf(payload))
	}
	if want := []int{0, 0, 1, 1}; !slices.Equal(layers, want) {
		t.Errorf("got layers %v, want %v", layers, want)
	}
}

func TestFirstUDP(t *testing.T) {
	for name, c := range map[string]struct {
		sdp, want string
	}{
		"first of two": {"a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\na=candidate:2 1 udp 1 192.0.2.2 5000 typ host\r\n", "192.0.2.1:5000"},
		"after TCP":    {"a=candidate:1 1 tcp 1 192.0.2.1 9 typ host\r\na=candidate:2 1 UDP 1 192.0.2.2 5000 typ host\r\n", "192.0.2.2:5000"},
		"component 2":  {"a=candidate:1 2 udp 1 192.0.2.1 5001 typ host\r\na=candidate:2 1 udp 1 2001:db8::1 5000 typ host\r\n", "[2001:db8::1]:5000"},
		"a name":       {"a=candidate:1 1 udp 1 some.local 5000 typ host\r\n", ""},
		"cut short":    {"a=candidate:1 1 udp 1 192.0.2.1\r\n", ""},
	} {
		got, ok := firstUDP(c.sdp)
		if ok != (c.want != "") || ok && got != netip.MustParseAddrPort(c.want) {
			t.Errorf("%s: got %v, %v, want %q", name, got, ok, c.want)
		}
	}
}

// Gaps are counted over the wrap of sequence numbers, in any order of arrival,
// and not what is too young to have been repaired.
func TestMissing(t *testing.T) {
	var h heard
	now := time.Now()
	add := func(seq uint16, age time.Duration) {
		h.packetsIn = append(h.packetsIn, heardRTP{at: now.Add(-age), Packet: rtp.Packet{Header: rtp.Header{PayloadType: ptH264, SequenceNumber: seq}}})
	}
	for _, seq := range []uint16{65533, 65535, 65534, 1, 3} { // 0 and 2 are lost
		add(seq, time.Minute)
	}
	add(9, 0)
	missing, all := h.missing(ptH264, time.Second)
	if missing != 2 || all != 7 {
		t.Errorf("got %d of %d missing, want 2 of 7", missing, all)
	}
	if missing, all := h.missing(ptOpus, 0); missing+all != 0 {
		t.Errorf("got %d of %d missing of nothing", missing, all)
	}
}

// What is kept is bounded, and the newest stays.
func TestKeep(t *testing.T) {
	var list []int
	for n := range 3 * maxHeard {
		list = keep(list, n)
	}
	if len(list) > maxHeard || list[len(list)-1] != 3*maxHeard-1 {
		t.Errorf("kept %d, the last %d", len(list), list[len(list)-1])
	}
}
