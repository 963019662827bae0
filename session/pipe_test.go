package session

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/ice/v4"
)

var _ ice.AddrPortReaderWriter = (*pipe)(nil)

func testPipe(depth int) (*pipe, *[][]byte) {
	var sent [][]byte
	return newPipe(depth, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &buffers{}, func(b []byte, _ netip.AddrPort) (int, error) {
		sent = append(sent, b)
		return len(b), nil
	}), &sent
}

func TestPipe(t *testing.T) {
	from := netip.MustParseAddrPort("127.0.0.1:7")
	p, sent := testPipe(2)
	if !p.push([]byte("a"), from) || !p.push([]byte("b"), from) || p.push([]byte("c"), from) {
		t.Error("a queue of two must take two")
	}
	buf := make([]byte, 10)
	if n, at, err := p.ReadFrom(buf); err != nil || string(buf[:n]) != "a" || at.String() != from.String() {
		t.Errorf("got %q from %v, %v", buf[:n], at, err)
	}
	if n, at, err := p.ReadFromAddrPort(buf); err != nil || string(buf[:n]) != "b" || at != from {
		t.Errorf("got %q from %v, %v", buf[:n], at, err)
	}
	if err := p.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	if _, _, err := p.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(p.SetReadDeadline(time.Time{}), p.SetWriteDeadline(time.Time{})); err != nil {
		t.Error(err)
	}
	if _, err := p.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(from)); err != nil || len(*sent) != 1 {
		t.Errorf("sent %q, %v", *sent, err)
	}
	if _, err := p.WriteTo([]byte("x"), &net.TCPAddr{}); err == nil {
		t.Error("wrote to a TCP address")
	}
	p.mute()
	if n, err := p.WriteToAddrPort([]byte("x"), from); n != 1 || err != nil || len(*sent) != 1 {
		t.Errorf("muted, but sent %q, %v", *sent, err)
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
	if _, _, err := p.ReadFrom(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if p.LocalAddr().String() != "127.0.0.1:1" {
		t.Errorf("local address %v", p.LocalAddr())
	}
}

// A pipe with a limit ends behind that many datagrams.
func TestPipeLimit(t *testing.T) {
	p, _ := testPipe(3)
	p.limit = 2
	buf := make([]byte, 10)
	for range 3 {
		p.push([]byte("a"), netip.AddrPort{})
	}
	for range 2 {
		if _, _, err := p.ReadFrom(buf); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := p.ReadFrom(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
