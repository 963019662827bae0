package cluster

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the registry as a few maps: what it should do, as plainly as it can
// be said.
type model struct {
	index    uint64
	now      time.Duration
	rooms    map[string]Room
	members  map[string]Member
	owners   map[string]Owner
	keys     map[string]Key
	revoked  map[string]Revocation
	requests map[string]asked
}

type asked struct {
	kind   kind
	result result
	until  time.Duration
}

func (m *model) time() time.Time { return epoch.Add(m.now).UTC() }

func (m *model) holds(o Owner) bool {
	n, ok := m.members[o.Node]
	return ok && n.Incarnation == o.Incarnation && n.State != Dead
}

// expire forgets what the registry forgets; it has time for all of it, since
// these tests never make that many.
func (m *model) expire() {
	maps.DeleteFunc(m.requests, func(_ string, a asked) bool { return a.until <= m.now })
	past := func(at time.Time) bool { return !at.IsZero() && !at.Add(expirySlack).After(m.time()) }
	maps.DeleteFunc(m.revoked, func(_ string, r Revocation) bool { return past(r.Expires) })
	maps.DeleteFunc(m.keys, func(_ string, k Key) bool { return past(k.Expires) })
}

// do is what a command should come to.
func (m *model) do(k kind, id string, body any) result {
	m.index++
	m.expire()
	if a, ok := m.requests[id]; ok && id != "" {
		if a.kind != k {
			return refused(reused)
		}
		return a.result
	}
	r := m.run(k, body)
	if id != "" {
		m.requests[id] = asked{k, r, m.now + requestLife}
	}
	return r
}

func (m *model) run(k kind, body any) result {
	switch b := body.(type) {
	case roomBody:
		return m.room(k, b)
	case nameBody:
		return m.remove(k, b)
	case Revocation:
		b.ID = fmt.Sprintf("v%s", base36(m.index))
		m.revoked[b.ID] = b
		return result{Revocation: &b}
	case Key:
		if _, ok := m.keys[b.ID]; ok {
			return refused(exists)
		}
		m.keys[b.ID] = b
		return result{}
	case Member:
		b.Incarnation, b.State = m.index, Up
		m.members[b.Node] = b
		return result{Member: &b}
	case stateBody:
		n, ok := m.members[b.Node]
		if !ok {
			return refused(notFound)
		}
		if n.Incarnation != b.Incarnation || n.State == Dead && b.State != Dead {
			return result{Code: conflict, Member: &n}
		}
		n.State = b.State
		m.members[b.Node] = n
		return result{Member: &n}
	default:
		return m.own(body)
	}
}

func (m *model) room(k kind, b roomBody) result {
	old, ok := m.rooms[b.Room.Name]
	switch {
	case k == createRoom && ok:
		return result{Code: exists, Room: &old}
	case k == createRoom:
		m.now++
		b.Room.Created = m.time()
	case !ok:
		return refused(notFound)
	case b.IfRevision != 0 && b.IfRevision != old.Revision:
		return result{Code: conflict, Room: &old}
	default:
		b.Room.Created = old.Created
	}
	b.Room.Revision = m.index
	m.rooms[b.Room.Name] = b.Room
	return result{Room: &b.Room}
}

func (m *model) remove(k kind, b nameBody) result {
	if k == unrevoke {
		if _, ok := m.revoked[b.Name]; !ok {
			return refused(notFound)
		}
		delete(m.revoked, b.Name)
		return result{}
	}
	if k == removeKey {
		if _, ok := m.keys[b.Name]; !ok {
			return refused(notFound)
		}
		delete(m.keys, b.Name)
		return result{}
	}
	old, ok := m.rooms[b.Name]
	if !ok {
		return refused(notFound)
	}
	if b.IfRevision != 0 && b.IfRevision != old.Revision {
		return result{Code: conflict, Room: &old}
	}
	delete(m.rooms, b.Name)
	return result{Room: &old}
}

func (m *model) own(body any) result {
	give := func(room, node string, before Owner) result {
		o := Owner{Room: room, Node: node, Incarnation: m.members[node].Incarnation, Epoch: m.index, Previous: before.Node}
		m.owners[room] = o
		return result{Owner: &o}
	}
	switch b := body.(type) {
	case claimBody:
		o, ok := m.owners[b.Room]
		if ok && m.holds(o) {
			return result{Owner: &o}
		}
		if n, ok := m.members[b.Node]; !ok || n.Incarnation != b.Incarnation || n.State != Up {
			return refused(conflict)
		}
		return give(b.Room, b.Node, o)
	case moveBody:
		o, ok := m.owners[b.Room]
		if !ok {
			return refused(notFound)
		}
		if n, ok := m.members[b.Node]; o.Epoch != b.Epoch || !ok || n.State != Up {
			return result{Code: conflict, Owner: &o}
		}
		return give(b.Room, b.Node, o)
	default:
		var r result
		for _, h := range body.(releaseBody).Rooms {
			if o, ok := m.owners[h.Room]; ok && o.Epoch == h.Epoch {
				delete(m.owners, h.Room)
				r.Released = append(r.Released, h.Room)
			}
		}
		return r
	}
}

func base36(i uint64) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	if i < 36 {
		return digits[i : i+1]
	}
	return base36(i/36) + digits[i%36:i%36+1]
}

