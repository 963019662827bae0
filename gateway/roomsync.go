package gateway

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/sfu"
)

// roomKeeper keeps the rooms that media goes through as the registry says they
// are. It always compares the two as they are now, so that it does not matter
// how often it is told of a change, in which order, or by whom.
type roomKeeper struct {
	mu   sync.Mutex // held while one room is looked at
	kept map[string]kept

	changedMu sync.Mutex
	changed   map[string]struct{} // names to look at
	wake      chan struct{}       // capacity 1
}

// kept is what the keeper has made of a room.
type kept struct {
	created  time.Time // tells a room from an earlier one of its name
	revision uint64
}

func newRoomKeeper() *roomKeeper {
	return &roomKeeper{kept: make(map[string]kept), changed: make(map[string]struct{}), wake: make(chan struct{}, 1)}
}

// changes is told of the registry's changes.
func (k *roomKeeper) changes(c cluster.Change) {
	switch {
	case c.Room != nil:
		k.note(c.Room.Name)
	case c.Before != nil:
		k.note(c.Before.Name)
	case c.Kind == cluster.Reloaded:
		k.note(everyRoom)
	}
}

// everyRoom stands for all of them; no room is called so.
const everyRoom = "*"

// note remembers to look at a room. It does not block.
func (k *roomKeeper) note(name string) {
	k.changedMu.Lock()
	k.changed[name] = struct{}{}
	k.changedMu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default: // whoever was woken will see it
	}
}

func (k *roomKeeper) take() map[string]struct{} {
	k.changedMu.Lock()
	defer k.changedMu.Unlock()
	names := k.changed
	k.changed = make(map[string]struct{})
	return names
}

// loadRooms makes the rooms of the registry.
func (g *Gateway) loadRooms() {
	const batch = 1000
	for after := ""; ; {
		rooms := g.registry.Rooms(after, batch)
		for _, r := range rooms {
			g.mustKeepRoom(r.Name)
			after = r.Name
		}
		if len(rooms) < batch {
			return
		}
	}
}

// keepRooms follows the registry until ctx ends.
func (g *Gateway) keepRooms(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.keeper.wake:
		}
		for name := range g.keeper.take() {
			if name == everyRoom {
				g.keepAll()
				continue
			}
			g.mustKeepRoom(name)
		}
	}
}

// keepAll makes all rooms as the registry has them, also those that are gone
// from it.
func (g *Gateway) keepAll() {
	g.loadRooms()
	g.keeper.mu.Lock()
	names := slices.Collect(maps.Keys(g.keeper.kept))
	g.keeper.mu.Unlock()
	for _, name := range names {
		g.mustKeepRoom(name)
	}
}

// mustKeepRoom is keepRoom where nobody waits for its outcome.
func (g *Gateway) mustKeepRoom(name string) {
	if err := g.keepRoom(name); err != nil && !errors.Is(err, sfu.ErrClosed) {
		g.log.Error("a room is not as the registry has it", "room", name, "err", err)
	}
}

// keepRoom makes one room as the registry has it.
func (g *Gateway) keepRoom(name string) error {
	k := g.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	made, exists := g.registry.Room(name)
	have, had := k.kept[name]
	if had && (!exists || !have.created.Equal(made.Created)) {
		delete(k.kept, name)
		had = false
		if err := g.rooms.Delete(name); err != nil && !errors.Is(err, sfu.ErrRoomNotFound) {
			return err
		}
	}
	if !exists || had && have.revision == made.Revision {
		return nil
	}
	if err := g.rooms.Put(name, settingsOf(made)); err != nil {
		return err
	}
	k.kept[name] = kept{made.Created, made.Revision}
	g.hub.SetLocked(name, made.Locked)
	return nil
}

// endUnmade ends a room that is not in the registry. Nothing is done, and ended
// is false, when it is there by now: its settings would be gone from media, and
// the keeper would not know.
func (g *Gateway) endUnmade(name string) (ended bool, err error) {
	g.keeper.mu.Lock()
	defer g.keeper.mu.Unlock()
	if _, isMade := g.registry.Room(name); isMade {
		return false, nil
	}
	return true, g.rooms.Delete(name)
}

// settingsOf is the part of a room that media depends on.
func settingsOf(r cluster.Room) sfu.Settings {
	return sfu.Settings{
		Wait: r.Wait, Replace: r.Replace, MaxPublications: r.MaxPublications, MaxViewers: r.MaxViewers,
		Program: r.Program,
	}
}
