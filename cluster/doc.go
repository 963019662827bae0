// Package cluster holds the registry: what all nodes agree on and what must
// outlive them. Rooms with their settings and members, keys that sign, and
// revocations live there, and which node has which room. Publications, viewers
// and media do not: they belong to the node that has them.
//
// A [Node] is a node's part of it. Writes are commands (command.go) in a raft
// log (logstore.go), synced to disk, and then applied to a state (fsm.go,
// apply.go, member.go) that every start makes anew. Reads (read.go) look at
// that state, and wait for nothing. At present there is one voter, the node
// itself, and no port.
//
// Goroutines: those of raft, and one for each write under way, which outlives
// a caller that does not wait. Close waits for all of them, unless the disk
// hangs. OnChange is called by raft's goroutine that applies, with no lock
// held.
//
// Locks: Node.mu guards whether it is closed; machine.mu guards which file is
// the state and who still uses it. Neither is held during I/O, and never both.
// bbolt has locks of its own: one writer, any number of readers who do not
// wait for it.
package cluster
