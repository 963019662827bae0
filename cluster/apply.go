package cluster

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// txn applies commands within one transaction. Every handler looks at
// everything first and writes then, so that a refusal changes nothing.
// Nothing but the state and the entry decides what happens: all nodes come to
// the same.
type txn struct {
	tx      *bbolt.Tx
	index   uint64 // of the entry
	now     int64  // ns since 1970 by the clock of the log, which never goes back
	changes []Change
	lists   bool // revocations or keys have changed
	err     error
}

// result is the outcome of a command.
type result struct {
	Code       code        `json:",omitempty"`
	Room       *Room       `json:",omitempty"` // as it is now, also after a conflict
	Revocation *Revocation `json:",omitempty"`
	Member     *Member     `json:",omitempty"`
	Owner      *Owner      `json:",omitempty"`
	Released   []string    `json:",omitempty"`
}

func refused(c code) result { return result{Code: c} }

// outcome is what is kept of a request.
type outcome struct {
	Kind   kind
	Digest [32]byte
	Result result
	Until  int64 // ns since 1970: from then on the request is a new one
}

func (t *txn) apply(l *raft.Log) result {
	if !l.AppendedAt.IsZero() {
		t.now = max(t.now, l.AppendedAt.UnixNano())
	}
	t.trim()
	c, err := decodeCommand(l.Data)
	if err != nil {
		return refused(unknownCommand)
	}
	if c.request.ID == "" {
		return t.run(c)
	}
	first, known := get[outcome](t.tx.Bucket(requestBucket), c.request.ID)
	switch {
	case !known:
	case first.Until <= t.now: // trim has not come to it
		t.must(t.forgetExpiry(time.Unix(0, first.Until), requestExpires, c.request.ID))
	case first.Kind != c.kind || first.Digest != c.request.Digest:
		return refused(reused)
	default:
		return first.Result
	}
	until := time.Unix(0, t.now).Add(requestLife)
	r := t.run(c)
	t.must(put(t.tx.Bucket(requestBucket), c.request.ID, outcome{c.kind, c.request.Digest, r, until.UnixNano()}))
	t.must(t.expireAt(until, requestExpires, c.request.ID))
	return r
}

func (t *txn) run(c command) result {
	switch c.kind {
	case createRoom:
		return with(c, t.createRoom)
	case updateRoom:
		return with(c, t.updateRoom)
	case deleteRoom:
		return with(c, t.deleteRoom)
	case revoke:
		return with(c, t.revoke)
	case unrevoke:
		return with(c, t.unrevoke)
	case addKey:
		return with(c, t.addKey)
	case removeKey:
		return with(c, t.removeKey)
	case joinNode:
		return with(c, t.join)
	case setNodeState:
		return with(c, t.setState)
	case claimRoom:
		return with(c, t.claim)
	case moveRoom:
		return with(c, t.move)
	case releaseRooms:
		return with(c, t.release)
	default:
		return refused(unknownCommand)
	}
}

func with[T any](c command, handle func(T) result) result {
	var body T
	if json.Unmarshal(c.body, &body) != nil {
		return refused(invalid)
	}
	return handle(body)
}

// must notes an error that no command can cause. The transaction is tried
// again then, as when the disk is full.
func (t *txn) must(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *txn) change(c Change) {
	c.Index = t.index
	t.changes = append(t.changes, c)
}

func (t *txn) listed(c Change) {
	t.lists = true
	t.change(c)
}

func (t *txn) time() time.Time { return time.Unix(0, t.now).UTC() }

func legalKey(name string) bool { return name != "" && len(name) <= maxName }

func (t *txn) createRoom(b roomBody) result {
	r := b.Room
	if !legalKey(r.Name) {
		return refused(invalid)
	}
	rooms := t.tx.Bucket(roomBucket)
	if old, ok := get[Room](rooms, r.Name); ok {
		return result{Code: exists, Room: &old}
	}
	// Rooms of one name are told apart by when they were made: never at once,
	// though entries of one batch, or of a clock that went back, have one time.
	t.now++
	r.Created = t.time()
	return t.putRoom(Change{Kind: RoomCreated}, r)
}

func (t *txn) updateRoom(b roomBody) result {
	old, ok := get[Room](t.tx.Bucket(roomBucket), b.Room.Name)
	if !ok {
		return refused(notFound)
	}
	if b.IfRevision != 0 && b.IfRevision != old.Revision {
		return result{Code: conflict, Room: &old}
	}
	b.Room.Created = old.Created
	return t.putRoom(Change{Kind: RoomUpdated, Before: &old}, b.Room)
}

func (t *txn) putRoom(c Change, r Room) result {
	r.Revision = t.index
	slices.Sort(r.Members)
	r.Members = slices.Compact(r.Members)
	t.must(put(t.tx.Bucket(roomBucket), r.Name, r))
	c.Room = &r
	t.change(c)
	return result{Room: &r}
}

func (t *txn) deleteRoom(b nameBody) result {
	rooms := t.tx.Bucket(roomBucket)
	old, ok := get[Room](rooms, b.Name)
	if !ok {
		return refused(notFound)
	}
	if b.IfRevision != 0 && b.IfRevision != old.Revision {
		return result{Code: conflict, Room: &old}
	}
	t.must(rooms.Delete([]byte(b.Name)))
	t.change(Change{Kind: RoomDeleted, Before: &old})
	return result{Room: &old}
}

func (t *txn) revoke(r Revocation) result {
	if r.TokenID == "" && r.Identity == "" && r.Room == "" && r.Before.IsZero() {
		return refused(invalid) // it would be about everybody for ever
	}
	r.ID = "v" + strconv.FormatUint(t.index, 36)
	t.must(put(t.tx.Bucket(revocationBucket), r.ID, r))
	if !r.Expires.IsZero() {
		t.must(t.expireAt(r.Expires.Add(expirySlack), revocationExpires, r.ID))
	}
	t.listed(Change{Kind: Revoked, Revocation: &r})
	return result{Revocation: &r}
}

func (t *txn) unrevoke(b nameBody) result {
	r, ok := get[Revocation](t.tx.Bucket(revocationBucket), b.Name)
	if !ok {
		return refused(notFound)
	}
	t.must(t.tx.Bucket(revocationBucket).Delete([]byte(b.Name)))
	if !r.Expires.IsZero() {
		t.must(t.forgetExpiry(r.Expires.Add(expirySlack), revocationExpires, r.ID))
	}
	t.listed(Change{Kind: Unrevoked, Revocation: &r})
	return result{}
}

func (t *txn) addKey(k Key) result {
	if !legalKey(k.ID) || !legalKey(k.Use) {
		return refused(invalid)
	}
	if _, ok := get[Key](t.tx.Bucket(keyBucket), k.ID); ok {
		return refused(exists)
	}
	t.must(put(t.tx.Bucket(keyBucket), k.ID, k))
	if !k.Expires.IsZero() {
		t.must(t.expireAt(k.Expires.Add(expirySlack), keyExpires, k.ID))
	}
	t.listed(Change{Kind: KeyAdded, Key: &k})
	return result{}
}

func (t *txn) removeKey(b nameBody) result {
	k, ok := get[Key](t.tx.Bucket(keyBucket), b.Name)
	if !ok {
		return refused(notFound)
	}
	t.must(t.tx.Bucket(keyBucket).Delete([]byte(b.Name)))
	if !k.Expires.IsZero() {
		t.must(t.forgetExpiry(k.Expires.Add(expirySlack), keyExpires, k.ID))
	}
	t.listed(Change{Kind: KeyRemoved, Key: &k})
	return result{}
}
