package cluster

import (
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// open opens a registry until the test ends.
func open(t testing.TB, dir string, options ...func(*Config)) *Node {
	t.Helper()
	cfg := Config{Node: "n1", Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, o := range options {
		o(&cfg)
	}
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, n) })
	return n
}

func shut(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestRoomLife(t *testing.T) {
	n := open(t, t.TempDir())
	before := time.Now().Add(-time.Second)
	made, err := n.CreateRoom(t.Context(), Request{}, Room{Name: "a", Wait: true, Members: []string{"zoe", "ann", "zoe"}})
	if err != nil {
		t.Fatal(err)
	}
	if made.Revision == 0 || made.Created.Before(before) || made.Created.Location() != time.UTC {
		t.Errorf("got %+v, want a revision and a time of now", made)
	}
	if want := []string{"ann", "zoe"}; !reflect.DeepEqual(made.Members, want) {
		t.Errorf("members: got %v, want %v", made.Members, want)
	}
	if got, ok := n.Room("a"); !ok || !reflect.DeepEqual(got, made) {
		t.Errorf("got %+v %t, want %+v", got, ok, made)
	}
	if got, err := n.CreateRoom(t.Context(), Request{}, Room{Name: "a"}); !errors.Is(err, ErrExists) || !reflect.DeepEqual(got, made) {
		t.Errorf("a second one: got %+v, %v, want the first and ErrExists", got, err)
	}

	changed := made
	changed.Locked, changed.Created = true, time.Time{}
	changed, err = n.UpdateRoom(t.Context(), Request{}, changed, made.Revision)
	if err != nil || !changed.Locked || changed.Revision <= made.Revision || !changed.Created.Equal(made.Created) {
		t.Errorf("got %+v, %v, want it locked under a later revision, made when it was", changed, err)
	}
	if got, err := n.UpdateRoom(t.Context(), Request{}, made, made.Revision); !errors.Is(err, ErrConflict) || !reflect.DeepEqual(got, changed) {
		t.Errorf("on an old revision: got %+v, %v, want the present one and ErrConflict", got, err)
	}
	if err := n.DeleteRoom(t.Context(), Request{}, "a", made.Revision); !errors.Is(err, ErrConflict) {
		t.Errorf("delete on an old revision: got %v, want ErrConflict", err)
	}
	if err := n.DeleteRoom(t.Context(), Request{}, "a", changed.Revision); err != nil {
		t.Error(err)
	}
	if _, ok := n.Room("a"); ok {
		t.Error("the room is there after its end")
	}
	if _, err := n.UpdateRoom(t.Context(), Request{}, made, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if err := n.DeleteRoom(t.Context(), Request{}, "a", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	again, err := n.CreateRoom(t.Context(), Request{}, Room{Name: "a"})
	if err != nil || again.Revision <= changed.Revision {
		t.Errorf("made again: got %+v, %v, want a later revision than ever", again, err)
	}
}

func TestRoomsInPages(t *testing.T) {
	n := open(t, t.TempDir())
	for _, name := range []string{"b", "d", "a", "c"} {
		if _, err := n.CreateRoom(t.Context(), Request{}, Room{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		after string
		limit int
		want  string
	}{
		{"", 0, "abcd"},
		{"", 2, "ab"},
		{"b", 2, "cd"},
		{"bb", 1, "c"}, // it may be gone meanwhile
		{"d", 1, ""},
	} {
		var got strings.Builder
		for _, r := range n.Rooms(tc.after, tc.limit) {
			got.WriteString(r.Name)
		}
		if got.String() != tc.want {
			t.Errorf("after %q, %d: got %s, want %s", tc.after, tc.limit, got.String(), tc.want)
		}
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	room, err := n.CreateRoom(t.Context(), Request{}, Room{Name: "a", PasswordHash: "x"})
	if err != nil {
		t.Fatal(err)
	}
	revocation, err := n.Revoke(t.Context(), Request{}, Revocation{TokenID: "t", Expires: time.Now().Add(time.Hour)})
	if err != nil || revocation.ID == "" {
		t.Fatalf("got %+v, %v, want an id", revocation, err)
	}
	if err := n.AddKey(t.Context(), Key{ID: "k", Use: "room-token", Secret: []byte{1, 2}}); err != nil {
		t.Fatal(err)
	}
	incarnation := n.Members()[0].Incarnation
	shut(t, n)

	n = open(t, dir)
	if got, ok := n.Room("a"); !ok || !reflect.DeepEqual(got, room) {
		t.Errorf("room: got %+v %t, want %+v", got, ok, room)
	}
	if got := n.Revocations(); len(got) != 1 || got[0].ID != revocation.ID {
		t.Errorf("revocations: got %+v, want %+v", got, revocation)
	}
	if got := n.Keys("room-token"); len(got) != 1 || string(got[0].Secret) != "\x01\x02" {
		t.Errorf("keys: got %+v", got)
	}
	if got := n.Keys("other"); len(got) != 0 {
		t.Errorf("keys of another use: got %+v", got)
	}
	if m := n.Members(); len(m) != 1 || m[0].Incarnation <= incarnation || m[0].State != Up {
		t.Errorf("members: got %+v, want one, up, of a later incarnation than %d", m, incarnation)
	}
	after, err := n.UpdateRoom(t.Context(), Request{}, room, room.Revision)
	if err != nil || after.Revision <= room.Revision {
		t.Errorf("got %+v, %v, want revisions to go on", after, err)
	}
	if err := n.RemoveKey(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	if err := n.RemoveKey(t.Context(), "k"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestOneNodeForADirectory(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	start := time.Now()
	_, err := Open(t.Context(), Config{Node: "n2", Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), filepath.Join(dir, logFile)) {
		t.Errorf("got %v, want ErrInUse with the file", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("that took %s, want it at once", took)
	}
}

func TestChanges(t *testing.T) {
	var mu sync.Mutex
	var changes []Change
	n := open(t, t.TempDir(), func(c *Config) {
		c.OnChange = func(c Change) {
			mu.Lock()
			defer mu.Unlock()
			changes = append(changes, c)
		}
	})
	room, err := n.CreateRoom(t.Context(), Request{}, Room{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	room.Locked = true
	if _, err := n.UpdateRoom(t.Context(), Request{}, room, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := n.CreateRoom(t.Context(), Request{}, room); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	if err := n.DeleteRoom(t.Context(), Request{}, "a", 0); err != nil {
		t.Fatal(err)
	}
	revocation, err := n.Revoke(t.Context(), Request{}, Revocation{Identity: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Unrevoke(t.Context(), Request{}, revocation.ID); err != nil {
		t.Fatal(err)
	}
	if err := n.Unrevoke(t.Context(), Request{}, revocation.ID); !errors.Is(err, ErrNotFound) {
		t.Fatalf("again: got %v, want ErrNotFound", err)
	}
	if err := n.AddKey(t.Context(), Key{ID: "k", Use: "u"}); err != nil {
		t.Fatal(err)
	}
	if err := n.RemoveKey(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	// Every write has returned, so all of it has been told.
	mu.Lock()
	defer mu.Unlock()
	want := []ChangeKind{RoomCreated, RoomUpdated, RoomDeleted, Revoked, Unrevoked, KeyAdded, KeyRemoved}
	var got []ChangeKind
	for _, c := range changes {
		got = append(got, c.Kind)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if c := changes[1]; c.Before.Locked || !c.Room.Locked || c.Index != c.Room.Revision {
		t.Errorf("update: got %+v to %+v", c.Before, c.Room)
	}
	if c := changes[2]; c.Before == nil || c.Room != nil {
		t.Errorf("delete: got %+v", c)
	}
	if c := changes[4]; !reflect.DeepEqual(c.Revocation, &revocation) {
		t.Errorf("undone: got %+v, want %+v", c.Revocation, revocation)
	}
}
