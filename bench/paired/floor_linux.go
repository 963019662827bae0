package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The floor is what no server on this kernel gets below: the packets of the
// stream sealed with AES-128-GCM straight into one buffer, the packets of a
// frame for one viewer handed over as one message that the kernel cuts
// (UDP_SEGMENT), a call for many viewers (sendmmsg), one core, nothing else.
// The receivers are sockets on loopback that another core reads as the load
// generator does, so that delivery costs the sender the same.

// What the load generator publishes, packet by packet.
const (
	rtpHeader = 12
	gcmTag    = 16

	framesPerSecond = 30
	framesPerKey    = 60
	audioPerSecond  = 50
)

// A burst is what is published at one time: packets of one length, and a last
// one that is shorter.
type burst struct{ full, size, last int }

func (b burst) packets() int { return b.full + min(b.last, 1) }

var (
	parameterSets = burst{last: 90} // before a keyframe
	keyframe      = burst{48, 1200, 188}
	deltaFrame    = burst{8, 1200, 33}
	audioPacket   = burst{last: 160}
)

const (
	longestPayload = 1200

	arenaSize    = 256 << 10
	messagesMost = 64
	segmentsMost = 50 // of the longest packets, in the 64 KiB of a message
	floorParts   = 5  // of the fast window, of which the cheapest counts
	floorBuffer  = 4 << 20
	receiveRoom  = 1 << 20
)

// measureFloor measures both for as long as the window, on the cores given.
func measureFloor(ctx context.Context, viewers int, window time.Duration, sendCore, readCore int) (r floorResult, err error) {
	receivers, err := openReceivers(viewers)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, receivers.close()) }()
	var reading sync.WaitGroup
	stop := make(chan struct{})
	var readErr error
	reading.Go(func() { readErr = receivers.read(readCore, stop) })
	type outcome struct {
		r   floorResult
		err error
	}
	done := make(chan outcome, 1)
	reading.Go(func() {
		o := outcome{}
		o.r, o.err = sendFloor(ctx, receivers.addresses, window, sendCore)
		done <- o
	})
	o := <-done
	close(stop)
	reading.Wait()
	return o.r, errors.Join(o.err, readErr)
}

// pinThread makes the calling goroutine the only one of a thread that runs on
// one core. The thread ends with the goroutine.
func pinThread(core int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("paired: pin a thread to core %d: %w", core, err)
	}
	return nil
}

func sendFloor(ctx context.Context, to []unix.RawSockaddrInet4, window time.Duration, core int) (r floorResult, err error) {
	if err := pinThread(core); err != nil {
		return r, err
	}
	s, err := newFloorSender(to)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unix.Close(s.fd)) }()
	var n int
	if r.PacedNanos, n, err = s.run(ctx, window, true); err != nil {
		return r, err
	}
	r.Packets += n
	for range floorParts {
		nanos, n, err := s.run(ctx, window/floorParts, false)
		if err != nil {
			return r, err
		}
		r.Packets += n
		if r.BusyNanos == 0 || nanos < r.BusyNanos {
			r.BusyNanos = nanos
		}
	}
	return r, nil
}

// segmentRoom is what the size of a segment takes as a control message.
func segmentRoom() int { return unix.CmsgSpace(2) }

// floorSender seals and sends. One thread uses it.
type floorSender struct {
	fd      int
	to      []unix.RawSockaddrInet4
	seal    []cipher.AEAD // one for each viewer: keys out of the cache cost what they cost
	nonce   [12]byte
	index   uint64
	payload []byte
	header  [rtpHeader]byte

	arena    []byte
	used     int
	messages []message
	vectors  []unix.Iovec
	control  []byte
	queued   int
	packets  int
}

// message is struct mmsghdr.
type message struct {
	unix.Msghdr
	sent uint32
}

func newFloorSender(to []unix.RawSockaddrInet4) (*floorSender, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("paired: socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, floorBuffer); err != nil {
		return nil, errors.Join(fmt.Errorf("paired: send buffer: %w", err), unix.Close(fd))
	}
	s := &floorSender{
		fd: fd, to: to, payload: make([]byte, longestPayload), arena: make([]byte, arenaSize),
		messages: make([]message, messagesMost), vectors: make([]unix.Iovec, messagesMost), control: make([]byte, messagesMost*segmentRoom()),
	}
	for i := range to {
		var key [16]byte
		binary.BigEndian.PutUint32(key[:], uint32(i))
		block, err := aes.NewCipher(key[:])
		if err != nil {
			return nil, errors.Join(err, unix.Close(fd))
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, errors.Join(err, unix.Close(fd))
		}
		s.seal = append(s.seal, aead)
	}
	for i := range s.messages {
		m := &s.messages[i]
		m.Iov, m.Iovlen = &s.vectors[i], 1
		c := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[i*segmentRoom()]))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
	return s, nil
}

