package bench

import "net/netip"

// network moves the datagrams of all viewers. What comes is given to
// viewer.take with fleet.mu held.
type network interface {
	// open binds a socket of v's own.
	open(bind netip.Addr, v *viewer) (socket, error)
	// close ends what open started; the sockets are closed by then.
	close() error
}

// socket is the UDP socket of one viewer.
type socket interface {
	local() netip.AddrPort
	connect(to netip.AddrPort) error
	send(datagram []byte) error
	// drops is how many datagrams came and found no room, so far.
	drops() uint64
	close() error
}

const (
	maxDatagram = 1600
	// wantedBuffer has room for seconds of a common stream: a generator that has to
	// share its processor is late with reading then, and loses nothing.
	wantedBuffer = 4 << 20
)
