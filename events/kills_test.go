package events_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events"
)

// killer is a TCP proxy whose connections die after some bytes.
type killer struct {
	listener net.Listener
	upstream string
	running  sync.WaitGroup
	killed   atomic.Int64
}

func newKiller(t *testing.T, upstream string) *killer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{listener: l, upstream: upstream}
	k.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			k.running.Go(func() { k.carry(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		k.running.Wait()
	})
	return k
}

// carry copies until a random number of bytes went to the client, and then
// ends both sides, each in its own way.
func (k *killer) carry(client net.Conn) {
	server, err := net.Dial("tcp", k.upstream)
	if err != nil {
		client.Close()
		return
	}
	var copying sync.WaitGroup
	copying.Go(func() { _, _ = io.Copy(server, client) }) // ends with the connections
	_, err = io.CopyN(client, server, rand.Int64N(4000))
	if err == nil {
		k.killed.Add(1)
	}
	for _, conn := range []net.Conn{client, server} {
		if tcp, ok := conn.(*net.TCPConn); ok && rand.IntN(2) == 0 {
			_ = tcp.SetLinger(0) // a reset instead of an end
		}
		conn.Close()
	}
	copying.Wait()
}

func (k *killer) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, k.listener.Addr().String())
}

// client reads a log over connections that die, and writes it down.
type client struct {
	fold
	log       []events.Event // but for snapshots
	snapshots int
}

func (c *client) read(r reader, until uint64) error {
	defer r.close()
	for c.last < until {
		e, err := r.next()
		if err != nil {
			return err
		}
		if err := c.take(e); err != nil {
			return brokenError{err}
		}
		if e.Type == events.Snapshot {
			c.snapshots++
		} else {
			c.log = append(c.log, e)
		}
	}
	return nil
}

func (c *client) id() string {
	if c.life == "" {
		return ""
	}
	return fmt.Sprintf("%s-%d", c.life, c.last)
}

// brokenError is about what came, and not about how it came.
type brokenError struct{ error }

// TestKilledConnectionsLoseNothing kills 150 connections at random while events
// flow, or 1,000 with SLUICE_LONG=1: the log that each client has in the end is
// the server's.
func TestKilledConnectionsLoseNothing(t *testing.T) {
	const clients = 9
	kills := int64(150)
	if os.Getenv("SLUICE_LONG") != "" {
		kills = 1000
	}
	var log []events.Event
	h := events.NewHub(events.Config{
		MaxEvents: 1 << 20, MaxBytes: 1 << 30,
		// A short one, so that most connections live to see the end of the snapshot.
		History: func(string) int { return 2 },
		Sink:    func(e events.Event) { log = append(log, e) },
	})
	srv := serve(t, h)
	k := newKiller(t, srv.url[len("http://"):])
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	stop := make(chan struct{})
	var publishing, reading sync.WaitGroup
	publishing.Go(func() { publishUntil(h, stop) })
	all := make([]*client, clients)
	for i := range all {
		c := &client{}
		all[i] = c
		reading.Go(func() {
			how := ways[i%len(ways)]
			for ctx.Err() == nil && k.killed.Load() < kills {
				r, err := how.open(ctx, srv.url, c.id(), k.dial)
				if err == nil {
					err = c.read(r, 1<<62)
				}
				if _, broken := errors.AsType[brokenError](err); broken {
					t.Errorf("%s: %v", how.name, err)
					return
				}
			}
		})
	}
	reading.Wait()
	close(stop)
	publishing.Wait()

	_, last := h.State("demo")
	for i, c := range all {
		how := ways[i%len(ways)]
		r, err := how.open(ctx, srv.url, c.id(), (&net.Dialer{}).DialContext)
		if err == nil {
			err = c.read(r, last)
		}
		if err != nil {
			t.Errorf("%s: %v", how.name, err)
			continue
		}
		if c.snapshots != 1 {
			t.Errorf("%s: got %d snapshots, want the first alone", how.name, c.snapshots)
		}
		if n := len(c.log); n == 0 || !slices.EqualFunc(c.log, log[len(log)-n:], equal) || log[len(log)-n].Seq != c.log[0].Seq {
			t.Errorf("%s: the %d events of the client are not the last %d of the server's %d", how.name, n, n, len(log))
		}
	}
	if got := k.killed.Load(); got < kills {
		t.Errorf("%d connections were killed, want %d", got, kills)
	}
	t.Logf("%d connections killed, %d events, each client has from %d", k.killed.Load(), len(log), all[0].log[0].Seq)
}

func equal(a, b events.Event) bool {
	return a.Seq == b.Seq && a.Type == b.Type && string(a.Data) == string(b.Data) &&
		time.Time(a.Time).Equal(time.Time(b.Time).Truncate(time.Millisecond))
}

// publishUntil lets sessions come and go and talk.
func publishUntil(h *events.Hub, stop <-chan struct{}) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		h.Publish("demo", events.SessionJoined, session(fmt.Sprint(i)))
		h.Publish("demo", events.MessageSent, events.Message{Kind: "chat", Text: fmt.Sprint("message ", i)})
		h.Publish("demo", events.SessionLeft, session(fmt.Sprint(i-10)))
	}
}
