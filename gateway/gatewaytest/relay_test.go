package gatewaytest_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// echo answers each packet with the address it came from.
func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() { // waited for by the cleanup
		defer close(done)
		b := make([]byte, 2048)
		for {
			_, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if _, err := conn.WriteToUDPAddrPort([]byte(from.String()), from); err != nil {
				return
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// ask sends one packet and returns the answer, "" after the wait.
func ask(t *testing.T, conn *net.UDPConn, wait time.Duration) string {
	t.Helper()
	if _, err := conn.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	n, err := conn.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

func TestUDPRelay(t *testing.T) {
	relay := gatewaytest.NewUDPRelay(t, echo(t), 1, nil, nil)
	dial := func() *net.UDPConn {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(relay.Addr))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	a, b := dial(), dial()
	seenA, seenB := ask(t, a, 10*time.Second), ask(t, b, 10*time.Second)
	if seenA == "" || seenB == "" || seenA == seenB {
		t.Fatalf("two senders are seen as %q and %q, want two addresses", seenA, seenB)
	}
	if again := ask(t, a, 10*time.Second); again != seenA {
		t.Errorf("the same sender is seen as %q, then as %q", seenA, again)
	}
	relay.Down.Set(gatewaytest.Impairment{Down: true})
	if got := ask(t, a, 100*time.Millisecond); got != "" {
		t.Errorf("got %q through a link that is down", got)
	}
	if up, down := relay.Up.Counts(), relay.Down.Counts(); up.In != 4 || down.Out != 3 || down.Lost != 1 {
		t.Errorf("up %+v, down %+v", up, down)
	}
}
