package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// often makes snapshots come early and keeps little of the log.
func often(c *Config) {
	c.tune = func(r *raft.Config) {
		r.SnapshotThreshold, r.SnapshotInterval, r.TrailingLogs = 16, 5*time.Millisecond, 8
	}
}

func createRooms(t testing.TB, n *Node, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := n.CreateRoom(t.Context(), Request{}, Room{Name: fmt.Sprintf("room-%03d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// snapshotNow makes a snapshot and returns its state file.
func snapshotNow(t testing.TB, n *Node, dir string) string {
	t.Helper()
	f := n.raft.Snapshot()
	if err := f.Error(); err != nil {
		t.Fatal(err)
	}
	meta, r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	return filepath.Join(dir, "snapshots", meta.ID, "state.bin")
}

// wantDamaged wants Open to say that the directory is damaged, and to leave all
// its bytes alone.
func wantDamaged(t testing.TB, dir string) {
	t.Helper()
	path := filepath.Join(dir, logFile)
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	n, err := Open(t.Context(), Config{Node: "n1", Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err == nil {
		shut(t, n)
	}
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
	t.Log(err)
	if after, err := os.ReadFile(path); before != nil && (err != nil || !bytes.Equal(before, after)) {
		t.Errorf("the log was changed (%v)", err)
	}
}

func damage(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantRooms(t testing.TB, n *Node, count int) {
	t.Helper()
	rooms := n.Rooms("", 0)
	if len(rooms) != count {
		t.Fatalf("got %d rooms, want %d", len(rooms), count)
	}
	for i, r := range rooms {
		if want := fmt.Sprintf("room-%03d", i); r.Name != want {
			t.Fatalf("room %d is %s, want %s", i, r.Name, want)
		}
	}
}

func TestRestartFromSnapshotAndLog(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, often)
	createRooms(t, n, 0, 100)
	snapshotNow(t, n, dir)
	if first, err := n.store.FirstIndex(); err != nil || first < 50 {
		t.Fatalf("the log begins with %d (%v), want it cut", first, err)
	}
	createRooms(t, n, 100, 120)
	shut(t, n)
	n = open(t, dir, often)
	wantRooms(t, n, 120)
	createRooms(t, n, 120, 121)
	wantRooms(t, n, 121)
}

// What a killed process leaves of its state file is of no use and no harm.
func TestLeftStateFile(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	createRooms(t, n, 0, 3)
	shut(t, n)
	for _, name := range []string{"fsm-1.db", "fsm-7.db.lock"} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), 100_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n = open(t, dir)
	wantRooms(t, n, 3)
	shut(t, n)
	if left, err := filepath.Glob(filepath.Join(dir, "fsm-*")); err != nil || len(left) != 0 {
		t.Errorf("state files are left: %v %v", left, err)
	}
}

func TestDamagedSnapshot(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	createRooms(t, n, 0, 20)
	older := snapshotNow(t, n, dir)
	createRooms(t, n, 20, 40)
	newer := snapshotNow(t, n, dir)
	createRooms(t, n, 40, 50)
	shut(t, n)

	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	damage(t, newer, flip)
	n = open(t, dir)
	wantRooms(t, n, 50) // from the older one and the log
	shut(t, n)

	damage(t, older, flip)
	n = open(t, dir)
	wantRooms(t, n, 50) // from the log alone, which is whole
	shut(t, n)
}

// TestSnapshotMistakenForAnother: raft's sum is of the state alone, not of what
// it says about it.
func TestSnapshotMistakenForAnother(t *testing.T) {
	whole := t.TempDir()
	n := open(t, whole)
	createRooms(t, n, 0, 20)
	snapshotNow(t, n, whole)
	createRooms(t, n, 20, 40)
	if err := n.DeleteRoom(t.Context(), Request{}, "room-039", 0); err != nil {
		t.Fatal(err)
	}
	createRooms(t, n, 39, 40) // another one of the name
	newer := filepath.Dir(snapshotNow(t, n, whole))
	createRooms(t, n, 40, 50)
	want := n.Rooms("", 0)
	shut(t, n)
	for name, change := range map[string]func(*raft.SnapshotMeta){
		"an earlier entry":  func(m *raft.SnapshotMeta) { m.Index -= 10 },
		"a later entry":     func(m *raft.SnapshotMeta) { m.Index += 5 },
		"an earlier format": func(m *raft.SnapshotMeta) { m.Version = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			damage(t, filepath.Join(dir, "snapshots", filepath.Base(newer), "meta.json"), func(b []byte) []byte {
				var meta struct {
					raft.SnapshotMeta
					CRC []byte
				}
				if err := json.Unmarshal(b, &meta); err != nil {
					t.Fatal(err)
				}
				change(&meta.SnapshotMeta)
				b, err := json.Marshal(meta)
				if err != nil {
					t.Fatal(err)
				}
				return b
			})
			if got := open(t, dir).Rooms("", 0); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestDamagedSnapshotAndShortLog(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir, func(c *Config) {
		c.tune = func(r *raft.Config) { r.TrailingLogs = 4 }
	})
	createRooms(t, n, 0, 40)
	only := snapshotNow(t, n, dir)
	shut(t, n)
	damage(t, only, func(b []byte) []byte { return b[:len(b)-1000] })
	wantDamaged(t, dir)
}

func TestDamagedLog(t *testing.T) {
	onLog := func(fn func(*bbolt.Bucket) error) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error { return fn(tx.Bucket(logBucket)) })
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	bytesOf := func(change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			damage(t, filepath.Join(dir, logFile), change)
		}
	}
	whole := t.TempDir()
	n := open(t, whole)
	createRooms(t, n, 0, 60)
	shut(t, n)
	for name, tc := range map[string]func(*testing.T, string){
		"torn":        bytesOf(func(b []byte) []byte { return b[:20_000] }),
		"very short":  bytesOf(func(b []byte) []byte { return b[:100] }),
		"no database": bytesOf(func(b []byte) []byte { return bytes.Repeat([]byte("log "), len(b)/4) }),
		"zeroes inside": bytesOf(func(b []byte) []byte {
			clear(b[4*os.Getpagesize() : 12*os.Getpagesize()])
			return b
		}),
		"an entry changed": onLog(func(b *bbolt.Bucket) error {
			v := bytes.Clone(b.Get(indexKey(10)))
			v[len(v)-1] ^= 1
			return b.Put(indexKey(10), v)
		}),
		"an entry in the place of another": onLog(func(b *bbolt.Bucket) error {
			return b.Put(indexKey(10), bytes.Clone(b.Get(indexKey(11))))
		}),
		"an entry missing": onLog(func(b *bbolt.Bucket) error { return b.Delete(indexKey(10)) }),
		"the first missing": onLog(func(b *bbolt.Bucket) error {
			return b.Delete(indexKey(1))
		}),
		"a short entry": onLog(func(b *bbolt.Bucket) error { return b.Put(indexKey(10), []byte{1}) }),
		"a long key":    onLog(func(b *bbolt.Bucket) error { return b.Put([]byte("index of ten"), []byte{1}) }),
		"all missing": onLog(func(b *bbolt.Bucket) error {
			return deleteRange(b, 1, 1000)
		}),
		"a later term than known": onLog(func(b *bbolt.Bucket) error {
			return b.Tx().Bucket(stableBucket).Put(termKey, indexKey(0))
		}),
		"an entry of no kind": onLog(func(b *bbolt.Bucket) error {
			return b.Put(indexKey(10), encodeEntry(&raft.Log{Index: 10, Term: 2, Type: 77}))
		}),
		"no configuration": onLog(func(b *bbolt.Bucket) error {
			return b.Put(indexKey(1), encodeEntry(&raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: []byte("x")}))
		}),
		"another voter": onLog(func(b *bbolt.Bucket) error {
			return b.Tx().Bucket(stableBucket).Put(voterKey, []byte("somebody else"))
		}),
		"a bucket missing": onLog(func(b *bbolt.Bucket) error { return b.Tx().DeleteBucket(logBucket) }),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			tc(t, dir)
			wantDamaged(t, dir)
		})
	}
}

func TestLostLog(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	createRooms(t, n, 0, 3)
	snapshotNow(t, n, dir)
	shut(t, n)
	if err := os.Remove(filepath.Join(dir, logFile)); err != nil {
		t.Fatal(err)
	}
	wantDamagedNew := func() error {
		_, err := Open(t.Context(), Config{Node: "n1", Dir: dir, Log: slog.New(slog.DiscardHandler)})
		return err
	}
	for range 2 { // the first try must not make the second succeed
		if err := wantDamagedNew(); !errors.Is(err, ErrDamaged) {
			t.Errorf("got %v, want ErrDamaged", err)
		}
	}
}
