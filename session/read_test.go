package session

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// readers are the ways to read the media socket; that of this system, and the
// one of all systems.
var readers = map[string]func(*net.UDPConn, func([]byte, netip.AddrPort)) error{"read": read, "each": readEach}

// readFrom opens a socket at an address and lets a reader read it; stop closes
// it and returns the reader's error.
func readFrom(tb testing.TB, network, at string, read func(*net.UDPConn, func([]byte, netip.AddrPort)) error,
	handle func([]byte, netip.AddrPort),
) (to *net.UDPAddr, stop func() error) {
	tb.Helper()
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		tb.Fatal(err)
	}
	_ = conn.SetReadBuffer(socketBuffer) // as much as we get
	ended := make(chan error, 1)
	go func() { ended <- read(conn, handle) }() // stop waits
	return conn.LocalAddr().(*net.UDPAddr), func() error { conn.Close(); return <-ended }
}

type heard struct {
	from netip.AddrPort
	b    []byte
}

// Whichever way it is read, a datagram comes whole, with the address of its
// sender as others write it, and the end of the socket is told.
func TestRead(t *testing.T) {
	for name, read := range readers {
		for _, c := range []struct{ network, at, sender string }{
			{"udp4", "127.0.0.1:0", "127.0.0.1:0"},
			{"udp6", "[::1]:0", "[::1]:0"},
			{"udp", "[::]:0", "127.0.0.1:0"}, // IPv4 in IPv6 for the socket
			{"udp", "[::]:0", "[::1]:0"},
		} {
			t.Run(fmt.Sprintf("%s %s from %s", name, c.at, c.sender), func(t *testing.T) {
				got := make(chan heard, 1024)
				to, stop := readFrom(t, c.network, c.at, read, func(b []byte, from netip.AddrPort) {
					got <- heard{from, bytes.Clone(b)}
				})
				from := netip.MustParseAddrPort(c.sender)
				sock, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(from), &net.UDPAddr{IP: from.Addr().AsSlice(), Port: to.Port})
				if err != nil {
					t.Fatal(err)
				}
				defer sock.Close()
				here := sock.LocalAddr().(*net.UDPAddr).AddrPort()
				sizes := []int{1, 0, 1200, maxDatagram, maxDatagram + 100}
				for i := range 200 { // more than one batch
					sizes = append(sizes, i)
				}
				for i, n := range sizes {
					if _, err := sock.Write(bytes.Repeat([]byte{byte(i)}, n)); err != nil {
						t.Fatal(err)
					}
				}
				for i, n := range sizes {
					select {
					case h := <-got:
						want := bytes.Repeat([]byte{byte(i)}, min(n, maxDatagram))
						if h.from != here || !bytes.Equal(h.b, want) {
							t.Fatalf("got %d bytes %.4x from %v, want %d bytes %.4x from %v", len(h.b), h.b, h.from, len(want), want, here)
						}
					case <-time.After(10 * time.Second):
						t.Fatalf("datagram %d did not come", i)
					}
				}
				if err := stop(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("ended by %v, want %v", err, net.ErrClosed)
				}
			})
		}
	}
}

// A datagram that comes while the one before it is looked at is not forgotten,
// and one after a pause is noticed.
func TestReadMissesNothing(t *testing.T) {
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			got := make(chan byte)
			to, stop := readFrom(t, "udp4", "127.0.0.1:0", read, func(b []byte, _ netip.AddrPort) { got <- b[0] })
			sock, err := net.DialUDP("udp4", nil, to)
			if err != nil {
				t.Fatal(err)
			}
			defer sock.Close()
			expect := func(want byte) {
				t.Helper()
				select {
				case b := <-got:
					if b != want {
						t.Fatalf("got %d, want %d", b, want)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%d did not come", want)
				}
			}
			for i := range byte(200) {
				for j := range i % 40 { // they wait together, behind the first
					if _, err := sock.Write([]byte{j}); err != nil {
						t.Fatal(err)
					}
					runtime.Gosched()
				}
				for j := range i % 40 {
					expect(j)
				}
			}
			if err := stop(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("ended by %v", err)
			}
		})
	}
}

// A flood does not keep a socket open that was closed.
func TestReadEndsInAFlood(t *testing.T) {
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			var flood atomic.Pointer[net.UDPConn]
			var over atomic.Bool // a reader that does not end is to be let go
			flowing := make(chan struct{}, 1)
			n := 0
			to, stop := readFrom(t, "udp4", "127.0.0.1:0", read, func(b []byte, _ netip.AddrPort) {
				for range 2 { // there is always more than one that waits
					if !over.Load() {
						_, _ = flood.Load().Write(b)
					}
				}
				if n++; n == 1000 {
					flowing <- struct{}{}
				}
			})
			sock, err := net.DialUDP("udp4", nil, to)
			if err != nil {
				t.Fatal(err)
			}
			defer sock.Close()
			flood.Store(sock)
			if _, err := sock.Write([]byte("flood")); err != nil {
				t.Fatal(err)
			}
			<-flowing
			late := time.AfterFunc(10*time.Second, func() { over.Store(true) })
			defer late.Stop()
			if err := stop(); !errors.Is(err, net.ErrClosed) || over.Load() {
				t.Errorf("ended by %v, of itself: %t", err, !over.Load())
			}
		})
	}
}

// Reading costs no allocation.
func TestReadDoesNotAllocate(t *testing.T) {
	for name, read := range readers {
		got := make(chan struct{}, 64)
		to, stop := readFrom(t, "udp", "[::]:0", read, func([]byte, netip.AddrPort) { got <- struct{}{} })
		sock, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: to.Port})
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n := testing.AllocsPerRun(200, func() {
			for range 3 {
				_, _ = sock.Write(b)
			}
			for range 3 {
				<-got
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
		sock.Close()
		if err := stop(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: ended by %v", name, err)
		}
	}
}
