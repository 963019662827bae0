//go:build !linux

package session

import (
	"net"
	"net/netip"
)

// read hands on what comes in until the socket is closed or cannot be read; the
// error is net.ErrClosed or that of an attempt.
func read(conn *net.UDPConn, handle func(b []byte, from netip.AddrPort)) error {
	return readEach(conn, handle)
}
