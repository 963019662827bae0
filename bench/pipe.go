package bench

import (
	"bytes"
	"net"
	"sync"
	"time"

	"github.com/pion/transport/v4/packetio"
)

// pipe is the connection that a DTLS handshake sees.
type pipe struct {
	in   *packetio.Buffer
	peer net.Addr
	send func([]byte) error

	mu      sync.Mutex // guards what follows
	flight  [][]byte   // sent since something was last delivered
	heard   bool       // something was delivered since something was last sent
	retired bool
}

func newPipe(peer net.Addr, send func([]byte) error) *pipe {
	return &pipe{in: packetio.NewBuffer(), peer: peer, send: send}
}

// deliver takes what came; what finds no room will be sent again.
func (p *pipe) deliver(b []byte) {
	p.mu.Lock()
	p.heard = true
	p.mu.Unlock()
	_, _ = p.in.Write(b) // an error is a full or closed buffer
}

// retire ends sending, so that the handshake's end looks like nothing from
// outside, and returns the last flight.
func (p *pipe) retire() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
	return p.flight
}

func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.in.Read(b)
	return n, p.peer, err
}

func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	if p.retired {
		p.mu.Unlock()
		return len(b), nil
	}
	if p.heard {
		p.flight, p.heard = nil, false
	}
	p.flight = append(p.flight, bytes.Clone(b))
	p.mu.Unlock()
	if err := p.send(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *pipe) Close() error                       { return p.in.Close() }
func (p *pipe) LocalAddr() net.Addr                { return p.peer } // nobody asks
func (p *pipe) SetDeadline(t time.Time) error      { return p.in.SetReadDeadline(t) }
func (p *pipe) SetReadDeadline(t time.Time) error  { return p.in.SetReadDeadline(t) }
func (p *pipe) SetWriteDeadline(_ time.Time) error { return nil }
