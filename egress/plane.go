package egress

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrClosed is returned by operations on a closed Plane or Viewer.
var ErrClosed = errors.New("egress: closed")

// bufferSize bounds a sealed packet, header and tag included.
const bufferSize = 2048

// maxPayload is the longest payload that is forwarded, with room for the
// original sequence number of a retransmission (RFC 4588).
const maxPayload = bufferSize - maxHeader - maxOverhead - 2

// PacketWriter is the sending half of the media socket. A write must not wait
// for a full socket: it returns EAGAIN, ENOBUFS or a deadline error, the packet
// is counted as dropped, and the viewer asks for it again.
type PacketWriter interface {
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
}

// Plane is the sending side of the media socket, shared by all viewers. It has
// two goroutines, whatever the number of viewers: one sends the sender reports,
// one paces the viewers that catch up. Both sleep while there is nothing to do.
type Plane struct {
	conn    PacketWriter
	log     *slog.Logger
	buffers sync.Pool // of *[bufferSize]byte

	packets, bytes, retransmitted atomic.Uint64
	dropped, oversize, failed     atomic.Uint64

	done     chan struct{}
	reports  chan struct{} // capacity 1: there are viewers to report to
	catchUps chan struct{} // capacity 1: there are streams to pace
	wg       sync.WaitGroup

	mu       sync.Mutex // guards what follows; taken after Viewer.mu
	closed   bool
	viewers  map[*Viewer]time.Time // started viewers, and when their next reports are due
	catching map[*Stream]struct{}
}

// PlaneStats counts what a plane sent to all viewers over its life.
type PlaneStats struct {
	Packets, Bytes uint64 // first transmissions of RTP, payload bytes
	Retransmitted  uint64 // packets sent again
	Dropped        uint64 // packets given up because the socket was full
	Oversize       uint64 // packets not sent because their payload was too long
	WriteErrors    uint64 // datagrams that could not be written for any other reason
	Viewers        int    // started and not stopped
	CatchingUp     int    // streams that are paced now
}

// NewPlane starts a plane that writes to conn.
func NewPlane(conn PacketWriter, log *slog.Logger) *Plane {
	p := newPlane(conn, log)
	p.wg.Go(func() { p.run(p.reports, reportTick, p.report) })
	p.wg.Go(func() { p.run(p.catchUps, paceTick, p.pace) })
	return p
}

// newPlane makes a plane that does nothing by itself.
func newPlane(conn PacketWriter, log *slog.Logger) *Plane {
	return &Plane{
		conn:     conn,
		log:      log,
		buffers:  sync.Pool{New: func() any { return new([bufferSize]byte) }},
		done:     make(chan struct{}),
		reports:  make(chan struct{}, 1),
		catchUps: make(chan struct{}, 1),
		viewers:  make(map[*Viewer]time.Time),
		catching: make(map[*Stream]struct{}),
	}
}

// Close stops all viewers and ends the plane's own goroutines; no viewer sends
// after it.
func (p *Plane) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	viewers := make([]*Viewer, 0, len(p.viewers))
	for v := range p.viewers {
		viewers = append(viewers, v)
	}
	p.mu.Unlock()
	for _, v := range viewers {
		v.Stop()
	}
	if first {
		close(p.done)
	}
	p.wg.Wait()
	if first {
		st := p.Stats()
		p.log.Debug("egress closed", "packets", st.Packets, "retransmitted", st.Retransmitted,
			"dropped", st.Dropped, "write_errors", st.WriteErrors)
	}
	return nil
}

// Stats returns a copy of the plane's counters.
func (p *Plane) Stats() PlaneStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PlaneStats{
		Packets:       p.packets.Load(),
		Bytes:         p.bytes.Load(),
		Retransmitted: p.retransmitted.Load(),
		Dropped:       p.dropped.Load(),
		Oversize:      p.oversize.Load(),
		WriteErrors:   p.failed.Load(),
		Viewers:       len(p.viewers),
		CatchingUp:    len(p.catching),
	}
}

// run calls work every tick from a wake-up until work has nothing left to do.
func (p *Plane) run(wake <-chan struct{}, tick time.Duration, work func(now time.Time) (more bool)) {
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-wake:
		}
		ticker.Reset(tick)
		for work(time.Now()) {
			select {
			case <-p.done:
				return
			case <-ticker.C:
			}
		}
		ticker.Stop()
	}
}

// add registers a started viewer for sender reports.
func (p *Plane) add(v *Viewer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.viewers[v] = nextReport(time.Now())
	wake(p.reports)
	return nil
}

// remove forgets a viewer.
func (p *Plane) remove(v *Viewer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.viewers, v)
	for _, s := range v.streams {
		delete(p.catching, s)
	}
}

// paced says whether the pacer visits a stream.
func (p *Plane) paced(s *Stream, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !on {
		delete(p.catching, s)
		return
	}
	if !p.closed {
		p.catching[s] = struct{}{}
		wake(p.catchUps)
	}
}

// report sends the sender reports that are due.
func (p *Plane) report(now time.Time) (more bool) {
	var due []*Viewer
	p.mu.Lock()
	for v, at := range p.viewers {
		if !at.After(now) {
			due = append(due, v)
			p.viewers[v] = nextReport(now)
		}
	}
	more = len(p.viewers) > 0
	p.mu.Unlock()
	for _, v := range due {
		v.report(now)
	}
	return more
}

// pace lets every stream that catches up send its share of one tick.
func (p *Plane) pace(now time.Time) (more bool) {
	p.mu.Lock()
	streams := make([]*Stream, 0, len(p.catching))
	for s := range p.catching {
		streams = append(streams, s)
	}
	p.mu.Unlock()
	for _, s := range streams {
		s.pace(now)
	}
	return len(streams) > 0
}

// write sends one sealed datagram and counts why it could not.
func (p *Plane) write(b []byte, to netip.AddrPort) {
	switch _, err := p.conn.WriteToUDPAddrPort(b, to); {
	case err == nil:
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOBUFS), errors.Is(err, os.ErrDeadlineExceeded):
		p.dropped.Add(1)
	default:
		p.failed.Add(1)
	}
}

// wake signals on a channel of capacity one; a pending signal is enough.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

const (
	reportTick     = 50 * time.Millisecond
	reportInterval = time.Second
)

// nextReport is when the reports after those of now are due: about a second
// later, jittered so that viewers who came together do not stay together.
func nextReport(now time.Time) time.Time {
	return now.Add(reportInterval*3/4 + rand.N(reportInterval/2)) //nolint:gosec // not a secret
}
