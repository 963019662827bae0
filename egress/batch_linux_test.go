package egress

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/rtp"
	"golang.org/x/sys/unix"
)

// listen opens a UDP socket and tells where it is.
func listen(t testing.TB, network, at string) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return conn, local
}

// setOption sets an option of a socket.
func setOption(t testing.TB, conn *net.UDPConn, level, option, value int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), level, option, value) }); err != nil || serr != nil {
		t.Fatal(err, serr)
	}
}

// The kernel is given the datagrams of one viewer as one message: a receiver who
// asks for runs (UDP_GRO) sees it.
func TestKernelCutsRuns(t *testing.T) {
	conn, _ := listen(t, "udp4", "127.0.0.1:0")
	peer, to := listen(t, "udp4", "127.0.0.1:0")
	setOption(t, peer, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	s := newSocket(conn)
	if s.kernel == nil || !s.kernel.segments {
		t.Fatal("this kernel cuts no runs")
	}
	count := new(counters)
	b := newBatch(s, count, shardArena, shardMessages)
	e := newEndpoint(s, to)
	for i := range 9 {
		b.put(e, byte('0'+i), 1200)
	}
	b.put(e, 'e', 700)
	b.flush()
	buf, oob := make([]byte, 1<<16), make([]byte, 128)
	n, oobn, _, _, err := peer.ReadMsgUDP(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	if want := 9*1200 + 700; n != want {
		t.Errorf("got %d bytes at once, want %d", n, want)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 || messages[0].Header.Type != unix.UDP_GRO {
		t.Fatalf("got control messages %+v, %v, want the length of a segment", messages, err)
	}
	if size := *(*int32)(unsafe.Pointer(&messages[0].Data[0])); size != 1200 {
		t.Errorf("got segments of %d bytes, want 1200", size)
	}
	for i := range 9 {
		if want := bytes.Repeat([]byte{byte('0' + i)}, 1200); !bytes.Equal(buf[i*1200:(i+1)*1200], want) {
			t.Errorf("datagram %d is another", i)
		}
	}
	if count.failed.Load()+count.dropped.Load() != 0 {
		t.Error("counted as lost")
	}
}

// Each kind of socket reaches each kind of address.
func TestKernelAddresses(t *testing.T) {
	for _, tc := range []struct{ network, at, peerNetwork, peer string }{
		{"udp4", "127.0.0.1:0", "udp4", "127.0.0.1:0"},
		{"udp6", "[::1]:0", "udp6", "[::1]:0"},
		{"udp", "[::]:0", "udp4", "127.0.0.1:0"},
		{"udp", "[::]:0", "udp6", "[::1]:0"},
	} {
		t.Run(tc.at+" to "+tc.peer, func(t *testing.T) {
			conn, _ := listen(t, tc.network, tc.at)
			peer, to := listen(t, tc.peerNetwork, tc.peer)
			for _, addr := range []netip.AddrPort{to, netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())} {
				s := newSocket(conn)
				b := newBatch(s, new(counters), shardArena, shardMessages)
				e := newEndpoint(s, addr)
				b.put(e, 'a', 100)
				b.put(e, 'b', 100)
				b.put(e, 'c', 2000) // alone
				b.flush()
				buf := make([]byte, 4096)
				for i, want := range []int{100, 100, 2000} {
					if n, err := peer.Read(buf); err != nil || n != want || buf[0] != byte('a'+i) {
						t.Errorf("%v, datagram %d: got %d bytes, %v, want %d", addr, i, n, err, want)
					}
				}
			}
		})
	}
}

// A link-local address is of one interface, that some call by its name and others
// by its number.
func TestRawAddressScope(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip(err)
	}
	for zone, want := range map[string]int{"lo": lo.Index, strconv.Itoa(lo.Index): lo.Index, "": 0, "no such": 0, "4711": 4711} {
		var r rawAddress
		r.set(netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(zone), 5000), true)
		if got := binary.NativeEndian.Uint32(r.bytes[24:]); got != uint32(want) {
			t.Errorf("zone %q: got interface %d, want %d", zone, got, want)
		}
	}
}

