package cluster

// ChangeKind tells what a Change is about.
type ChangeKind int

const (
	// RoomCreated has Room.
	RoomCreated ChangeKind = iota + 1
	// RoomUpdated has Before and Room.
	RoomUpdated
	// RoomDeleted has Before.
	RoomDeleted
	// Revoked has Revocation.
	Revoked
	// Unrevoked has Revocation: it counts no more, though tokens that it was
	// about may be left.
	Unrevoked
	// RevocationExpired has Revocation: no token is left that it was about.
	RevocationExpired
	// KeyAdded has Key.
	KeyAdded
	// KeyRemoved has Key: removed or expired.
	KeyRemoved
	// MemberChanged has Member.
	MemberChanged
	// OwnerChanged has Owner, with an empty Node when nobody owns the room now.
	OwnerChanged
	// Reloaded says that everything may have changed: read it anew.
	Reloaded
)

// Change is one change of the registry. What does not belong to its kind is
// nil. Nothing it points to may be changed: others look at it too.
type Change struct {
	Kind         ChangeKind
	Index        uint64 // of the log entry; later changes have no lower one
	Before, Room *Room
	Revocation   *Revocation
	Key          *Key
	Member       *Member
	Owner        *Owner
}
