package cluster

// State is how a member is.
type State string

const (
	// Up takes rooms.
	Up State = "up"
	// Draining keeps its rooms until they have moved, and takes no others.
	Draining State = "draining"
	// Dead owns nothing: what it owned can be claimed by others. There is no
	// way back but to join anew.
	Dead State = "dead"
)

// Member is a node as the registry knows it.
type Member struct {
	Node        string
	Voter       string // id of its directory: one node under whatever name
	URL         string // where others reach it; "": nowhere
	Incarnation uint64 // index of the entry with which it joined: another one after every start
	State       State
}

// Owner says which node has a room. It holds while the member of that name has
// that incarnation and is not dead.
type Owner struct {
	Room        string
	Node        string // "": nobody
	Incarnation uint64
	Epoch       uint64 // greater with every owner of the room, also after a time without one
	Previous    string // the owner before, to take the room over from; "": none
}

// Bodies of commands about members and owners.
type (
	stateBody struct {
		Node        string
		Incarnation uint64
		State       State
	}
	claimBody struct {
		Room        string
		Node        string
		Incarnation uint64
	}
	moveBody struct {
		Room  string
		Epoch uint64
		Node  string
	}
	releaseBody struct {
		Rooms []heldRoom
	}
	heldRoom struct {
		Room  string
		Epoch uint64
	}
)

// join makes a node a member, or a new incarnation of one. All that its former
// incarnation owned can be claimed from then on.
func (t *txn) join(m Member) result {
	if !legalKey(m.Node) || !legalKey(m.Voter) {
		return refused(invalid)
	}
	nodes := t.tx.Bucket(nodeBucket)
	for _, other := range all[Member](nodes) {
		// The same directory under another name: the old name is gone.
		if other.Voter == m.Voter && other.Node != m.Node && other.State != Dead {
			other.State = Dead
			t.putMember(other)
		}
	}
	m.Incarnation, m.State = t.index, Up
	t.putMember(m)
	return result{Member: &m}
}

// setState is fenced: a verdict about a former life of a node does not touch
// the present one.
func (t *txn) setState(b stateBody) result {
	m, ok := get[Member](t.tx.Bucket(nodeBucket), b.Node)
	switch {
	case b.State != Up && b.State != Draining && b.State != Dead:
		return refused(invalid)
	case !ok:
		return refused(notFound)
	case m.Incarnation != b.Incarnation, m.State == Dead && b.State != Dead:
		return result{Code: conflict, Member: &m}
	case m.State != b.State:
		m.State = b.State
		t.putMember(m)
	}
	return result{Member: &m}
}

func (t *txn) putMember(m Member) {
	t.must(put(t.tx.Bucket(nodeBucket), m.Node, m))
	t.change(Change{Kind: MemberChanged, Member: &m})
}

// claim gives a room that nobody has to a node. Whoever has it keeps it.
func (t *txn) claim(b claimBody) result {
	if !legalKey(b.Room) {
		return refused(invalid)
	}
	owner, ok := get[Owner](t.tx.Bucket(ownerBucket), b.Room)
	if ok && t.holds(owner) {
		return result{Owner: &owner}
	}
	m, known := get[Member](t.tx.Bucket(nodeBucket), b.Node)
	if !known || m.Incarnation != b.Incarnation || m.State != Up {
		return refused(conflict)
	}
	return t.putOwner(b.Room, m, owner)
}

// move gives a room to another node, if it is as whoever moves it believes.
func (t *txn) move(b moveBody) result {
	owner, ok := get[Owner](t.tx.Bucket(ownerBucket), b.Room)
	if !ok {
		return refused(notFound)
	}
	m, known := get[Member](t.tx.Bucket(nodeBucket), b.Node)
	if owner.Epoch != b.Epoch || !known || m.State != Up {
		return result{Code: conflict, Owner: &owner}
	}
	return t.putOwner(b.Room, m, owner)
}

// putOwner begins an epoch. The index of the entry is one that no owner of the
// room had before, so nothing needs to be kept of rooms that nobody has.
func (t *txn) putOwner(room string, m Member, before Owner) result {
	owner := Owner{
		Room: room, Node: m.Node, Incarnation: m.Incarnation,
		Epoch: max(t.index, before.Epoch+1), Previous: before.Node,
	}
	t.must(put(t.tx.Bucket(ownerBucket), room, owner))
	t.change(Change{Kind: OwnerChanged, Owner: &owner})
	return result{Owner: &owner}
}

// release takes rooms from their owners, those that still have the given
// epoch.
func (t *txn) release(b releaseBody) result {
	if len(b.Rooms) > maxRelease {
		return refused(invalid)
	}
	owners := t.tx.Bucket(ownerBucket)
	var released []string
	for _, held := range b.Rooms {
		owner, ok := get[Owner](owners, held.Room)
		if !ok || owner.Epoch != held.Epoch {
			continue
		}
		t.must(owners.Delete([]byte(held.Room)))
		released = append(released, held.Room)
		t.change(Change{Kind: OwnerChanged, Owner: &Owner{Room: held.Room, Epoch: held.Epoch, Previous: owner.Node}})
	}
	return result{Released: released}
}

// holds tells whether an owner still is one.
func (t *txn) holds(o Owner) bool {
	m, ok := get[Member](t.tx.Bucket(nodeBucket), o.Node)
	return ok && m.Incarnation == o.Incarnation && m.State != Dead
}
