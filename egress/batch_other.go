//go:build !linux

package egress

import "net/netip"

// Other systems have neither sendmmsg nor UDP_SEGMENT, or have them otherwise:
// there every datagram is a write of its own.
type (
	kernelSocket struct{}
	rawAddress   struct{}
	systemCalls  struct{}
)

func newKernelSocket(PacketWriter) *kernelSocket { return nil }

func (*socket) wide() bool                   { return false }
func (*rawAddress) set(netip.AddrPort, bool) {}
func (*systemCalls) init(*batch)             {}

// sendTogether is not reached: there is no kernelSocket.
func (b *batch) sendTogether() {
	for i := range b.messages {
		b.sendPlain(&b.messages[i])
	}
}
