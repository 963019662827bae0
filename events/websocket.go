package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	// Subprotocol is what a WebSocket speaks that names one. Browsers name those
	// they offer a token with.
	Subprotocol = "sluice.events"

	maxCommand    = 64 << 10 // bytes of a message from a client
	commandRate   = 100      // of them a second
	commandBurst  = 300
	replyCapacity = 16 // when full, the client's next message is not read

	// closeMax is how long a client may take to answer the end of a WebSocket. A
	// node that stops waits for it.
	closeMax = 500 * time.Millisecond
)

// Socket is what a WebSocket needs of the caller.
type Socket struct {
	// Over is closed when the reader may listen no longer; nil: never.
	Over <-chan struct{}
	// Send sends a message of the reader.
	Send func(Draft) (Event, error)
	// Problem is what clients are told of an error, an object.
	Problem func(error) any
}

// ErrCommand is a message of a client that is not understood.
var ErrCommand = errors.New("events: not a command")

// command is what a client may say.
type command struct {
	Type string `json:"type"` // message, ping
	Ref  string `json:"ref"`  // comes back in the reply
	Draft
}

// reply is what a client is told about a command. It has no seq of its own, and
// so is no event.
type reply struct {
	Type    string `json:"type"` // ack, pong, error
	Ref     string `json:"ref,omitempty"`
	ID      string `json:"id,omitempty"`  // of the message
	Seq     uint64 `json:"seq,omitempty"` // of its event
	Problem any    `json:"problem,omitempty"`
}

// IsWebSocket tells whether a request asks for one.
func IsWebSocket(r *http.Request) bool {
	for _, value := range r.Header.Values("Upgrade") {
		for protocol := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(protocol), "websocket") {
				return true
			}
		}
	}
	return false
}

// ServeWebSocket upgrades the connection and sends a listener's events, each as
// a text message, until the client leaves, the room or the hub ends or its time
// is over, and closes the listener. Messages of the client become messages of
// the room. What is wrong with the upgrade is answered.
func ServeWebSocket(w http.ResponseWriter, r *http.Request, l *Listener, s Socket) {
	defer l.Close()
	taken := &corker{ResponseWriter: w}
	conn, err := websocket.Accept(taken, r, &websocket.AcceptOptions{
		Subprotocols: []string{Subprotocol},
		// Tokens say who may listen. Browsers send none by themselves, so a foreign
		// page can do no more than any other program.
		InsecureSkipVerify: true,
	})
	if err != nil {
		return
	}
	conn.SetReadLimit(maxCommand)
	ctx, cancel := context.WithCancel(r.Context())
	l.onCut(cancel)
	c := &socket{Socket: s, conn: conn, wire: taken.conn, replies: make(chan []byte, replyCapacity), cancel: cancel}
	defer c.running.Wait()
	defer cancel()
	c.running.Go(func() { c.read(ctx) })
	p := pump{
		listener: l, gone: ctx.Done(), over: s.Over, replies: c.replies,
		send: func(frames []*frame) bool {
			texts := make([][]byte, len(frames))
			for i, f := range frames {
				texts[i] = f.json()
			}
			return c.write(ctx, texts...)
		},
		reply: func(text []byte) bool { return c.write(ctx, text) },
		alive: func() bool { c.ping(ctx); return true },
	}
	c.end(p.run())
}

// socket is one WebSocket.
type socket struct {
	Socket
	conn    *websocket.Conn
	wire    *corked // below conn
	replies chan []byte
	cancel  context.CancelFunc
	running sync.WaitGroup
	pinging sync.Mutex // held while a ping is under way
}

// write sends texts, all of them within the time that a reader may take, and in
// one write to the connection.
func (c *socket) write(ctx context.Context, texts ...[]byte) bool {
	ctx, cancel := context.WithTimeout(ctx, writeMax)
	defer cancel()
	if len(texts) == 1 {
		return c.conn.Write(ctx, websocket.MessageText, texts[0]) == nil
	}
	late := context.AfterFunc(ctx, func() { _ = c.wire.Close() }) // the WebSocket would wait for nothing
	defer late()
	c.wire.cork()
	failed := slices.ContainsFunc(texts, func(text []byte) bool {
		return c.conn.Write(ctx, websocket.MessageText, text) != nil
	})
	return c.wire.uncork() == nil && !failed
}

// ping finds out whether the client is still there, without anybody waiting.
func (c *socket) ping(ctx context.Context) {
	if !c.pinging.TryLock() {
		return
	}
	c.running.Go(func() {
		defer c.pinging.Unlock()
		ctx, cancel := context.WithTimeout(ctx, writeMax)
		defer cancel()
		if c.conn.Ping(ctx) != nil {
			c.cancel()
		}
	})
}

// end says why the WebSocket ends.
func (c *socket) end(why ending) {
	switch why {
	case endRoom:
		c.close(websocket.StatusNormalClosure, "room ended")
	case endOver:
		c.close(websocket.StatusPolicyViolation, "token ended")
	case endClosed:
		c.close(websocket.StatusGoingAway, "node stopping")
	case endLost:
		_ = c.conn.CloseNow() // nobody is there
	}
}

func (c *socket) close(code websocket.StatusCode, reason string) {
	late := time.AfterFunc(closeMax, c.cancel)
	defer late.Stop()
	_ = c.conn.Close(code, reason) // the client may be gone
}

// read does what the client says, until it leaves.
func (c *socket) read(ctx context.Context) {
	defer c.cancel()
	allowed := bucket{commandBurst, time.Now()}
	for {
		kind, text, err := c.conn.Read(ctx)
		if err != nil {
			return
		}
		if !allowed.take(commandRate, commandBurst, time.Now()) {
			c.close(websocket.StatusPolicyViolation, "too many messages")
			return
		}
		answer, err := json.Marshal(c.obey(kind, text))
		if err != nil { // texts, a number and a problem can be written
			return
		}
		select {
		case c.replies <- answer:
		case <-ctx.Done():
			return
		}
	}
}

// obey does one command.
func (c *socket) obey(kind websocket.MessageType, text []byte) reply {
	cmd, err := parseCommand(kind, text)
	switch {
	case err != nil:
	case cmd.Type == "ping":
		return reply{Type: "pong", Ref: cmd.Ref}
	default:
		var e Event
		if e, err = c.Send(cmd.Draft); err == nil {
			var m Message
			if err = json.Unmarshal(e.Data, &m); err == nil {
				return reply{Type: "ack", Ref: cmd.Ref, ID: m.ID, Seq: e.Seq}
			}
		}
	}
	return reply{Type: "error", Ref: cmd.Ref, Problem: c.Problem(err)}
}

const maxRef = 64 // bytes

func parseCommand(kind websocket.MessageType, text []byte) (command, error) {
	var cmd command
	if kind != websocket.MessageText {
		return cmd, fmt.Errorf("%w: send text", ErrCommand)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cmd); err != nil {
		return command{}, fmt.Errorf("%w: %w", ErrCommand, err)
	}
	switch {
	case dec.More():
		return command{}, fmt.Errorf("%w: more than one", ErrCommand)
	case len(cmd.Ref) > maxRef:
		return command{}, fmt.Errorf("%w: ref is at most %d bytes", ErrCommand, maxRef)
	case cmd.Type != "message" && cmd.Type != "ping":
		return cmd, fmt.Errorf("%w: type is message or ping", ErrCommand)
	}
	return cmd, nil
}
