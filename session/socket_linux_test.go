package session

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// openOn opens media sockets as on a machine of four cores.
func openOn(t *testing.T, at string) mediaSockets {
	t.Helper()
	before := runtime.GOMAXPROCS(4)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	s, err := openMedia(netip.MustParseAddrPort(at), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	if len(s.more) != 4 || len(s.writers()) != 4 {
		t.Fatalf("got %d sockets more and %d writers for 4 cores, want 4 of each", len(s.more), len(s.writers()))
	}
	return s
}

var listenAddresses = map[string]string{ // and where they are reached from here
	"127.0.0.1:0": "127.0.0.1",
	"[::1]:0":     "::1",
	"0.0.0.0:0":   "127.0.0.1",
	"[::]:0":      "::1",
}

// Whoever sends, it comes by the first socket, and what any of the sockets sends
// comes from its address.
func TestMediaSockets(t *testing.T) {
	for at, host := range listenAddresses {
		t.Run(at, func(t *testing.T) {
			s := openOn(t, at)
			local, ok := s.first.LocalAddr().(*net.UDPAddr)
			if !ok {
				t.Fatal("no UDP address")
			}
			to := netip.AddrPortFrom(netip.MustParseAddr(host), uint16(local.Port))
			deadline := time.Now().Add(10 * time.Second)
			buf := make([]byte, 100)
			for range 64 {
				peer, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := peer.Write([]byte("to the first")); err != nil {
					t.Fatal(err)
				}
				_ = s.first.SetReadDeadline(deadline)
				n, from, err := s.first.ReadFromUDPAddrPort(buf)
				if err != nil || string(buf[:n]) != "to the first" {
					t.Fatalf("the first socket got %q, %v", buf[:n], err)
				}
				for _, w := range s.writers() {
					if _, err := w.WriteToUDPAddrPort([]byte("back"), from); err != nil {
						t.Fatal(err)
					}
					_ = peer.SetReadDeadline(deadline)
					// A connected socket takes what comes from its peer's address only.
					if n, err := peer.Read(buf); err != nil || string(buf[:n]) != "back" {
						t.Fatalf("the peer got %q, %v", buf[:n], err)
					}
				}
				_ = peer.Close()
			}
		})
	}
}

// Who waits for room in the first socket keeps it from all others meanwhile. No
// shard of the plane is among them.
func TestShardsDoNotWaitForAnswers(t *testing.T) {
	s := openOn(t, "127.0.0.1:0")
	raw, err := s.first.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	waiting, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- raw.Write(func(uintptr) bool {
			close(waiting)
			<-release
			return true
		})
	}()
	<-waiting
	sent := make(chan error, 1)
	go func() {
		var err error
		for _, w := range s.writers() {
			_, e := w.WriteToUDPAddrPort([]byte("media"), s.first.LocalAddr().(*net.UDPAddr).AddrPort())
			err = errors.Join(err, e)
		}
		sent <- err
	}()
	select {
	case err = <-sent:
	case <-time.After(10 * time.Second):
		err = errors.New("a shard waits")
	}
	close(release)
	if err := errors.Join(err, <-done); err != nil {
		t.Error(err)
	}
}

// Sharing an address among our own sockets does not let a second node have it.
func TestMediaSocketsAreNotShared(t *testing.T) {
	for at := range listenAddresses {
		s := openOn(t, at)
		taken := s.first.LocalAddr().String()
		other, err := openMedia(netip.MustParseAddrPort(taken), slog.New(slog.DiscardHandler))
		if err == nil {
			_ = other.close()
			t.Errorf("%s was opened twice", taken)
		}
	}
}

func TestMediaSocketsOfOneCore(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	s, err := openMedia(netip.MustParseAddrPort("127.0.0.1:0"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	if len(s.more) != 1 || len(s.writers()) != 1 {
		t.Errorf("got %d sockets more and %d writers, want 1 of each", len(s.more), len(s.writers()))
	}
}
