package main

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readBatch = 32
	readBytes = 64 // of a packet; the rest is left to the kernel to throw away
	readNap   = 500 * time.Microsecond
	readWait  = 50 // milliseconds for a packet before looking whether to stop
)

// receivers are the sockets of the floor's viewers.
type receivers struct {
	epoll     int
	fds       []int
	addresses []unix.RawSockaddrInet4
}

func openReceivers(n int) (*receivers, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("paired: epoll: %w", err)
	}
	r := &receivers{epoll: epoll}
	for range n {
		if err := r.open(); err != nil {
			return nil, errors.Join(fmt.Errorf("paired: receiver: %w", err), r.close())
		}
	}
	return r, nil
}

func (r *receivers) open() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	r.fds = append(r.fds, fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveRoom); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	in4, ok := address.(*unix.SockaddrInet4)
	if !ok {
		return fmt.Errorf("bound to %T", address)
	}
	port := uint16(in4.Port)
	r.addresses = append(r.addresses, unix.RawSockaddrInet4{
		Family: unix.AF_INET, Port: port<<8 | port>>8, Addr: in4.Addr,
	})
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// read empties the sockets until stop is closed, as the load generator does:
// many packets a call, and a nap after each round.
func (r *receivers) read(core int, stop <-chan struct{}) error {
	if err := pinThread(core); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 1024)
	var buffers [readBatch][readBytes]byte
	var vectors [readBatch]unix.Iovec
	var messages [readBatch]message
	for i := range messages {
		vectors[i].Base = &buffers[i][0]
		vectors[i].SetLen(readBytes)
		messages[i].Iov, messages[i].Iovlen = &vectors[i], 1
	}
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		n, err := unix.EpollWait(r.epoll, events, readWait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("paired: epoll: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			for got := readBatch; got == readBatch; {
				count, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(e.Fd), uintptr(unsafe.Pointer(&messages[0])),
					readBatch, unix.MSG_DONTWAIT, 0, 0)
				got = int(count)
				if errno != 0 {
					got = 0 // empty
				}
			}
		}
		time.Sleep(readNap)
	}
}

func (r *receivers) close() error {
	var errs []error
	for _, fd := range append(r.fds, r.epoll) {
		errs = append(errs, unix.Close(fd))
	}
	return errors.Join(errs...)
}
