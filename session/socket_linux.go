package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// openSenders opens n more sockets on the address of first, which are sent by
// and receive nothing. On error it returns none.
func openSenders(network string, at netip.AddrPort, first *net.UDPConn, n int) (more []*net.UDPConn, err error) {
	defer func() {
		if err != nil {
			for _, c := range more {
				_ = c.Close() // nothing was sent by it
			}
			more = nil
		}
	}()
	if err := control(first, share); err != nil {
		return nil, fmt.Errorf("session: share the media address: %w", err)
	}
	local, ok := first.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, errors.New("session: the media socket has no UDP address")
	}
	l := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return controlRaw(c, share) }}
	address := netip.AddrPortFrom(at.Addr(), uint16(local.Port)).String()
	if !at.Addr().IsValid() {
		address = fmt.Sprintf(":%d", local.Port)
	}
	for range n {
		p, err := l.ListenPacket(context.Background(), network, address) //nolint:forbidigo // an address is nothing to wait for
		if err != nil {
			return more, fmt.Errorf("session: share the media address: %w", err)
		}
		c, ok := p.(*net.UDPConn)
		if !ok {
			return more, errors.Join(errors.New("session: no UDP socket"), p.Close())
		}
		more = append(more, c)
	}
	// The kernel would spread senders of datagrams over the sockets by a hash; the
	// sessions are known in one place, so all of it goes to the socket that was
	// there first.
	if err := control(first, receiveAll); err != nil {
		return more, fmt.Errorf("session: receive by one socket: %w", err)
	}
	return more, nil
}

func share(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// receiveAll attaches a classic BPF program that answers 0, the number of the
// socket (socket(7), SO_ATTACH_REUSEPORT_CBPF).
func receiveAll(fd int) error {
	program := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}

// allowFragments lets routers cut packets that are too long for a link, instead
// of dropping them: some publishers make packets that leave little room under
// 1500 bytes, and tunnels take from that. IPv6 has no such choice.
func allowFragments(c *net.UDPConn) error {
	return control(c, func(fd int) error {
		err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		if errors.Is(err, unix.ENOPROTOOPT) { // a socket for IPv6 alone
			return nil
		}
		return err
	})
}

// control runs f with the descriptor of a connection.
func control(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return controlRaw(raw, f)
}

func controlRaw(raw syscall.RawConn, f func(fd int) error) error {
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
