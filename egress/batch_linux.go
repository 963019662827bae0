package egress

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelSocket is a socket that takes many messages with one system call, and
// runs of datagrams as one message if segments is set (Linux 4.18).
type kernelSocket struct {
	conn     syscall.RawConn
	wide     bool // AF_INET6: IPv4 addresses are written in their mapped form
	segments bool
}

// newKernelSocket returns nil for what is no UDP socket of the kernel.
func newKernelSocket(w PacketWriter) *kernelSocket {
	udp, ok := w.(*net.UDPConn)
	if !ok {
		return nil
	}
	conn, err := udp.SyscallConn()
	if err != nil {
		return nil
	}
	k := &kernelSocket{conn: conn}
	err = conn.Control(func(fd uintptr) {
		domain, derr := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		k.wide = derr == nil && domain == unix.AF_INET6
		_, serr := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		k.segments = serr == nil
	})
	if err != nil {
		return nil
	}
	return k
}

// wide tells whether the socket speaks IPv6, IPv4 addresses being mapped.
func (s *socket) wide() bool { return s.kernel != nil && s.kernel.wide }

// rawAddress is a socket address as the kernel reads it.
type rawAddress struct {
	bytes [unix.SizeofSockaddrInet6]byte
	size  uint32
}

// set writes an address in the form of a socket's family.
func (r *rawAddress) set(a netip.AddrPort, wide bool) {
	ip := a.Addr().Unmap()
	r.bytes = [unix.SizeofSockaddrInet6]byte{}
	binary.BigEndian.PutUint16(r.bytes[2:], a.Port())
	if ip.Is4() && !wide {
		binary.NativeEndian.PutUint16(r.bytes[:], unix.AF_INET)
		v4 := ip.As4()
		copy(r.bytes[4:], v4[:])
		r.size = unix.SizeofSockaddrInet4
		return
	}
	binary.NativeEndian.PutUint16(r.bytes[:], unix.AF_INET6)
	v6 := ip.As16()
	copy(r.bytes[8:], v6[:])
	binary.NativeEndian.PutUint32(r.bytes[24:], scope(a.Addr().Zone()))
	r.size = unix.SizeofSockaddrInet6
}

// scope is the number of the interface that a link-local address belongs to: its
// zone, or that of the interface of this name.
func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	sent uint32
}

// segmentControl is a control message of UDP_SEGMENT (udp(7)).
type segmentControl struct {
	unix.Cmsghdr
	size uint16
	_    [6]byte
}

// systemCalls are the arrays that the kernel reads, made once: one place for
// each message of a batch, and a last one for datagrams sent apart.
type systemCalls struct {
	headers  []mmsghdr
	vectors  []unix.Iovec
	controls []segmentControl
	// Arguments and result of call, which is made once too: a closure for each
	// flush would be garbage.
	from, to int
	done     int
	errno    syscall.Errno
	call     func(fd uintptr) bool
}

func (c *systemCalls) init(b *batch) {
	if b.socket.kernel == nil {
		return
	}
	n := cap(b.messages) + 1
	c.headers, c.vectors, c.controls = make([]mmsghdr, n), make([]unix.Iovec, n), make([]segmentControl, n)
	for i := range n {
		c.headers[i].Iov = &c.vectors[i]
		c.headers[i].SetIovlen(1)
		k := &c.controls[i]
		k.Level, k.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		k.SetLen(unix.CmsgLen(2))
	}
	c.call = func(fd uintptr) bool {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&c.headers[c.from])), //nolint:gosec // for the kernel
			uintptr(c.to-c.from), unix.MSG_DONTWAIT, 0, 0)
		c.done, c.errno = int(n), errno
		return true // whatever it said: a sender of live media waits for no socket
	}
}

// fill makes the message of number i what the kernel sends at place at.
func (c *systemCalls) fill(b *batch, at int, m *message, start, end int) {
	h := &c.headers[at]
	h.Name, h.Namelen = &m.to.raw.bytes[0], m.to.raw.size
	c.vectors[at].Base = &b.arena[start]
	c.vectors[at].SetLen(end - start)
	h.Control = nil
	h.SetControllen(0)
	if end-start > m.segment {
		c.controls[at].size = uint16(m.segment)
		h.Control = (*byte)(unsafe.Pointer(&c.controls[at])) //nolint:gosec // for the kernel
		h.SetControllen(unix.CmsgSpace(2))
	}
}

// send hands the messages at places from to to-1 to the kernel, which says how
// many it took; an error is about the one after those.
func (c *systemCalls) send(b *batch, from, to int) (int, error) {
	for {
		c.from, c.to = from, to
		if err := b.socket.kernel.conn.Write(c.call); err != nil {
			return 0, err // closed
		}
		switch {
		case c.errno == 0:
			return c.done, nil
		case c.errno != unix.EINTR:
			return 0, c.errno
		}
	}
}

// sendTogether sends the batch with as few system calls as possible, and what
// goes to one endpoint in the order it was added in.
func (b *batch) sendTogether() {
	n := 0
	for i := range b.messages {
		m := &b.messages[i]
		switch {
		case m.to.via != nil:
			b.sendPlain(m)
			m.count = 0 // sent
		case m.count > 1 && !b.socket.kernel.segments:
			b.sendFilled(n) // it may be to the same endpoint
			n = 0
			b.sendApart(m)
			m.count = 0
		default:
			b.messages[n] = *m
			b.calls.fill(b, n, &b.messages[n], m.start, m.end)
			n++
		}
	}
	b.sendFilled(n)
}

// sendFilled sends the first n messages, which the arrays of the kernel hold.
func (b *batch) sendFilled(n int) {
	for i := 0; i < n; {
		sent, err := b.calls.send(b, i, n)
		i += sent
		if err == nil {
			continue
		}
		m := &b.messages[i]
		switch {
		case full(err): // and so it is for all that follow
			for ; i < n; i++ {
				b.lost(err, b.messages[i].count)
			}
		case errors.Is(err, net.ErrClosed):
			for ; i < n; i++ {
				b.lost(err, b.messages[i].count)
			}
		case m.count > 1:
			m.to.refused(err, m.segment)
			b.sendApart(m)
			i++
		default: // this viewer cannot be reached; the others can
			b.lost(err, 1)
			i++
		}
	}
}

// refused takes note that the kernel did not send a run. EINVAL: its segments
// are longer than what the way there takes whole. Anything else: the device
// cannot cut it, as under IPsec.
func (e *endpoint) refused(err error, segment int) {
	if errors.Is(err, unix.EINVAL) && segment > 1 {
		e.longest.Store(min(e.longest.Load(), int32(segment-1)))
		return
	}
	e.longest.Store(0)
}

// sendApart sends the datagrams of a message one by one.
func (b *batch) sendApart(m *message) {
	last := len(b.calls.headers) - 1
	for i := range m.count {
		d := m.start + i*m.segment
		b.calls.fill(b, last, m, d, min(d+m.segment, m.end))
		_, err := b.calls.send(b, last, last+1)
		b.lost(err, 1)
	}
}
