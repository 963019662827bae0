package session

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v4"
)

// playOffer is what a viewer of video offers.
var playOffer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=setup:active\r\na=ice-ufrag:viewer%d\r\na=ice-pwd:" + testPwd + "\r\n" +
	"a=fingerprint:sha-256 " + strings.Repeat(":00", 32)[1:] + "\r\n"

// openChecked opens n viewers, who are in what checks are concerned like any
// that are connected.
func openChecked(tb testing.TB, n int) (*Table, []*viewer) {
	tb.Helper()
	table, err := NewTable(Config{Node: "n1", Media: netip.MustParseAddrPort("127.0.0.1:0")}, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := table.Close(); err != nil {
			tb.Error(err)
		}
	})
	viewers := make([]*viewer, n)
	for i := range viewers {
		o, err := ParseOffer(fmt.Appendf(nil, playOffer, i))
		if err != nil {
			tb.Fatal(err)
		}
		s, err := table.OpenViewer(o, ViewerSetup{Closed: func(Cause) {}})
		if err != nil {
			tb.Fatal(err)
		}
		viewers[i] = s.transport.(*viewer)
	}
	return table, viewers
}

// checkFor is a check such as Chromium sends one.
func checkFor(tb testing.TB, v *viewer, extra ...stun.Setter) []byte {
	tb.Helper()
	set := []stun.Setter{
		stun.TransactionID, stun.BindingRequest, stun.NewUsername(v.now.local.ufrag + ":" + v.now.remote.ufrag),
		stun.RawAttribute{Type: 0xC057, Value: make([]byte, 4)},
		tie(stun.AttrICEControlling),
		stun.RawAttribute{Type: stun.AttrPriority, Value: make([]byte, 4)},
	}
	m, err := stun.Build(append(append(set, extra...), pionKey(v.now), stun.Fingerprint)...)
	if err != nil {
		tb.Fatal(err)
	}
	return m.Raw
}

// deafSocket is a socket that nobody reads.
func deafSocket(tb testing.TB) netip.AddrPort {
	tb.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = sock.Close() })
	return sock.LocalAddr().(*net.UDPAddr).AddrPort()
}

var nominate = stun.RawAttribute{Type: stun.AttrUseCandidate}

// A check costs no allocation, from the datagram to the reply that was sent.
func TestCheckDoesNotAllocate(t *testing.T) {
	table, viewers := openChecked(t, 1)
	from := deafSocket(t)
	var r responder
	for name, c := range map[string]struct {
		check []byte
		want  verdict
	}{
		"accepted":      {checkFor(t, viewers[0]), checkAccepted},
		"nominated":     {checkFor(t, viewers[0], nominate), checkNominated},
		"unknown":       {checkFor(t, viewers[0], stun.RawAttribute{Type: 0x7fff}), checkUnknown},
		"role conflict": {checkFor(t, viewers[0], tie(stun.AttrICEControlled)), checkRoleConflict},
		"forged":        {request(t, viewers[0].now.local.ufrag+":viewer0"), checkIntegrity},
	} {
		before := table.mux.count.checks[c.want].Load()
		if n := testing.AllocsPerRun(200, func() { table.mux.receive(&r, c.check, from) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
		if n := table.mux.count.checks[c.want].Load() - before; n != 201 {
			t.Errorf("%s: counted %d times, want 201", name, n)
		}
	}
	check, b := request(t, "pub1:x"), make([]byte, maxDatagram)
	m := testMux(t)
	route := m.openRoute(testGeneration("pub1"))
	t.Cleanup(route.close)
	if n := testing.AllocsPerRun(200, func() {
		m.receive(&r, check, from)
		if _, _, err := m.side.ReadFromAddrPort(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("publisher's: %v allocations, want 0", n)
	}
}

// BenchmarkCheck is one consent check of one viewer in a thousand, without and
// with the system call that sends the reply.
func BenchmarkCheck(b *testing.B) {
	table, viewers := openChecked(b, 1000)
	from := deafSocket(b).Addr()
	checks, at := make([][]byte, len(viewers)), make([]netip.AddrPort, len(viewers))
	for i, v := range viewers {
		checks[i], at[i] = checkFor(b, v, nominate), netip.AddrPortFrom(from, uint16(20000+i))
	}
	var r responder
	b.Run("judged", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			i %= len(viewers)
			if r.decode(checks[i]) != nil {
				b.Fatal("not decoded")
			}
			if v, _ := r.judge(viewers[i].now, at[i]); v != checkNominated {
				b.Fatalf("verdict %d", v)
			}
		}
	})
	b.Run("answered", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			i %= len(viewers)
			table.mux.receive(&r, checks[i], at[i])
		}
	})
	b.Run("sent", func(b *testing.B) { // the system call by itself
		b.ReportAllocs()
		reply := make([]byte, 64)
		for i := 0; b.Loop(); i++ {
			_, _ = table.mux.conn.WriteToUDPAddrPort(reply, at[i%len(at)])
		}
	})
}
