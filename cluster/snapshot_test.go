package cluster

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

type sink struct {
	bytes.Buffer
	raft.SnapshotSink
}

func (s *sink) Write(p []byte) (int, error) { return s.Buffer.Write(p) }
func (s *sink) Close() error                { return nil }
func (s *sink) Cancel() error               { return nil }

func persist(tb testing.TB, m *machine) []byte {
	tb.Helper()
	snap, err := m.Snapshot()
	if err != nil {
		tb.Fatal(err)
	}
	defer snap.Release()
	var s sink
	if err := snap.Persist(&s); err != nil {
		tb.Fatal(err)
	}
	return s.Bytes()
}

func TestSnapshotIsOfOneMoment(t *testing.T) {
	m := newMachine(t, nil)
	applied(t, m, entry(t, 1, 0, createRoom, Request{}, roomBody{Room: Room{Name: "a"}}))
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := dump(t, m)
	applied(t, m, entry(t, 2, 0, deleteRoom, Request{}, nameBody{Name: "a"}))
	var s sink
	if err := snap.Persist(&s); err != nil {
		t.Fatal(err)
	}
	var changes []Change
	other := newMachine(t, func(c Change) { changes = append(changes, c) })
	if err := other.Restore(io.NopCloser(&s.Buffer)); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, other); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(changes) != 1 || changes[0].Kind != Reloaded || other.applied.Load() != 1 {
		t.Errorf("got %+v at %d, want to be told to read anew", changes, other.applied.Load())
	}
	// A snapshot under way keeps its file when another takes its place.
	if err := m.Restore(io.NopCloser(bytes.NewReader(persist(t, other)))); err != nil {
		t.Fatal(err)
	}
	snap.Release()
	if got := dump(t, m); got != want {
		t.Errorf("restored: got\n%s\nwant\n%s", got, want)
	}
}

func TestBadSnapshotChangesNothing(t *testing.T) {
	m := newMachine(t, nil)
	applied(t, m, entry(t, 1, 0, createRoom, Request{}, roomBody{Room: Room{Name: "a"}}))
	good, want := persist(t, m), dump(t, m)
	path := m.current.db.Path()
	newer := newMachine(t, nil)
	err := newer.current.db.Update(func(tx *bbolt.Tx) error { return putUint(tx, schemaKey, schema+1) })
	if err != nil {
		t.Fatal(err)
	}
	lacking := newMachine(t, nil)
	if err := lacking.current.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(keyBucket) }); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"half":              good[:len(good)/2],
		"of zeroes":         make([]byte, len(good)),
		"of a newer schema": persist(t, newer),
		"without a bucket":  persist(t, lacking),
	} {
		if err := m.Restore(io.NopCloser(bytes.NewReader(b))); err == nil {
			t.Errorf("a snapshot %s is taken", name)
		}
	}
	if err := m.Restore(io.NopCloser(io.MultiReader(bytes.NewReader(good), failing{}))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a snapshot that breaks off: got %v", err)
	}
	if got := dump(t, m); got != want || m.current.db.Path() != path {
		t.Errorf("it changed: got\n%s\nwant\n%s", got, want)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestNoSnapshotAfterAStop: raft believes that an entry was applied which was
// left out, and would never bring it again.
func TestNoSnapshotAfterAStop(t *testing.T) {
	m := newMachine(t, nil)
	applied(t, m, entry(t, 1, 0, createRoom, Request{}, roomBody{Room: Room{Name: "a"}}))
	m.fault = func() error { return errors.New("no space") }
	m.stop()
	if got := applied(t, m, entry(t, 2, 0, createRoom, Request{}, roomBody{Room: Room{Name: "b"}}))[0]; got.Code != stopped {
		t.Fatalf("got %q, want %q", got.Code, stopped)
	}
	m.fault = nil
	if s, err := m.Snapshot(); err == nil {
		s.Release()
		t.Error("there is a snapshot of a state that lacks an entry")
	}
}
