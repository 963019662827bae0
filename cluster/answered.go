package cluster

import (
	"time"

	"go.etcd.io/bbolt"
)

// Answered tells whether a request was answered before, and not so long ago that
// it is forgotten: a write with it changes nothing and has the outcome of the
// first one.
func (n *Node) Answered(req Request) (known bool) {
	if req.ID != "" {
		n.read(func(tx *bbolt.Tx) {
			first, ok := get[outcome](tx.Bucket(requestBucket), req.ID)
			known = ok && time.Now().UnixNano() < first.Until
		})
	}
	return known
}