// Where the kernel refuses a run, its datagrams go one by one, and the next time
// it is not asked again. (It cuts nothing for a socket without checksums.)
func TestKernelRefusesRuns(t *testing.T) {
	conn, _ := listen(t, "udp4", "127.0.0.1:0")
	peer, to := listen(t, "udp4", "127.0.0.1:0")
	setOption(t, conn, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
	s := newSocket(conn)
	count := new(counters)
	b := newBatch(s, count, shardArena, shardMessages)
	e := newEndpoint(s, to)
	buf := make([]byte, 4096)
	read := func(want string) {
		t.Helper()
		var got string
		for range want {
			n, err := peer.Read(buf)
			if err != nil || n != 500 {
				t.Fatalf("got %d bytes, %v after %q", n, err, got)
			}
			got += string(buf[:1])
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, c := range "abc" {
		b.put(e, byte(c), 500)
	}
	b.flush()
	read("abc")
	if got := e.longest.Load(); got != 499 {
		t.Errorf("runs of up to %d bytes are still tried, want 499", got)
	}
	for _, c := range "de" {
		b.put(e, byte(c), 500)
	}
	if got := b.runs(e); got != "0:500*1 0:500*1" {
		t.Errorf("got %s, want no run", got)
	}
	b.flush()
	read("de")
	if count.failed.Load()+count.dropped.Load() != 0 {
		t.Error("counted as lost")
	}
}

// scripted answers system calls by a script of errors; what is not refused goes
// to nowhere.
type scripted struct {
	calls  *systemCalls
	script []unix.Errno
	sizes  []int // messages offered in each call
}

func (s *scripted) Control(func(uintptr)) error   { return nil }
func (s *scripted) Read(func(uintptr) bool) error { return nil }
func (s *scripted) Write(func(uintptr) bool) error {
	n := s.calls.to - s.calls.from
	s.sizes = append(s.sizes, n)
	s.calls.done, s.calls.errno = n, 0
	if len(s.script) > 0 {
		if errno := s.script[0]; errno != 0 {
			s.calls.done, s.calls.errno = 0, errno
		} else if n > 1 {
			s.calls.done = n - 1 // the kernel may stop early
		}
		s.script = s.script[1:]
	}
	return nil
}

func TestKernelErrors(t *testing.T) {
	for _, tc := range []struct {
		name            string
		script          []unix.Errno
		calls           string
		dropped, failed uint64
		longest         int32
	}{
		{"none", nil, "4", 0, 0, maxSegment},
		{"interrupted", []unix.Errno{unix.EINTR, unix.EINTR}, "4 4 4", 0, 0, maxSegment},
		{"stopped early", []unix.Errno{0}, "4 1", 0, 0, maxSegment},
		{"full", []unix.Errno{unix.EAGAIN}, "4", 6, 0, maxSegment},
		{"full later", []unix.Errno{0, unix.ENOBUFS}, "4 1", 1, 0, maxSegment},
		{"one cannot be reached", []unix.Errno{unix.EPERM, unix.EPERM, unix.EPERM, unix.EPERM}, "4 1 1 1 3", 0, 3, 0},
		{"no run by this device", []unix.Errno{unix.EIO}, "4 1 1 1 3", 0, 0, 0},
		{"a shorter path", []unix.Errno{unix.EINVAL}, "4 1 1 1 3", 0, 0, 99},
		{"the last cannot be reached", []unix.Errno{0, unix.EHOSTUNREACH}, "4 1", 0, 1, maxSegment},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn := &scripted{script: tc.script}
			s := &socket{kernel: &kernelSocket{conn: conn, segments: true}}
			count := new(counters)
			b := newBatch(s, count, shardArena, shardMessages)
			conn.calls = &b.calls
			first := newEndpoint(s, viewerAddr)
			for range 3 {
				b.put(first, 'x', 100)
			}
			for range 3 {
				b.put(newEndpoint(s, viewerAddr), 'y', 100)
			}
			b.flush()
			var calls []string
			for _, n := range conn.sizes {
				calls = append(calls, itoa(int64(n)))
			}
			if got := strings.Join(calls, " "); got != tc.calls {
				t.Errorf("got calls with %s messages, want %s", got, tc.calls)
			}
			if d, f := count.dropped.Load(), count.failed.Load(); d != tc.dropped || f != tc.failed {
				t.Errorf("got %d dropped and %d failed, want %d and %d", d, f, tc.dropped, tc.failed)
			}
			if got := first.longest.Load(); got != tc.longest {
				t.Errorf("got runs of up to %d bytes, want %d", got, tc.longest)
			}
		})
	}
}

// A kernel that does not know UDP_SEGMENT gets the datagrams one by one.
func TestKernelWithoutRuns(t *testing.T) {
	conn := &scripted{}
	s := &socket{kernel: &kernelSocket{conn: conn}}
	b := newBatch(s, new(counters), shardArena, shardMessages)
	conn.calls = &b.calls
	e := newEndpoint(s, viewerAddr)
	for range 3 {
		b.put(e, 'x', 100)
	}
	b.flush()
	if len(conn.sizes) != 3 {
		t.Errorf("got %d calls, want one for each datagram", len(conn.sizes))
	}
}

func TestClosedSocket(t *testing.T) {
	conn, _ := listen(t, "udp4", "127.0.0.1:0")
	s := newSocket(conn)
	_ = conn.Close()
	count := new(counters)
	b := newBatch(s, count, shardArena, shardMessages)
	for range 3 {
		b.put(newEndpoint(s, viewerAddr), 'x', 100)
	}
	b.flush()
	if got := count.failed.Load(); got != 3 {
		t.Errorf("got %d failed, want 3", got)
	}
}

// Viewers of a plane on a real socket get what they would get of a fake one,
// whatever the lengths of the packets.
func TestPlaneOnSocket(t *testing.T) {
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			conn, _ := listen(t, "udp4", "127.0.0.1:0")
			peer, to := listen(t, "udp4", "127.0.0.1:0")
			setOption(t, peer, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
			plane := NewPlane(discard, conn)
			defer plane.Close()
			far := newFarEnd(t, tc.profile)
			v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
			if err := v.Start(far.keys, to); err != nil {
				t.Fatal(err)
			}
			src := newTrack(90000)
			src.silent = true
			s := v.Stream("video")
			s.Bind(src, videoFormat, nil)
			random := newRand(5)
			const packets = 400
			buf := make([]byte, 1<<16)
			for i := range uint64(packets) {
				size := 1100
				if random(4) == 0 {
					size = int(1 + random(1800))
				}
				p := src.packet(base+i, uint32(i/9)*3000, strings.Repeat("v", size))
				p.Key, p.Marker = i == 0, i%9 == 8
				s.Write(p)
			}
			var got []*rtp.Packet
			for len(got) < packets {
				n, err := peer.Read(buf)
				if err != nil {
					t.Fatalf("%v after %d packets", err, len(got))
				}
				_, _ = far.WriteToUDPAddrPort(buf[:n], to)
				got = append(got, far.takeRTP(videoSSRC)...)
			}
			inSequence(t, got)
			for i, p := range got {
				if want := src.Packet(base + uint64(i)).Payload; !bytes.Equal(p.Payload, want) {
					t.Fatalf("packet %d: got %d bytes, want %d", i, len(p.Payload), len(want))
				}
			}
		})
	}
}

