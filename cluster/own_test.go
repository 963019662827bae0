package cluster

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
)

// joinAs adds a member that is no process of its own.
func joinAs(t testing.TB, n *Node, node string) Member {
	t.Helper()
	res, err := n.write(t.Context(), joinNode, Request{}, Member{Node: node, Voter: "voter of " + node})
	if err != nil {
		t.Fatal(err)
	}
	return *res.Member
}

func claim(t testing.TB, n *Node, room string, m Member) Owner {
	t.Helper()
	o, err := n.Claim(t.Context(), Request{}, room, m.Node, m.Incarnation)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestClaim(t *testing.T) {
	n := open(t, t.TempDir())
	a, b := joinAs(t, n, "a"), joinAs(t, n, "b")
	first := claim(t, n, "room", a)
	if first.Node != "a" || first.Incarnation != a.Incarnation || first.Epoch == 0 || first.Previous != "" {
		t.Errorf("got %+v, want a's", first)
	}
	if got := claim(t, n, "room", b); got != first {
		t.Errorf("claimed by another: got %+v, want the owner %+v", got, first)
	}
	if got := claim(t, n, "room", a); got != first {
		t.Errorf("claimed again: got %+v, want %+v", got, first)
	}
	if got, ok := n.Owner("room"); !ok || got != first {
		t.Errorf("got %+v %t, want %+v", got, ok, first)
	}
	if _, err := n.Claim(t.Context(), Request{}, "other", "a", a.Incarnation+1); !errors.Is(err, ErrConflict) {
		t.Errorf("claimed by an incarnation that is none: got %v, want ErrConflict", err)
	}
	if _, err := n.Claim(t.Context(), Request{}, "other", "nobody", 1); !errors.Is(err, ErrConflict) {
		t.Errorf("claimed by nobody: got %v, want ErrConflict", err)
	}
	if _, err := n.Claim(t.Context(), Request{}, "", "a", a.Incarnation); !errors.Is(err, ErrInvalid) {
		t.Errorf("a room without a name: got %v, want ErrInvalid", err)
	}
}

// A restart and a verdict of death both free all rooms, with one write.
func TestRoomsOfTheGoneCanBeClaimed(t *testing.T) {
	n := open(t, t.TempDir())
	b := joinAs(t, n, "b")
	for name, end := range map[string]func(Member){
		"restarted": func(a Member) { joinAs(t, n, a.Node) },
		"dead": func(a Member) {
			if _, err := n.SetState(t.Context(), Request{}, a.Node, a.Incarnation, Dead); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := joinAs(t, n, name)
			before := claim(t, n, name, a)
			end(a)
			if o, ok := n.Owner(name); ok {
				t.Errorf("it still has an owner: %+v", o)
			}
			if _, err := n.Claim(t.Context(), Request{}, name, a.Node, a.Incarnation); !errors.Is(err, ErrConflict) {
				t.Errorf("claimed by the one that is gone: got %v, want ErrConflict", err)
			}
			if got := claim(t, n, name, b); got.Node != "b" || got.Epoch <= before.Epoch || got.Previous != a.Node {
				t.Errorf("got %+v, want b's in a later epoch than %d, from %s", got, before.Epoch, a.Node)
			}
		})
	}
}

