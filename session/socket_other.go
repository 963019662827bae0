//go:build !linux

package session

import (
	"errors"
	"net"
	"net/netip"
)

// openSenders: elsewhere the sockets of one address cannot be told which of them
// is to receive.
func openSenders(string, netip.AddrPort, *net.UDPConn, int) ([]*net.UDPConn, error) {
	return nil, errors.New("session: this system has one media socket")
}

func allowFragments(*net.UDPConn) error { return nil }
