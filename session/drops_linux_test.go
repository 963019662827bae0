package session

import (
	"net"
	"net/netip"
	"testing"
)

// A socket that nobody reads tells how much it had no room for.
func TestSocketDrops(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if got := socketDrops(conn); got != 0 {
		t.Errorf("a new socket dropped %d", got)
	}
	sender, err := net.Dial("udp4", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	for range 100 {
		if _, err := sender.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if got := socketDrops(conn); got < 50 || got > 100 {
		t.Errorf("got %d drops of 100 datagrams to a socket of 4 KiB", got)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := socketDrops(conn); got != 0 {
		t.Errorf("a closed socket tells of %d", got)
	}
}
