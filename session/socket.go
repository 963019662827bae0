package session

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"

	"github.com/sluicemedia/sluice/egress"
)

// socketBuffer is asked of the kernel for each direction: a burst of keyframes to
// many viewers, or of a busy moment of ours.
const socketBuffer = 8 << 20

// mediaSockets are the sockets of one address: the first receives everything, and
// sends the answers to checks, DTLS, and what publishers get. Whoever writes to it
// waits while it is full, and others wait behind him. The plane does not, so it
// has sockets of its own where it can: each sends for a share of the viewers.
type mediaSockets struct {
	first *net.UDPConn
	more  []*net.UDPConn
}

// openMedia opens the media sockets. An unspecified address listens for IPv4 and
// IPv6.
func openMedia(at netip.AddrPort, log *slog.Logger) (mediaSockets, error) {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6"
	}
	if !at.Addr().IsValid() || at.Addr().IsUnspecified() {
		network = "udp"
	}
	// By itself, as if it were to be the only one: an address that another process
	// listens on must be refused, and sharing it would not be.
	first, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return mediaSockets{}, fmt.Errorf("session: listen for media: %w", err)
	}
	s := mediaSockets{first: first}
	if s.more, err = openSenders(network, at, first, runtime.GOMAXPROCS(0)); err != nil {
		log.Info("one media socket sends for all cores", "err", err)
	}
	for _, c := range append([]*net.UDPConn{first}, s.more...) {
		if err := errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer), allowFragments(c)); err != nil {
			log.Warn("media socket not set up as it should be", "err", err)
		}
	}
	return s, nil
}

// writers are what the shards of the plane send by: one for each core, in any
// case.
func (s mediaSockets) writers() []egress.PacketWriter {
	var w []egress.PacketWriter
	for _, c := range s.more {
		w = append(w, c)
	}
	for len(w) < runtime.GOMAXPROCS(0) {
		w = append(w, s.first)
	}
	return w
}

func (s mediaSockets) close() error {
	err := s.first.Close()
	for _, c := range s.more {
		err = errors.Join(err, c.Close())
	}
	return err
}
