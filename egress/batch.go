package egress

import (
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
)

const (
	// shardArena and shardMessages are the room of a batch that serves all
	// viewers of a shard: some twenty frames of 2.5 Mbit/s. More gains nothing,
	// and it is to stay in the second-level cache.
	shardArena    = 256 << 10
	shardMessages = 64
	// answerArena and answerMessages are those of a batch for what one viewer
	// is sent outside of its shard: reports, retransmissions.
	answerArena    = 40 << 10
	answerMessages = 40

	// maxRun is how many datagrams the kernel cuts one message into at most
	// (UDP_MAX_SEGMENTS was 64 up to Linux 6.6), maxRunBytes what it takes.
	maxRun      = 64
	maxRunBytes = 65_000
	// maxSegment is the longest datagram that is put into a run: what fits an
	// Ethernet frame under IPv6. Longer ones go alone, the kernel fragments them.
	maxSegment = 1452
)

// DatagramWriter takes the datagrams of a viewer that is not reached over the
// plane's sockets, as over ICE-TCP (RFC 6544). WriteDatagram must not block nor
// keep b; false: it was dropped.
type DatagramWriter interface {
	WriteDatagram(b []byte) bool
}

// endpoint is where a viewer's datagrams go. It does not change, but for what
// was learned of the way there.
type endpoint struct {
	addr netip.AddrPort
	via  DatagramWriter // nil: the plane's sockets
	raw  rawAddress
	// longest is the longest segment that is sent there in a run; below it the
	// kernel refused some. Zero: no runs.
	longest atomic.Int32
}

func newEndpoint(s *socket, addr netip.AddrPort) *endpoint {
	e := &endpoint{addr: addr}
	e.raw.set(addr, s.wide())
	e.longest.Store(maxSegment)
	return e
}

// message is a run of datagrams to one endpoint: all as long as the first but
// for the last, which may be shorter.
type message struct {
	to         *endpoint
	start, end int // in the arena
	segment    int // length of the first datagram
	count      int
}

// batch collects sealed datagrams and hands them to the kernel together. Runs
// to one viewer become one message that the kernel cuts up (UDP_SEGMENT). One
// goroutine uses it at a time; nothing is allocated while it does.
type batch struct {
	socket   *socket
	count    *counters
	arena    []byte
	used     int // of the arena
	messages []message
	calls    systemCalls // what the kernel is given

	// Of what is in the batch, for counters.
	packets, bytes, again uint64

	packetsOf []*Packet // scratch: the packets of the stream that is being served
}

// counters are those of a plane, each added to once a flush.
type counters struct {
	packets, bytes, retransmitted atomic.Uint64
	dropped, oversize, failed     atomic.Uint64
}

func newBatch(s *socket, c *counters, arena, messages int) *batch {
	b := &batch{socket: s, count: c, arena: make([]byte, arena), messages: make([]message, 0, messages)}
	b.calls.init(b)
	return b
}

// room is space for one more datagram of up to bufferSize bytes.
func (b *batch) room() []byte {
	if len(b.arena)-b.used < bufferSize || len(b.messages) == cap(b.messages) {
		b.flush()
	}
	return b.arena[b.used : b.used+bufferSize : b.used+bufferSize]
}

// add makes the first n bytes of the space that room returned last a datagram.
func (b *batch) add(to *endpoint, n int) {
	if last := len(b.messages) - 1; last >= 0 && b.messages[last].grow(to, n) {
		b.messages[last].end += n
		b.messages[last].count++
	} else {
		b.messages = append(b.messages, message{to: to, start: b.used, end: b.used + n, segment: n, count: 1})
	}
	b.used += n
}

// grow tells whether a datagram of n bytes may end the run.
func (m *message) grow(to *endpoint, n int) bool {
	size := m.end - m.start
	return m.to == to && n <= m.segment && size == m.count*m.segment && m.count < maxRun &&
		size+n <= maxRunBytes && m.segment <= int(to.longest.Load())
}

// datagram is the one of number i.
func (m *message) datagram(b *batch, i int) []byte {
	from := m.start + i*m.segment
	return b.arena[from:min(from+m.segment, m.end)]
}

// flush sends what was collected. It never waits: what does not fit the
// socket's buffer is dropped, and the viewer asks for it again.
func (b *batch) flush() {
	if len(b.messages) == 0 {
		return
	}
	if b.socket.kernel == nil {
		for i := range b.messages {
			b.sendPlain(&b.messages[i])
		}
	} else {
		b.sendTogether()
	}
	b.count.packets.Add(b.packets)
	b.count.bytes.Add(b.bytes)
	if b.again > 0 {
		b.count.retransmitted.Add(b.again)
	}
	b.packets, b.bytes, b.again = 0, 0, 0
	clear(b.messages) // the endpoints of viewers who left
	b.messages, b.used = b.messages[:0], 0
}

// sendPlain sends a message's datagrams one by one.
func (b *batch) sendPlain(m *message) {
	for i := range m.count {
		if m.to.via != nil {
			if !m.to.via.WriteDatagram(m.datagram(b, i)) {
				b.count.dropped.Add(1)
			}
			continue
		}
		_, err := b.socket.conn.WriteToUDPAddrPort(m.datagram(b, i), m.to.addr)
		b.lost(err, 1)
	}
}

// lost counts datagrams that could not be sent, by why.
func (b *batch) lost(err error, datagrams int) {
	switch {
	case err == nil:
	case full(err):
		b.count.dropped.Add(uint64(datagrams))
	default:
		b.count.failed.Add(uint64(datagrams))
	}
}

// full tells whether an error says that the socket took no more.
func full(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, os.ErrDeadlineExceeded)
}

// PacketWriter is the sending half of a media socket. A write must not wait for
// a full socket: it returns EAGAIN, ENOBUFS or a deadline error, the packet is
// counted as dropped, and the viewer asks for it again. A *net.UDPConn is
// written past this method where the system can take many datagrams at once.
type PacketWriter interface {
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
}

// socket is one that media is sent by.
type socket struct {
	conn   PacketWriter
	kernel *kernelSocket // nil: datagrams are written one by one
}

func newSocket(conn PacketWriter) *socket { return &socket{conn: conn, kernel: newKernelSocket(conn)} }
