package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// kind is what a command does. Its numbers stand in logs on disk: they are
// never used again for anything else.
type kind byte

const (
	createRoom kind = iota + 1
	updateRoom
	deleteRoom
	revoke
	addKey
	removeKey
	joinNode
	setNodeState
	claimRoom
	moveRoom
	releaseRooms
	unrevoke
)

// commandFormat is the first byte of every command. Another number means
// another layout of everything that follows.
const commandFormat = 1

const (
	maxCommand   = 256 << 10 // bytes of one command; raft advises against more than twice that
	maxRequestID = 256
	maxName      = 256 // of rooms, nodes, keys: bounds what becomes a key of the store
	maxRelease   = 256 // rooms released by one command
)

// Request makes a write safe to repeat. The zero value is a write of its own.
type Request struct {
	ID     string   // the same for every try of one write
	Digest [32]byte // of what is asked for, so that an ID used for something else is noticed
}

// command is one entry of the log. On disk: format, kind, length of the
// request id (uvarint), the id, 32 bytes of digest when there is an id, and
// the body in JSON.
type command struct {
	kind    kind
	request Request
	body    []byte
}

var errCommand = errors.New("cluster: not a command of this version")

func (c *command) encode() []byte {
	b := make([]byte, 0, 2+binary.MaxVarintLen64+len(c.request.ID)+len(c.request.Digest)+len(c.body))
	b = append(b, commandFormat, byte(c.kind))
	b = binary.AppendUvarint(b, uint64(len(c.request.ID)))
	if c.request.ID != "" {
		b = append(b, c.request.ID...)
		b = append(b, c.request.Digest[:]...)
	}
	return append(b, c.body...)
}

// decodeCommand takes any bytes: a log may hold what a newer version wrote.
func decodeCommand(b []byte) (command, error) {
	if len(b) < 3 || b[0] != commandFormat {
		return command{}, errCommand
	}
	c := command{kind: kind(b[1])}
	n, size := binary.Uvarint(b[2:])
	if size <= 0 || n > maxRequestID {
		return command{}, errCommand
	}
	b = b[2+size:]
	if n > 0 {
		if uint64(len(b)) < n+uint64(len(c.request.Digest)) {
			return command{}, errCommand
		}
		c.request.ID = string(b[:n])
		b = b[n:]
		b = b[copy(c.request.Digest[:], b):]
	}
	c.body = b
	return c, nil
}

// newCommand makes the command that a caller asked for.
func newCommand(k kind, r Request, body any) ([]byte, error) {
	if len(r.ID) > maxRequestID {
		return nil, fmt.Errorf("%w: request id of more than %d bytes", ErrInvalid, maxRequestID)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c := command{kind: k, request: r, body: text}
	b := c.encode()
	if len(b) > maxCommand {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrInvalid, maxCommand)
	}
	return b, nil
}

// The bodies of commands.
type (
	roomBody struct {
		Room       Room
		IfRevision uint64 `json:",omitempty"`
	}
	nameBody struct {
		Name       string
		IfRevision uint64 `json:",omitempty"`
	}
)
