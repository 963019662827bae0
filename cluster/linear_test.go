package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/hashicorp/raft"
)

// call is one call of a client on one room, and what it came to.
type call struct {
	op       string // create, update, delete, read
	room     string
	if0      uint64 // revision that was asked for
	revision uint64 // that came back; 0: no room
	err      string
}

// registryModel is one room: its revision is all there is to know.
func registryModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			rooms := map[string][]porcupine.Operation{}
			for _, o := range history {
				name := o.Input.(call).room
				rooms[name] = append(rooms[name], o)
			}
			var parts [][]porcupine.Operation
			for _, p := range rooms {
				parts = append(parts, p)
			}
			return parts
		},
		Init: func() any { return [2]uint64{} }, // revision now, 0: no room; the highest ever
		Step: func(state, _, output any) (bool, any) {
			s, c := state.([2]uint64), output.(call)
			there, fits := s[0] != 0, c.if0 == 0 || c.if0 == s[0]
			switch {
			case c.op == "read":
				return c.revision == s[0], s
			case c.op == "create" && there:
				return c.err == "exists" && c.revision == s[0], s
			case c.op != "create" && !there:
				return c.err == "not-found", s
			case c.op != "create" && !fits:
				return c.err == "conflict" && (c.op == "delete" || c.revision == s[0]), s
			case c.op == "delete":
				return c.err == "", [2]uint64{0, s[1]}
			default: // a revision that there never was
				return c.err == "" && c.revision > s[1], [2]uint64{c.revision, c.revision}
			}
		},
	}
}

func oneCall(t *testing.T, n *Node, c call) call {
	t.Helper()
	var r Room
	var err error
	switch c.op {
	case "create":
		r, err = n.CreateRoom(t.Context(), Request{}, Room{Name: c.room})
	case "update":
		r, err = n.UpdateRoom(t.Context(), Request{}, Room{Name: c.room}, c.if0)
	case "delete":
		err = n.DeleteRoom(t.Context(), Request{}, c.room, c.if0)
	case "read":
		r, _ = n.Room(c.room)
	}
	c.revision = r.Revision
	switch {
	case err == nil:
	case errors.Is(err, ErrExists):
		c.err = "exists"
	case errors.Is(err, ErrNotFound):
		c.err = "not-found"
	case errors.Is(err, ErrConflict):
		c.err = "conflict"
	default:
		t.Error(err)
	}
	return c
}

// history is what clients see who write and read at the same time, while
// snapshots are made.
func history(t *testing.T, n *Node, clients, calls int) []porcupine.Operation {
	t.Helper()
	start := time.Now()
	var mu sync.Mutex
	var list []porcupine.Operation
	var running sync.WaitGroup
	for client := range clients {
		running.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(client), 1))
			known := map[string]uint64{}
			for range calls {
				c := call{room: fmt.Sprint("room", rnd.IntN(4)), op: []string{"create", "update", "update", "delete", "read", "read"}[rnd.IntN(6)]}
				if c.op != "create" && c.op != "read" && rnd.IntN(3) > 0 {
					c.if0 = known[c.room]
				}
				from := time.Since(start)
				done := oneCall(t, n, c)
				to := time.Since(start)
				known[c.room] = done.revision
				mu.Lock()
				list = append(list, porcupine.Operation{ClientId: client, Input: c, Output: done, Call: int64(from), Return: int64(to)})
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return list
}

func TestLinearizable(t *testing.T) {
	n := open(t, t.TempDir(), func(c *Config) {
		c.tune = func(r *raft.Config) { r.SnapshotThreshold, r.SnapshotInterval = 32, 5*time.Millisecond }
	})
	list := history(t, n, 8, 60)
	if got := porcupine.CheckOperationsTimeout(registryModel(), list, 20*time.Second); got != porcupine.Ok {
		t.Errorf("%d calls: got %s, want %s", len(list), got, porcupine.Ok)
	}
	outcomes := map[string]int{}
	for _, o := range list {
		outcomes[o.Output.(call).op+" "+o.Output.(call).err]++
	}
	t.Log(outcomes)
	for _, want := range []string{"create ", "create exists", "update ", "update conflict", "update not-found", "delete ", "read "} {
		if outcomes[want] == 0 {
			t.Errorf("no %q among the calls: they do not show much", want)
		}
	}
	doctored := slices.Clone(list)
	slices.SortFunc(doctored, func(a, b porcupine.Operation) int { return int(a.Return - b.Return) })
	for _, o := range slices.Backward(doctored) {
		// A read after everything else that saw what was before the last write.
		if c := o.Output.(call); c.op == "update" && c.err == "" {
			last := doctored[len(doctored)-1].Return
			doctored = append(doctored, porcupine.Operation{
				ClientId: 99, Input: call{op: "read", room: c.room}, Output: call{op: "read", room: c.room, revision: c.revision - 1},
				Call: last + 1, Return: last + 2,
			})
			break
		}
	}
	if got := porcupine.CheckOperationsTimeout(registryModel(), doctored, 20*time.Second); got != porcupine.Illegal {
		t.Errorf("a doctored history: got %s, want %s", got, porcupine.Illegal)
	}
}