// run sends the stream to all viewers for as long as the window and returns the
// CPU time of a packet, and the number of packets.
func (s *floorSender) run(ctx context.Context, window time.Duration, paced bool) (nanos float64, packets int, err error) {
	s.packets = 0
	begin, before := time.Now(), threadTime()
	frame, audio := 0, 0
	for time.Since(begin) < window && ctx.Err() == nil {
		// What is next in the stream's time: a frame or an audio packet.
		frameAt := time.Duration(frame) * time.Second / framesPerSecond
		audioAt := time.Duration(audio) * time.Second / audioPerSecond
		if paced {
			time.Sleep(time.Until(begin.Add(min(frameAt, audioAt))))
		}
		switch {
		case audioAt < frameAt:
			audio++
			err = s.send(audioPacket)
		case frame%framesPerKey == 0:
			frame++
			err = errors.Join(s.send(parameterSets), s.send(keyframe))
		default:
			frame++
			err = s.send(deltaFrame)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	if s.packets == 0 {
		return 0, 0, errors.Join(ctx.Err(), errors.New("paired: the floor sent nothing"))
	}
	return float64(threadTime()-before) / float64(s.packets), s.packets, ctx.Err()
}

// send seals a burst for every viewer and sends it.
func (s *floorSender) send(b burst) error {
	for v := range s.to {
		for left := b.packets(); left > 0; {
			run := min(left, segmentsMost)
			left -= run
			last := b.size
			if left == 0 && b.last > 0 {
				last = b.last
			}
			if err := s.queue(v, run, b.size, last); err != nil {
				return err
			}
		}
	}
	return s.flush()
}

// queue seals a run of packets for one viewer as one message.
func (s *floorSender) queue(v, run, payload, last int) error {
	size := rtpHeader + payload + gcmTag
	if s.queued == messagesMost || s.used+run*max(size, rtpHeader+last+gcmTag) > arenaSize {
		if err := s.flush(); err != nil {
			return err
		}
	}
	start := s.used
	for left := run; left > 0; left-- {
		n := payload
		if left == 1 {
			n = last
		}
		s.index++
		binary.BigEndian.PutUint64(s.nonce[4:], s.index)
		binary.BigEndian.PutUint16(s.header[2:], uint16(s.index))
		length := rtpHeader + n + gcmTag
		at := s.arena[s.used : s.used+length : s.used+length]
		copy(at, s.header[:])
		s.seal[v].Seal(at[:rtpHeader], s.nonce[:], s.payload[:n], s.header[:])
		s.used += length
	}
	m := &s.messages[s.queued]
	m.Name, m.Namelen = (*byte)(unsafe.Pointer(&s.to[v])), unix.SizeofSockaddrInet4
	s.vectors[s.queued].Base = &s.arena[start]
	s.vectors[s.queued].SetLen(s.used - start)
	m.Control = nil
	m.SetControllen(0)
	if run > 1 {
		c := s.control[s.queued*segmentRoom():]
		binary.NativeEndian.PutUint16(c[unix.CmsgLen(0):], uint16(size))
		m.Control = &c[0]
		m.SetControllen(segmentRoom())
	}
	s.used = (s.used + 63) &^ 63 // a message begins on a cache line
	s.queued++
	s.packets += run
	return nil
}

// flush sends what is queued.
func (s *floorSender) flush() error {
	for done := 0; done < s.queued; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.messages[done])),
			uintptr(s.queued-done), 0, 0, 0)
		if errno != 0 {
			return fmt.Errorf("paired: send the floor: %w", errno)
		}
		done += int(n)
	}
	s.queued, s.used = 0, 0
	return nil
}

// threadTime is the CPU time of the calling thread, the kernel's part included.
func threadTime() time.Duration {
	var t unix.Timespec
	// It cannot fail: the clock exists and the pointer is good.
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}
