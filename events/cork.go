package events

import (
	"bufio"
	"net"
	"net/http"
	"sync"
)

// corker hands out the connection of a request as one whose writes can be held
// back: WebSockets write every message by itself.
type corker struct {
	http.ResponseWriter
	conn *corked // once taken over
}

// Hijack implements http.Hijacker.
func (c *corker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(c.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c.conn = &corked{Conn: conn}
	rw.Writer.Reset(c.conn)
	return c.conn, rw, nil
}

// maxHeld is how many bytes are held back.
const maxHeld = 32 << 10

// corked is a connection that collects what is written between cork and uncork.
type corked struct {
	net.Conn

	mu   sync.Mutex // guards what follows; held while writing, so that nothing overtakes
	held []byte     // nil: nothing is held back
}

// Write implements net.Conn.
func (c *corked) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return c.Conn.Write(b)
	}
	if len(c.held)+len(b) > maxHeld {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if len(b) > maxHeld {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

// cork holds back what is written from now on.
func (c *corked) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = make([]byte, 0, 4096)
}

// uncork writes what was held back.
func (c *corked) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flush()
	c.held = nil
	return err
}

// flush is called with the lock held.
func (c *corked) flush() error {
	if len(c.held) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.held)
	c.held = c.held[:0]
	return err
}
