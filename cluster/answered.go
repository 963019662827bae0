package cluster

import "go.etcd.io/bbolt"

// Answered tells whether a request was answered before: a write with it changes
// nothing and has the outcome of the first one.
func (n *Node) Answered(req Request) (known bool) {
	if req.ID != "" {
		n.read(func(tx *bbolt.Tx) { _, known = get[outcome](tx.Bucket(requestBucket), req.ID) })
	}
	return known
}
