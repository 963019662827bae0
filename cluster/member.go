package cluster

// State is how a member is.
type State string

const (
	// Up takes rooms.
	Up State = "up"
	// Draining keeps its rooms until they have moved, and takes no others.
	Draining State = "draining"
	// Dead owns nothing. What it owned can be claimed by others.
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
	Node        string // "": nobody, released
	Incarnation uint64
	Epoch       uint64 // grows with every change of the owner
	Previous    string // the owner before, to take the room over from
}

// Bodies of commands about members and owners.
type (
	stateBody struct {
		Node        string
		Incarnation uint64
		State       State
	}
	ownerBody struct {
		Room        string
		Node        string
		Incarnation uint64
		Epoch       uint64
	}
)
