package bench

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchLen is how many datagrams one call takes: a keyframe, about.
	batchLen = 64
	// headLen is how much is copied of the datagrams of a viewer who does not
	// decrypt: all of a connectivity check, any RTP header.
	headLen    = 320
	controlLen = 64
)

// receiver is the memory that recvmmsg fills.
type receiver struct {
	size     int
	buf      []byte
	control  []byte // empty: no ancillary data
	vectors  [batchLen]unix.Iovec
	messages [batchLen]mmsghdr
	used     int // messages whose ancillary length the kernel has changed
}

// mmsghdr is struct mmsghdr of recvmmsg(2); the compiler pads it as C does.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

func newReceiver(size int, timestamps bool) *receiver {
	r := &receiver{size: size, buf: make([]byte, batchLen*size)}
	if timestamps {
		r.control = make([]byte, batchLen*controlLen)
	}
	for i := range r.messages {
		r.vectors[i].Base = &r.buf[i*size]
		r.vectors[i].SetLen(size)
		h := &r.messages[i].header
		h.Iov = &r.vectors[i]
		h.SetIovlen(1)
		if timestamps {
			h.Control = &r.control[i*controlLen]
		}
	}
	r.used = batchLen
	return r
}

// receive takes what has come, up to batchLen datagrams.
func (r *receiver) receive(fd int) int {
	if len(r.control) > 0 {
		for i := range r.messages[:r.used] {
			r.messages[i].header.SetControllen(controlLen)
		}
	}
	// MSG_TRUNC makes the length that of the datagram, whatever was copied. The
	// call never blocks, so the scheduler need not hear of it.
	messages := unsafe.Pointer(&r.messages) //nolint:gosec // G103: x/sys has no such call
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(messages),
		batchLen, unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
	if errno != 0 {
		r.used = 0
		return 0
	}
	r.used = int(n)
	return int(n)
}

// datagram is what was copied of a datagram, and how long it was.
func (r *receiver) datagram(i int) (b []byte, wire int) {
	wire = int(r.messages[i].length)
	return r.buf[i*r.size:][:min(wire, r.size)], wire
}

// arrival is when a datagram came, in Unix nanoseconds; 0: not known.
func (r *receiver) arrival(i int) int64 {
	if len(r.control) == 0 {
		return 0
	}
	b := r.control[i*controlLen:][:r.messages[i].header.Controllen]
	if len(b) < unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{}))) {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0])) //nolint:gosec // G103: the length was looked at
	if h.Level != unix.SOL_SOCKET || h.Type != unix.SCM_TIMESTAMPNS {
		return 0
	}
	ts := (*unix.Timespec)(unsafe.Pointer(&b[unix.CmsgLen(0)])) //nolint:gosec // G103: the length was looked at
	return ts.Nano()
}
