package cluster

import (
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Reads are local: what this node has applied. They wait for nothing.

// Room is one room.
func (n *Node) Room(name string) (room Room, ok bool) {
	n.read(func(tx *bbolt.Tx) { room, ok = get[Room](tx.Bucket(roomBucket), name) })
	return room, ok
}

// Rooms lists up to limit rooms by name, those that come after a name. 0: all.
func (n *Node) Rooms(after string, limit int) []Room {
	var list []Room
	n.read(func(tx *bbolt.Tx) {
		c := tx.Bucket(roomBucket).Cursor()
		k, v := c.Seek([]byte(after))
		if k != nil && string(k) == after {
			k, v = c.Next()
		}
		for ; k != nil && (limit <= 0 || len(list) < limit); k, v = c.Next() {
			if r, ok := decodeRecord[Room](v); ok {
				list = append(list, r)
			}
		}
	})
	return list
}

// Revocations lists all revocations. The list is shared: it must not be
// changed.
func (n *Node) Revocations() []Revocation { return *n.machine.revocations.Load() }

// Keys lists the keys of a use that have not expired, oldest first.
func (n *Node) Keys(use string) []Key {
	now := time.Now()
	var list []Key
	for _, k := range *n.machine.keys.Load() {
		if k.Use == use && (k.Expires.IsZero() || now.Before(k.Expires)) {
			list = append(list, k)
		}
	}
	slices.SortStableFunc(list, func(a, b Key) int { return a.Created.Compare(b.Created) })
	return list
}

// Members lists the nodes, by name.
func (n *Node) Members() []Member {
	var list []Member
	n.read(func(tx *bbolt.Tx) { list = all[Member](tx.Bucket(nodeBucket)) })
	return list
}

// Self is this node as it joined.
func (n *Node) Self() Member { return n.self }

// Owner is the node that has a room. false: nobody has it, or whoever had it
// is gone.
func (n *Node) Owner(room string) (owner Owner, ok bool) {
	n.read(func(tx *bbolt.Tx) {
		if owner, ok = get[Owner](tx.Bucket(ownerBucket), room); ok {
			ok = (&txn{tx: tx}).holds(owner)
		}
	})
	return owner, ok
}

func (n *Node) read(fn func(*bbolt.Tx)) {
	err := n.machine.view(func(tx *bbolt.Tx) error {
		fn(tx)
		return nil
	})
	if err != nil {
		n.log.Error("registry could not be read", "err", err)
	}
}
