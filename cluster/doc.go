// Package cluster holds the registry: what all nodes agree on and what must
// outlive them. Rooms with their settings and members, keys that sign, and
// revocations live there. Publications, viewers and media do not: they belong
// to the node that has them.
package cluster
