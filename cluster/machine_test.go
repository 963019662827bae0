package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// newMachine is a state without a log behind it.
func newMachine(tb testing.TB, onChange func(Change)) *machine {
	tb.Helper()
	m, err := openMachine(Config{Dir: tb.TempDir(), Log: slog.New(slog.DiscardHandler), OnChange: onChange})
	if err != nil {
		tb.Fatal(err)
	}
	m.telling.Store(true)
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Error(err)
		}
	})
	return m
}

// epoch is when the logs of these tests begin.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func entry(tb testing.TB, index uint64, after time.Duration, k kind, r Request, body any) *raft.Log {
	tb.Helper()
	data, err := newCommand(k, r, body)
	if err != nil {
		tb.Fatal(err)
	}
	return &raft.Log{Index: index, Term: 1, Data: data, AppendedAt: epoch.Add(after)}
}

func applied(tb testing.TB, m *machine, logs ...*raft.Log) []result {
	tb.Helper()
	var list []result
	for _, r := range m.ApplyBatch(logs) {
		list = append(list, r.(result))
	}
	return list
}

// dump is all of a state in one text.
func dump(tb testing.TB, m *machine) string {
	tb.Helper()
	var out bytes.Buffer
	err := m.view(func(tx *bbolt.Tx) error {
		for _, name := range stateBuckets() {
			err := tx.Bucket(name).ForEach(func(k, v []byte) error {
				fmt.Fprintf(&out, "%s %q %q\n", name, k, v)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

func TestRequestAskedAgain(t *testing.T) {
	m := newMachine(t, nil)
	req := Request{ID: "r", Digest: [32]byte{1}}
	body := roomBody{Room: Room{Name: "a"}}
	first := applied(t, m, entry(t, 5, 0, createRoom, req, body))[0]
	if first.Code != done || first.Room.Revision != 5 {
		t.Fatalf("got %+v", first)
	}
	before := dump(t, m)
	if again := applied(t, m, entry(t, 6, time.Minute, createRoom, req, body))[0]; !reflect.DeepEqual(again, first) {
		t.Errorf("asked again: got %+v, want the first answer %+v", again, first)
	}
	other := req
	other.Digest[0]++
	if got := applied(t, m, entry(t, 7, time.Minute, createRoom, other, body))[0]; got.Code != reused {
		t.Errorf("another digest: got %q, want %q", got.Code, reused)
	}
	if got := applied(t, m, entry(t, 8, time.Minute, deleteRoom, req, nameBody{Name: "a"}))[0]; got.Code != reused {
		t.Errorf("another kind: got %q, want %q", got.Code, reused)
	}
	// A refusal is an outcome as well.
	no := Request{ID: "no"}
	applied(t, m, entry(t, 9, time.Minute, deleteRoom, no, nameBody{Name: "b"}))
	applied(t, m, entry(t, 10, time.Minute, createRoom, Request{}, roomBody{Room: Room{Name: "b"}}))
	if got := applied(t, m, entry(t, 11, time.Minute, deleteRoom, no, nameBody{Name: "b"}))[0]; got.Code != notFound {
		t.Errorf("a refusal asked again: got %q, want %q", got.Code, notFound)
	}
	if before == dump(t, m) {
		t.Error("the dump says nothing")
	}
	// It is forgotten by the time of the log.
	if got := applied(t, m, entry(t, 12, requestLife+time.Second, createRoom, other, body))[0]; got.Code != exists {
		t.Errorf("after its time: got %q, want %q", got.Code, exists)
	}
}

func TestTheClockOfTheLog(t *testing.T) {
	m := newMachine(t, nil)
	applied(t, m, entry(t, 1, 2*time.Hour, createRoom, Request{}, roomBody{Room: Room{Name: "a"}}))
	// A leader whose clock is behind, and an entry without a time.
	back := applied(t, m, entry(t, 2, time.Hour, createRoom, Request{}, roomBody{Room: Room{Name: "b"}}))[0]
	none := entry(t, 3, 0, createRoom, Request{}, roomBody{Room: Room{Name: "c"}})
	none.AppendedAt = time.Time{}
	for i, r := range []result{back, applied(t, m, none)[0]} {
		// Each room that was made before has taken a nanosecond.
		if want := epoch.Add(2*time.Hour + time.Duration(i+2)); !r.Room.Created.Equal(want) {
			t.Errorf("%s: got %s, want %s", r.Room.Name, r.Room.Created, want)
		}
	}
}

// TestNoTwoRoomsAtOnce makes, ends and makes a room in one batch, all of one
// time: what was for the first must not pass for the second.
func TestNoTwoRoomsAtOnce(t *testing.T) {
	m := newMachine(t, nil)
	body := roomBody{Room: Room{Name: "a"}}
	got := applied(t, m,
		entry(t, 1, 0, createRoom, Request{}, body),
		entry(t, 2, 0, deleteRoom, Request{}, nameBody{Name: "a"}),
		entry(t, 3, 0, createRoom, Request{}, body),
	)
	if first, second := got[0].Room.Created, got[2].Room.Created; !second.After(first) {
		t.Errorf("the first was made at %s, the second at %s, want that later", first, second)
	}
}

func TestExpiry(t *testing.T) {
	var changes []Change
	m := newMachine(t, func(c Change) { changes = append(changes, c) })
	at := func(d time.Duration) time.Time { return epoch.Add(d) }
	applied(t, m,
		entry(t, 1, 0, revoke, Request{}, Revocation{TokenID: "soon", Expires: at(time.Hour)}),
		entry(t, 2, 0, revoke, Request{}, Revocation{TokenID: "late", Expires: at(3 * time.Hour)}),
		entry(t, 3, 0, revoke, Request{}, Revocation{TokenID: "ever"}),
		entry(t, 4, 0, revoke, Request{}, Revocation{TokenID: "far", Expires: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}),
		entry(t, 5, 0, addKey, Request{}, Key{ID: "soon", Use: "u", Expires: at(time.Hour)}),
		entry(t, 6, 0, addKey, Request{}, Key{ID: "ever", Use: "u"}),
		entry(t, 7, 0, addKey, Request{}, Key{ID: "gone", Use: "u", Expires: at(time.Hour)}),
		entry(t, 8, 0, removeKey, Request{}, nameBody{Name: "gone"}),
		entry(t, 9, 0, addKey, Request{}, Key{ID: "gone", Use: "again"}),
	)
	changes = nil
	tick := func(index uint64, d time.Duration) {
		applied(t, m, entry(t, index, d, deleteRoom, Request{}, nameBody{Name: "none"}))
	}
	tick(10, time.Hour+10*time.Minute) // a node's clock may be behind
	if len(changes) != 0 {
		t.Errorf("ten minutes after their time: got %+v", changes)
	}
	tick(10, time.Hour+expirySlack-time.Nanosecond)
	if len(changes) != 0 {
		t.Errorf("before the slack is over: got %+v", changes)
	}
	tick(11, time.Hour+expirySlack)
	if len(changes) != 2 || changes[0].Kind != KeyRemoved || changes[0].Key.ID != "soon" ||
		changes[1].Kind != RevocationExpired || changes[1].Revocation.TokenID != "soon" {
		t.Errorf("got %+v, want the key and the revocation that expire soon", changes)
	}
	if got := *m.revocations.Load(); len(got) != 3 {
		t.Errorf("revocations left: got %+v", got)
	}
	var ids []string
	for _, k := range *m.keys.Load() {
		ids = append(ids, k.ID)
	}
	if want := []string{"ever", "gone"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("keys left: got %v, want %v", ids, want)
	}
}

// TestUnrevoke: what was undone is not there any more, and does not expire either.
func TestUnrevoke(t *testing.T) {
	var changes []Change
	m := newMachine(t, func(c Change) { changes = append(changes, c) })
	got := applied(t, m,
		entry(t, 1, 0, revoke, Request{}, Revocation{TokenID: "a", Expires: epoch.Add(time.Hour)}),
		entry(t, 2, 0, revoke, Request{}, Revocation{TokenID: "b"}),
		entry(t, 3, 0, unrevoke, Request{}, nameBody{Name: "v1"}),
		entry(t, 4, 0, unrevoke, Request{}, nameBody{Name: "v1"}),
		entry(t, 5, 0, unrevoke, Request{}, nameBody{Name: ""}),
		entry(t, 6, 0, unrevoke, Request{}, nameBody{Name: string(make([]byte, maxName+1))}),
	)
	for i, want := range []code{done, done, done, notFound, notFound, notFound} {
		if got[i].Code != want {
			t.Errorf("command %d: got %q, want %q", i+1, got[i].Code, want)
		}
	}
	if len(changes) != 3 || changes[2].Kind != Unrevoked || changes[2].Index != 3 || changes[2].Revocation.TokenID != "a" {
		t.Errorf("got %+v, want two revocations and the end of the first", changes)
	}
	if left := *m.revocations.Load(); len(left) != 1 || left[0].ID != "v2" {
		t.Errorf("left: got %+v, want v2", left)
	}
	err := m.view(func(tx *bbolt.Tx) error {
		if k, _ := tx.Bucket(expiryBucket).Cursor().First(); k != nil {
			t.Errorf("%q is still to expire", k)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	applied(t, m, entry(t, 7, 3*time.Hour, unrevoke, Request{}, nameBody{Name: "none"}))
	if len(changes) != 3 {
		t.Errorf("later: got %+v", changes[3:])
	}
}

// An undo that is asked again undoes no more than the first time.
func TestUnrevokeAskedAgain(t *testing.T) {
	m := newMachine(t, nil)
	undo := func(index uint64, r Request) code {
		return applied(t, m, entry(t, index, 0, unrevoke, r, nameBody{Name: "v1"}))[0].Code
	}
	applied(t, m, entry(t, 1, 0, revoke, Request{}, Revocation{TokenID: "a"}))
	first, other := Request{ID: "r"}, Request{ID: "s"}
	for i, tc := range []struct {
		r    Request
		want code
	}{{first, done}, {first, done}, {other, notFound}, {Request{ID: "r", Digest: [32]byte{1}}, reused}} {
		if got := undo(uint64(i+2), tc.r); got != tc.want {
			t.Errorf("try %d: got %q, want %q", i+1, got, tc.want)
		}
	}
}

// What one command trims is bounded; the rest is left to the next.
func TestTrimIsBounded(t *testing.T) {
	m := newMachine(t, nil)
	var logs []*raft.Log
	for i := range uint64(3 * maxTrim) {
		logs = append(logs, entry(t, i+1, 0, deleteRoom, Request{ID: fmt.Sprint("r", i)}, nameBody{Name: "none"}))
	}
	applied(t, m, logs...)
	count := func() (n int) {
		err := m.view(func(tx *bbolt.Tx) error {
			n = tx.Bucket(requestBucket).Stats().KeyN
			if other := tx.Bucket(expiryBucket).Stats().KeyN; other != n {
				t.Errorf("%d outcomes and %d times at which they expire", n, other)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 4 {
		if got, want := count(), max(0, 3-i)*maxTrim; got != want {
			t.Errorf("after %d commands: got %d outcomes, want %d", i, got, want)
		}
		applied(t, m, entry(t, 1000+uint64(i), time.Hour, deleteRoom, Request{}, nameBody{Name: "none"}))
	}
}

func TestCommandsOfOtherVersions(t *testing.T) {
	m := newMachine(t, nil)
	good := entry(t, 1, 0, createRoom, Request{}, roomBody{Room: Room{Name: "a"}})
	change := func(fn func([]byte) []byte) *raft.Log {
		l := *good
		l.Data = fn(bytes.Clone(good.Data))
		return &l
	}
	for name, tc := range map[string]struct {
		log  *raft.Log
		want code
	}{
		"another format":     {change(func(b []byte) []byte { b[0] = 2; return b }), unknownCommand},
		"another kind":       {change(func(b []byte) []byte { b[1] = 200; return b }), unknownCommand},
		"kind zero":          {change(func(b []byte) []byte { b[1] = 0; return b }), unknownCommand},
		"nothing":            {change(func([]byte) []byte { return nil }), unknownCommand},
		"no body":            {change(func(b []byte) []byte { return b[:3] }), invalid},
		"half a body":        {change(func(b []byte) []byte { return b[:len(b)-2] }), invalid},
		"an id beyond it":    {change(func(b []byte) []byte { b[2] = 100; return b[:20] }), unknownCommand},
		"an endless length":  {change(func(b []byte) []byte { return append(b[:2], bytes.Repeat([]byte{0xff}, 20)...) }), unknownCommand},
		"no name":            {entry(t, 1, 0, createRoom, Request{}, roomBody{}), invalid},
		"a long name":        {entry(t, 1, 0, createRoom, Request{}, roomBody{Room: Room{Name: string(make([]byte, maxName+1))}}), invalid},
		"about everybody":    {entry(t, 1, 0, revoke, Request{}, Revocation{}), invalid},
		"a key without use":  {entry(t, 1, 0, addKey, Request{}, Key{ID: "k"}), invalid},
		"a node of no voter": {entry(t, 1, 0, joinNode, Request{}, Member{Node: "n"}), invalid},
	} {
		t.Run(name, func(t *testing.T) {
			before := *m.current
			if got := applied(t, m, tc.log)[0]; got.Code != tc.want {
				t.Errorf("got %q, want %q", got.Code, tc.want)
			}
			if *m.current != before || m.failed() != nil {
				t.Error("the machine stalled")
			}
		})
	}
	if got := applied(t, m, good)[0]; got.Code != done {
		t.Errorf("a good one after all these: got %q", got.Code)
	}
}

func TestTooMuchIsRefusedBeforeTheLog(t *testing.T) {
	n := open(t, t.TempDir())
	for name, write := range map[string]func() error{
		"a command": func() error {
			_, err := n.CreateRoom(t.Context(), Request{}, Room{Name: "a", PasswordHash: string(make([]byte, maxCommand))})
			return err
		},
		"a request id": func() error {
			_, err := n.CreateRoom(t.Context(), Request{ID: string(make([]byte, maxRequestID+1))}, Room{Name: "a"})
			return err
		},
		"a time": func() error {
			_, err := n.Revoke(t.Context(), Request{}, Revocation{TokenID: "t", Expires: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)})
			return err
		},
	} {
		if err := write(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func FuzzCommand(f *testing.F) {
	room := roomBody{Room: Room{Name: "a", Members: []string{"b"}}, IfRevision: 3}
	for k, body := range map[kind]any{
		createRoom: room, updateRoom: room, deleteRoom: nameBody{Name: "a"},
		revoke: Revocation{Identity: "i", Expires: epoch}, addKey: Key{ID: "k", Use: "u", Secret: []byte("s"), Expires: epoch}, removeKey: nameBody{Name: "k"}, unrevoke: nameBody{Name: "v1"},
		joinNode: Member{Node: "n", Voter: "v"}, setNodeState: stateBody{"n", 1, Dead},
		claimRoom: claimBody{"a", "n", 1}, moveRoom: moveBody{"a", 1, "n"}, releaseRooms: releaseBody{[]heldRoom{{"a", 1}}},
	} {
		for _, r := range []Request{{}, {ID: "id", Digest: [32]byte{7}}} {
			f.Add(entry(f, 1, 0, k, r, body).Data, int64(0))
		}
	}
	f.Add([]byte{commandFormat, 1, 0, '{', '}'}, int64(-1))
	// Two replicas of one log.
	a, b := newMachine(f, nil), newMachine(f, nil)
	var index uint64
	f.Fuzz(func(t *testing.T, data []byte, at int64) {
		if c, err := decodeCommand(data); err == nil {
			again, err := decodeCommand(c.encode())
			if err != nil || again.kind != c.kind || again.request != c.request || !bytes.Equal(again.body, c.body) {
				t.Errorf("encoded and decoded again: got %+v, %v, want %+v", again, err, c)
			}
		}
		index++
		l := &raft.Log{Index: index, Term: 1, Data: data, AppendedAt: time.Unix(0, at)}
		apply := func(m *machine) string { // a stall would never end
			m.stop()
			r := applied(t, m, l)[0]
			if r.Code == stopped {
				t.Fatalf("it cannot be applied: %v", m.failed())
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Errorf("an outcome that cannot be kept: %v", err)
			}
			return string(text)
		}
		if one, other := apply(a), apply(b); one != other {
			t.Errorf("two replicas come to %s and %s", one, other)
		}
		if one, other := dump(t, a), dump(t, b); one != other {
			t.Errorf("two replicas come to\n%s\nand\n%s", one, other)
		}
	})
}
