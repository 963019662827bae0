package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// writeTime bounds a write: longer than the registry is without a leader after
// a fault, shorter than encoders wait for an answer.
const writeTime = 3 * time.Second

// CreateRoom makes a room. ErrExists comes with the room that is there.
func (n *Node) CreateRoom(ctx context.Context, req Request, room Room) (Room, error) {
	return n.writeRoom(ctx, createRoom, req, roomBody{Room: room})
}

// UpdateRoom replaces what the registry keeps of a room, if its revision is
// the given one; 0: whatever it is. ErrConflict comes with the room as it is.
func (n *Node) UpdateRoom(ctx context.Context, req Request, room Room, ifRevision uint64) (Room, error) {
	return n.writeRoom(ctx, updateRoom, req, roomBody{Room: room, IfRevision: ifRevision})
}

// DeleteRoom removes a room, if its revision is the given one; 0: whatever it
// is.
func (n *Node) DeleteRoom(ctx context.Context, req Request, name string, ifRevision uint64) error {
	_, err := n.writeRoom(ctx, deleteRoom, req, nameBody{Name: name, IfRevision: ifRevision})
	return err
}

// Revoke adds a revocation and returns it with its ID.
func (n *Node) Revoke(ctx context.Context, req Request, r Revocation) (Revocation, error) {
	res, err := n.write(ctx, revoke, req, r)
	if err != nil || res.Revocation == nil {
		return Revocation{}, err
	}
	return *res.Revocation, nil
}

// Unrevoke removes a revocation. Its ID is never given to another.
func (n *Node) Unrevoke(ctx context.Context, req Request, id string) error {
	_, err := n.write(ctx, unrevoke, req, nameBody{Name: id})
	return err
}

// AddKey adds a key under an ID of its own.
func (n *Node) AddKey(ctx context.Context, key Key) error {
	_, err := n.write(ctx, addKey, Request{}, key)
	return err
}

// RemoveKey removes a key.
func (n *Node) RemoveKey(ctx context.Context, id string) error {
	_, err := n.write(ctx, removeKey, Request{}, nameBody{Name: id})
	return err
}

func (n *Node) writeRoom(ctx context.Context, k kind, req Request, body any) (Room, error) {
	res, err := n.write(ctx, k, req, body)
	if res.Room == nil {
		return Room{}, err
	}
	return *res.Room, err
}

// write puts a command through the log and waits for its outcome.
func (n *Node) write(ctx context.Context, k kind, req Request, body any) (result, error) {
	data, err := newCommand(k, req, body)
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	res, err := n.propose(ctx, data)
	n.writes.observe(time.Since(start), err)
	if err != nil {
		return result{}, err
	}
	return res, res.Code.err()
}

// propose hands a command to raft until it has a leader to take it.
func (n *Node) propose(ctx context.Context, data []byte) (result, error) {
	for wait := firstRetry; ; wait = min(2*wait, 100*time.Millisecond) {
		if err := n.failed(); err != nil {
			return result{}, fmt.Errorf("%w: %w", ErrNoLeader, err)
		}
		res, err := n.try(ctx, data)
		if !errors.Is(err, raft.ErrNotLeader) { // that one says: not taken
			return res, err
		}
		select {
		case <-ctx.Done():
			return result{}, fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
		case <-time.After(wait):
		}
	}
}

type answer struct {
	result result
	err    error
}

// try hands a command to raft once. Its outcome is waited for even when the
// caller is gone, since Close must know that nothing is under way.
func (n *Node) try(ctx context.Context, data []byte) (result, error) {
	if !n.begin() {
		return result{}, fmt.Errorf("%w: closed", ErrNoLeader)
	}
	answers := make(chan answer, 1)
	go func() { // Close waits: see begin
		defer n.pending.Done()
		f := n.raft.Apply(data, writeTime)
		if err := f.Error(); err != nil {
			answers <- answer{err: err}
			return
		}
		res, _ := f.Response().(result)
		answers <- answer{result: res}
	}()
	look := time.NewTicker(firstRetry)
	defer look.Stop()
	for {
		select {
		case a := <-answers:
			if a.err != nil && !errors.Is(a.err, raft.ErrNotLeader) {
				return result{}, fmt.Errorf("%w: %w", ErrNoLeader, a.err)
			}
			return a.result, a.err
		case <-look.C: // raft waits for the disk; its caller need not
			if err := n.failed(); err != nil {
				return result{}, fmt.Errorf("%w: %w", ErrNoLeader, err)
			}
		case <-ctx.Done():
			return result{}, fmt.Errorf("%w: %w", ErrNoLeader, ctx.Err())
		}
	}
}
