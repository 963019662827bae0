package load

import "time"

// Role is what somebody wants to be let in for.
type Role uint8

// The roles. Publishers are let in when viewers are not any more: without its
// publisher a room is nothing.
const (
	Viewer Role = iota
	Publisher
	roles
)

func (r Role) String() string {
	if r == Publisher {
		return "publisher"
	}
	return "viewer"
}

// Media is what the media path tells of itself. Counters are over its life.
type Media struct {
	Busy       float64       // share of the time that the busiest shard worked
	Delay      time.Duration // longest that a packet waited lately
	PacketsIn  uint64        // from publishers
	PacketsOut uint64        // to viewers
	SendDrops  uint64        // of PacketsOut, dropped because a socket was full
	RecvDrops  uint64        // datagrams that the media socket had no room for
	Joins      uint64        // viewers who connected
	Publishes  uint64        // publishers who did
	Idle       int           // connected viewers who are sent nothing now
}

// Sample is one look at everything.
type Sample struct {
	Media
	Census
	At    time.Time
	CPU   time.Duration // used by the process so far
	Cores int           // that the process may use
	Sched time.Duration // how long goroutines waited for a processor, p99 since the last sample
}

// Census counts sessions by role.
type Census struct {
	Connected  [roles]int
	Connecting [roles]int // answered, and not connected yet
}

// Reason is why somebody was refused.
type Reason string

// The reasons. The first two foresee that the node would carry too much.
const (
	ReasonNone      Reason = ""
	ReasonCPU       Reason = "cpu"           // of the process
	ReasonShards    Reason = "shards"        // of the busiest shard
	ReasonJoins     Reason = "joins"         // who was let in before would keep the processors busy for too long
	ReasonDelay     Reason = "packet_delay"  // packets wait too long
	ReasonSched     Reason = "sched_delay"   // goroutines wait too long
	ReasonSendDrops Reason = "send_drops"    // sockets are full
	ReasonRecvDrops Reason = "receive_drops" // the media socket is not read fast enough
)

// Reasons are all there are.
func Reasons() []Reason {
	return []Reason{
		ReasonCPU, ReasonShards, ReasonJoins, ReasonDelay, ReasonSched, ReasonSendDrops, ReasonRecvDrops,
	}
}
