package session

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readBatch is how many datagrams are read at once: a burst of reports and checks
// that came while we did something else.
const readBatch = 32

// received is struct mmsghdr of recvmmsg(2).
type received struct {
	header unix.Msghdr
	size   uint32
}

// batch reads the media socket by recvmmsg(2). The kernel writes into its
// buffers, which never move: no datagram costs an allocation.
type batch struct {
	handle  func(b []byte, from netip.AddrPort)
	headers [readBatch]received
	parts   [readBatch]unix.Iovec
	sources [readBatch]unix.RawSockaddrInet6 // has room for IPv4
	buffers [readBatch][maxDatagram]byte
	filled  int // by the last call: the kernel wrote into as many headers
	failed  error
}

func newBatch(handle func([]byte, netip.AddrPort)) *batch {
	b := &batch{handle: handle, filled: readBatch}
	for i := range b.headers {
		b.parts[i].Base = &b.buffers[i][0]
		b.parts[i].SetLen(maxDatagram)
		h := &b.headers[i].header
		h.Name = (*byte)(unsafe.Pointer(&b.sources[i])) //nolint:gosec // struct msghdr wants it
		h.Iov = &b.parts[i]
		h.SetIovlen(1)
	}
	return b
}

// read reads until the socket is closed; net.ErrClosed then. Any other error is
// of one attempt.
func (b *batch) read(conn syscall.RawConn) error {
	for {
		b.failed = nil
		if err := conn.Read(b.drain); err != nil {
			return err
		}
		if b.failed != nil {
			return b.failed
		}
	}
}

// drainLimit is how many batches are read until it is seen whether the socket was
// closed: in a flood it would never be.
const drainLimit = 64

// drain handles all that waits and asks to be called again when there is more.
// The poller tells of changes, so a call that got less than it could take has
// left nothing behind that it does not tell of. Of a single datagram we believe
// that, and save the call that finds none; behind several there is often one
// more by the time they are done, at less than what waiting for it costs. It is
// done, for now, when there is no end to it.
func (b *batch) drain(fd uintptr) (done bool) {
	for range drainLimit {
		n, err := b.receive(fd)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case err != 0:
			b.failed = err
			return true
		}
		for i := range n {
			size := min(int(b.headers[i].size), maxDatagram)
			if from := origin(&b.sources[i]); from.IsValid() {
				b.handle(b.buffers[i][:size], from)
			}
		}
		if n == 1 {
			return false
		}
	}
	return true
}

// receive is one system call.
func (b *batch) receive(fd uintptr) (int, syscall.Errno) {
	for i := range b.filled {
		b.headers[i].header.Namelen = unix.SizeofSockaddrInet6 // there it says how much it used
	}
	n, _, err := unix.RawSyscall6(unix.SYS_RECVMMSG, fd,
		uintptr(unsafe.Pointer(&b.headers[0])), readBatch, unix.MSG_DONTWAIT, 0, 0) //nolint:gosec // that is how it is called
	b.filled = 0
	if err == 0 {
		b.filled = int(n)
	}
	return b.filled, err
}

// origin is the address of a datagram, not of IPv4 in IPv6.
func origin(s *unix.RawSockaddrInet6) netip.AddrPort {
	port := (*[2]byte)(unsafe.Pointer(&s.Port)) //nolint:gosec // in network byte order
	number := uint16(port[0])<<8 | uint16(port[1])
	switch s.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(s)) //nolint:gosec // that is what the family says
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), number)
	case unix.AF_INET6:
		ip := netip.AddrFrom16(s.Addr).Unmap()
		if s.Scope_id != 0 && ip.Is6() {
			// The interface by its number: package net takes that for a zone, too.
			ip = ip.WithZone(strconv.Itoa(int(s.Scope_id)))
		}
		return netip.AddrPortFrom(ip, number)
	default:
		return netip.AddrPort{}
	}
}

// read hands on what comes in until the socket is closed or cannot be read; the
// error is net.ErrClosed or that of an attempt. handle must not close the socket:
// closing waits for the read that calls it.
func read(conn *net.UDPConn, handle func(b []byte, from netip.AddrPort)) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	err = newBatch(handle).read(raw)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return readEach(conn, handle) // a sandbox that does not know the call
	}
	return err
}