// drawCommand draws one of all there are, mostly about things that are there.
func drawCommand(t *rapid.T, m *model) (kind, any) {
	name := rapid.SampledFrom([]string{"a", "b", "c"})
	expires := func() time.Time {
		return rapid.SampledFrom([]time.Time{{}, m.time().Add(time.Minute), m.time().Add(time.Hour)}).Draw(t, "expires")
	}
	revision := func(name string) uint64 {
		return rapid.SampledFrom([]uint64{0, m.rooms[name].Revision, m.index}).Draw(t, "revision")
	}
	k := kind(rapid.IntRange(int(createRoom), int(unrevoke)).Draw(t, "kind"))
	room, node := name.Draw(t, "name"), name.Draw(t, "node")
	epochOf := func() uint64 {
		return rapid.SampledFrom([]uint64{m.owners[room].Epoch, m.index}).Draw(t, "epoch")
	}
	switch k {
	case createRoom, updateRoom:
		return k, roomBody{Room{Name: room, Locked: rapid.Bool().Draw(t, "locked"), Program: node}, revision(room)}
	case deleteRoom:
		return k, nameBody{room, revision(room)}
	case revoke:
		return k, Revocation{Identity: room, Expires: expires()}
	case unrevoke:
		ids := append(slices.Sorted(maps.Keys(m.revoked)), "v0")
		return k, nameBody{Name: rapid.SampledFrom(ids).Draw(t, "revocation")}
	case addKey:
		return k, Key{ID: room, Use: node, Expires: expires()}
	case removeKey:
		return k, nameBody{Name: room}
	case joinNode:
		return k, Member{Node: node, Voter: "of " + node}
	case setNodeState:
		inc := rapid.SampledFrom([]uint64{m.members[node].Incarnation, 1}).Draw(t, "incarnation")
		return k, stateBody{node, inc, rapid.SampledFrom([]State{Up, Draining, Dead}).Draw(t, "state")}
	case claimRoom:
		return k, claimBody{room, node, rapid.SampledFrom([]uint64{m.members[node].Incarnation, 1}).Draw(t, "incarnation")}
	case moveRoom:
		return k, moveBody{room, epochOf(), node}
	default:
		return k, releaseBody{[]heldRoom{{room, epochOf()}, {node, m.owners[node].Epoch}}}
	}
}

func TestModel(t *testing.T) {
	if os.Getenv("SLUICE_LONG") == "" {
		if err := flag.Set("rapid.checks", "30"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		it := newMachine(t, nil)
		m := &model{
			rooms: map[string]Room{}, members: map[string]Member{}, owners: map[string]Owner{},
			keys: map[string]Key{}, revoked: map[string]Revocation{}, requests: map[string]asked{},
		}
		rt.Repeat(map[string]func(*rapid.T){
			"command": func(rt *rapid.T) {
				k, body := drawCommand(rt, m)
				id := rapid.SampledFrom([]string{"", "", "", "r1", "r2", "r3"}).Draw(rt, "request")
				at := m.now
				want := m.do(k, id, body)
				got := applied(t, it, entry(t, m.index, at, k, Request{ID: id}, body))[0]
				if !reflect.DeepEqual(got, want) {
					rt.Fatalf("%d %+v: got %+v, want %+v", k, body, got, want)
				}
			},
			"time": func(rt *rapid.T) {
				m.now += time.Duration(rapid.SampledFrom([]int{1, 5, 50}).Draw(rt, "minutes")) * time.Minute
			},
			"snapshot": func(rt *rapid.T) {
				if err := it.Restore(io.NopCloser(bytes.NewReader(persist(t, it)))); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) { compare(rt, it, m) },
		})
	})
}

func compare(t *rapid.T, it *machine, m *model) {
	n := &Node{machine: it}
	rooms := map[string]Room{}
	for _, r := range n.Rooms("", 0) {
		rooms[r.Name] = r
	}
	if !maps.EqualFunc(rooms, m.rooms, func(a, b Room) bool { return reflect.DeepEqual(a, b) }) {
		t.Fatalf("rooms: got %+v, want %+v", rooms, m.rooms)
	}
	for _, name := range []string{"a", "b", "c"} {
		got, ok := n.Owner(name)
		want := m.owners[name]
		if got != want || ok != m.holds(want) {
			t.Fatalf("owner of %s: got %+v %t, want %+v %t", name, got, ok, want, m.holds(want))
		}
	}
	members := slices.SortedFunc(maps.Values(m.members), func(a, b Member) int { return bytes.Compare([]byte(a.Node), []byte(b.Node)) })
	if got := n.Members(); !slices.Equal(got, members) {
		t.Fatalf("members: got %+v, want %+v", got, members)
	}
	// What has expired goes with the next command; no more and no less.
	revoked := map[string]Revocation{}
	for _, r := range n.Revocations() {
		revoked[r.ID] = r
	}
	if !maps.EqualFunc(revoked, m.revoked, func(a, b Revocation) bool { return reflect.DeepEqual(a, b) }) {
		t.Fatalf("revocations: got %+v, want %+v", revoked, m.revoked)
	}
	if got := len(*it.keys.Load()); got != len(m.keys) {
		t.Fatalf("got %d keys, want %d", got, len(m.keys))
	}
}