func TestStateIsFenced(t *testing.T) {
	n := open(t, t.TempDir())
	old := joinAs(t, n, "a")
	now := joinAs(t, n, "a")
	set := func(inc uint64, s State) (Member, error) {
		return n.SetState(context.WithoutCancel(t.Context()), Request{}, "a", inc, s)
	}
	if m, err := set(old.Incarnation, Dead); !errors.Is(err, ErrConflict) || m != now {
		t.Errorf("a late verdict: got %+v, %v, want the member as it is and ErrConflict", m, err)
	}
	if m, err := set(now.Incarnation, Draining); err != nil || m.State != Draining {
		t.Errorf("got %+v, %v, want it draining", m, err)
	}
	if _, err := n.Claim(t.Context(), Request{}, "room", "a", now.Incarnation); !errors.Is(err, ErrConflict) {
		t.Errorf("claimed while draining: got %v, want ErrConflict", err)
	}
	if m, err := set(now.Incarnation, Up); err != nil || m.State != Up {
		t.Errorf("undrained: got %+v, %v", m, err)
	}
	if _, err := set(now.Incarnation, Dead); err != nil {
		t.Error(err)
	}
	if m, err := set(now.Incarnation, Up); !errors.Is(err, ErrConflict) || m.State != Dead {
		t.Errorf("back from death: got %+v, %v, want ErrConflict", m, err)
	}
	if _, err := set(now.Incarnation, "asleep"); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	if _, err := n.SetState(t.Context(), Request{}, "nobody", 1, Dead); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestMove(t *testing.T) {
	n := open(t, t.TempDir())
	a, b := joinAs(t, n, "a"), joinAs(t, n, "b")
	first := claim(t, n, "room", a)
	moved, err := n.Move(t.Context(), Request{}, "room", first.Epoch, "b")
	want := Owner{Room: "room", Node: "b", Incarnation: b.Incarnation, Epoch: moved.Epoch, Previous: "a"}
	if err != nil || moved != want || moved.Epoch <= first.Epoch {
		t.Errorf("got %+v, %v, want %+v", moved, err, want)
	}
	if got, err := n.Move(t.Context(), Request{}, "room", first.Epoch, "a"); !errors.Is(err, ErrConflict) || got != moved {
		t.Errorf("from an old epoch: got %+v, %v, want %+v and ErrConflict", got, err, moved)
	}
	if got, err := n.Move(t.Context(), Request{}, "room", moved.Epoch, "nobody"); !errors.Is(err, ErrConflict) || got != moved {
		t.Errorf("to nobody: got %+v, %v, want %+v and ErrConflict", got, err, moved)
	}
	if _, err := n.Move(t.Context(), Request{}, "other", 1, "b"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestRelease(t *testing.T) {
	n := open(t, t.TempDir())
	a := joinAs(t, n, "a")
	one, two := claim(t, n, "one", a), claim(t, n, "two", a)
	stale := one
	stale.Epoch--
	if got, err := n.Release(t.Context(), Request{}, stale, two, Owner{Room: "none"}); err != nil || !reflect.DeepEqual(got, []string{"two"}) {
		t.Errorf("got %v, %v, want two alone", got, err)
	}
	if _, ok := n.Owner("two"); ok {
		t.Error("two has an owner")
	}
	if _, ok := n.Owner("one"); !ok {
		t.Error("one has lost its owner")
	}
	if again := claim(t, n, "two", a); again.Epoch <= two.Epoch {
		t.Errorf("epoch %d comes after %d", again.Epoch, two.Epoch)
	}
	if _, err := n.Release(t.Context(), Request{}, make([]Owner, maxRelease+1)...); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// A directory under a new name is the same node: the old name owns nothing.
func TestRenamedNode(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	claim(t, n, "room", n.Self())
	shut(t, n)
	n = open(t, dir, func(c *Config) { c.Node = "n2" })
	if _, ok := n.Owner("room"); ok {
		t.Error("the old name still owns the room")
	}
	m := n.Members()
	if len(m) != 2 || m[0].State != Dead || m[1] != n.Self() || n.Self().State != Up {
		t.Errorf("got %+v, want n1 dead and n2 up", m)
	}
}

func TestChangesOfMembersAndOwners(t *testing.T) {
	var mu sync.Mutex
	var got []string
	n := open(t, t.TempDir(), func(c *Config) {
		c.OnChange = func(c Change) {
			mu.Lock()
			defer mu.Unlock()
			switch c.Kind {
			case MemberChanged:
				got = append(got, c.Member.Node+" "+string(c.Member.State))
			case OwnerChanged:
				got = append(got, fmt.Sprintf("%s: %q after %q", c.Owner.Room, c.Owner.Node, c.Owner.Previous))
			default:
				t.Errorf("got %+v", c)
			}
		}
	})
	a, b := joinAs(t, n, "a"), joinAs(t, n, "b")
	first := claim(t, n, "room", a)
	claim(t, n, "room", b) // changes nothing
	moved, err := n.Move(t.Context(), Request{}, "room", first.Epoch, "b")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second changes nothing
		if _, err := n.SetState(t.Context(), Request{}, "a", a.Incarnation, Draining); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Release(t.Context(), Request{}, moved); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{"a up", "b up", `room: "a" after ""`, `room: "b" after "a"`, "a draining", `room: "" after "b"`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