// TestFanOutAllocations: nothing is allocated from a track's Write to the kernel,
// for any number of viewers and packets.
func TestFanOutAllocations(t *testing.T) {
	const viewers, frame = 20, 9
	for _, tc := range profiles {
		t.Run(tc.name, func(t *testing.T) {
			conn, _ := listen(t, "udp4", "127.0.0.1:0")
			_, to := listen(t, "udp4", "127.0.0.1:0")
			plane := newPlane(discard, conn)
			defer plane.Close()
			src := newTrack(90000)
			packets := make([]*Packet, frame)
			for i := range packets {
				packets[i] = src.key(base+uint64(i), 0, strings.Repeat("v", 1150))
				packets[i].Marker = i == frame-1
			}
			streams := make([]*Stream, viewers)
			for i := range streams {
				v := plane.NewViewer(ViewerConfig{CNAME: "gateway", Streams: defaultStreams()})
				if err := v.Start(testKeys(t, tc.profile), to); err != nil {
					t.Fatal(err)
				}
				streams[i] = v.Stream("video")
				streams[i].Bind(src, videoFormat, nil)
			}
			round := func() {
				for _, p := range packets {
					p.Seq += frame
					for _, s := range streams {
						s.Write(p)
					}
				}
				plane.settle()
			}
			round()
			before := plane.Stats().Packets
			const rounds = 50
			got := testing.AllocsPerRun(rounds, round)
			if sent := plane.Stats().Packets - before; sent != (rounds+1)*viewers*frame {
				t.Fatalf("sent %d packets, want %d", sent, (rounds+1)*viewers*frame)
			}
			if want := tc.allocs * viewers * frame; got > want {
				t.Errorf("got %v allocations a frame of %d packets for %d viewers, want at most %v", got, frame, viewers, want)
			}
		})
	}
}
