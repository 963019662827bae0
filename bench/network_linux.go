package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller reads the sockets of all viewers on one thread: epoll tells which have
// something, recvmmsg takes it. Between two rounds it sleeps, so that more is
// there to be taken at once; latency is not disturbed by that, since the sampled
// viewers have the time of arrival from the kernel.
type poller struct {
	fleet   *fleet
	epoll   int
	ending  atomic.Bool
	running sync.WaitGroup
	err     error // of run; read after running

	byFD map[int32]*pollSocket // guarded by fleet.mu

	whole, stamped, heads *receiver // used by run alone
}

// Naps between rounds. A join takes several exchanges, each of which may have to
// wait for one.
const (
	nap        = time.Millisecond
	napJoining = 100 * time.Microsecond
	// endPatience is how long run may take to notice that it is to end.
	endPatience = 50 * time.Millisecond
)

func newNetwork(f *fleet) (network, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("bench: make an epoll instance: %w", err)
	}
	p := &poller{
		fleet: f, epoll: epoll, byFD: map[int32]*pollSocket{},
		whole: newReceiver(maxDatagram, false), stamped: newReceiver(maxDatagram, true), heads: newReceiver(headLen, false),
	}
	p.running.Go(p.run)
	return p, nil
}

func (p *poller) close() error {
	p.ending.Store(true)
	p.running.Wait()
	return errors.Join(p.err, unix.Close(p.epoll))
}

func (p *poller) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, 1024)
	for !p.ending.Load() {
		n, err := unix.EpollWait(p.epoll, events, int(endPatience/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			p.err = fmt.Errorf("bench: wait for datagrams: %w", err)
			return
		}
		if n <= 0 {
			continue
		}
		pause := nap
		p.fleet.mu.Lock()
		now := time.Now()
		for i := range events[:n] {
			if s := p.byFD[events[i].Fd]; s != nil {
				p.drain(s, now)
			}
		}
		if p.fleet.joining > 0 {
			pause = napJoining
		}
		p.fleet.mu.Unlock()
		sleepExactly(pause)
	}
}

// drain reads until nothing is left: epoll is edge-triggered.
func (p *poller) drain(s *pollSocket, now time.Time) {
	for {
		r := p.heads
		switch {
		case s.viewer.sampled:
			r = p.stamped
		case !s.viewer.connected:
			r = p.whole
		}
		n := r.receive(s.fd)
		for i := range n {
			b, wire := r.datagram(i)
			s.viewer.take(b, wire, r.arrival(i), now)
		}
		if n < batchLen {
			return
		}
	}
}

// sleepExactly sleeps without Go's timers, which round up to a millisecond when
// nothing else runs.
func sleepExactly(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&ts, &ts) == unix.EINTR {
		continue
	}
}

type pollSocket struct {
	poller *poller
	viewer *viewer
	fd     int
	at     netip.AddrPort
}

func (p *poller) open(bind netip.Addr, v *viewer) (socket, error) {
	s, err := openPollSocket(bind, v.sampled)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	s.poller, s.viewer = p, v
	p.fleet.mu.Lock()
	defer p.fleet.mu.Unlock()
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(s.fd)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		return nil, errors.Join(os.NewSyscallError("epoll_ctl", err), unix.Close(s.fd))
	}
	p.byFD[int32(s.fd)] = s
	return s, nil
}

func openPollSocket(bind netip.Addr, timestamps bool) (*pollSocket, error) {
	family := unix.AF_INET
	if bind.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	fail := func(call string, err error) (*pollSocket, error) {
		return nil, errors.Join(os.NewSyscallError(call, err), unix.Close(fd))
	}
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(bind, 0))); err != nil {
		return fail("bind", err)
	}
	// Without the right to force it the kernel gives what it allows.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wantedBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, wantedBuffer); err != nil {
			return fail("setsockopt", err)
		}
	}
	if timestamps {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return fail("setsockopt", err)
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return fail("getsockname", err)
	}
	port := 0
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		port = a.Port
	case *unix.SockaddrInet6:
		port = a.Port
	}
	return &pollSocket{fd: fd, at: netip.AddrPortFrom(bind, uint16(port))}, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func (s *pollSocket) local() netip.AddrPort { return s.at }

func (s *pollSocket) connect(to netip.AddrPort) error {
	return os.NewSyscallError("connect", unix.Connect(s.fd, sockaddr(to)))
}

func (s *pollSocket) send(datagram []byte) error {
	_, err := unix.Write(s.fd, datagram)
	return os.NewSyscallError("write", err)
}

// drops asks the kernel (sock_diag(7), SK_MEMINFO_DROPS).
func (s *pollSocket) drops() uint64 {
	const places, dropped = 9, 8
	var info [places]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // G103: x/sys has no call for it
	if errno != 0 {
		return 0
	}
	return uint64(info[dropped])
}

// close keeps the poller from the descriptor before its number is free.
func (s *pollSocket) close() error {
	s.poller.fleet.mu.Lock()
	defer s.poller.fleet.mu.Unlock()
	delete(s.poller.byFD, int32(s.fd))
	return unix.Close(s.fd)
}
