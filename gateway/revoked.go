package gateway

import (
	"sync"
	"time"

	"github.com/sluicemedia/sluice/cluster"
)

// revocations answers whether a token was revoked. It has what the registry
// has, found by what each revocation names, so that a request looks at those
// alone that may be about its token.
type revocations struct {
	mu   sync.RWMutex
	keys map[string]leaseKey // by id
	by   map[leaseKey]map[string]cluster.Revocation
}

// keyOf is the most telling thing that a revocation names; the zero value of
// one that names neither token nor identity nor room is its key too.
func keyOf(r cluster.Revocation) leaseKey {
	switch {
	case r.TokenID != "":
		return leaseKey{byToken, r.TokenID}
	case r.Identity != "":
		return leaseKey{byIdentity, r.Identity}
	default:
		return leaseKey{byRoom, r.Room}
	}
}

// fits tells whether a revocation is about a token in a room; "" is no room,
// and only revocations for every room fit there. A token that does not say
// when it was issued may have been issued before. One that has no end either is
// the key of an encoder or an operator: it is meant only where it is named.
func fits(r cluster.Revocation, b bearer, room string) bool {
	if r.TokenID == "" && r.Identity == "" && b.issued.IsZero() && b.expires.IsZero() {
		return false
	}
	return (r.TokenID == "" || r.TokenID == b.tokenID) &&
		(r.Identity == "" || r.Identity == b.identity) &&
		(r.Room == "" || r.Room == room) &&
		(r.Before.IsZero() || b.issued.Before(r.Before))
}

// add puts a revocation in, in place of one with the same id.
func (s *revocations) add(r cluster.Revocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(r.ID)
	if s.by == nil {
		s.keys, s.by = make(map[string]leaseKey), make(map[leaseKey]map[string]cluster.Revocation)
	}
	key := keyOf(r)
	if s.by[key] == nil {
		s.by[key] = make(map[string]cluster.Revocation)
	}
	s.keys[r.ID], s.by[key][r.ID] = key, r
}

// keep makes a list all that is there.
func (s *revocations) keep(all []cluster.Revocation) {
	fresh := &revocations{}
	for _, r := range all {
		fresh.add(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.by = fresh.keys, fresh.by
}

// remove takes a revocation out again.
func (s *revocations) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(id)
}

// drop is remove with the lock held.
func (s *revocations) drop(id string) {
	key, known := s.keys[id]
	if !known {
		return
	}
	delete(s.keys, id)
	delete(s.by[key], id)
	if len(s.by[key]) == 0 {
		delete(s.by, key)
	}
}

// covers tells whether a token is revoked in a room, "" for in every room.
func (s *revocations) covers(b bearer, room string, now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.keys) == 0 {
		return false
	}
	for _, key := range [...]leaseKey{{byToken, b.tokenID}, {byIdentity, b.identity}, {byRoom, room}, {byRoom, ""}} {
		if key.value == "" && key.of != byRoom {
			continue // what the token does not have no revocation names
		}
		for _, r := range s.by[key] {
			if (r.Expires.IsZero() || now.Before(r.Expires)) && fits(r, b, room) {
				return true
			}
		}
	}
	return false
}
