package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// disk is full while it is said to be.
type disk struct {
	full    atomic.Bool
	refused atomic.Int64
}

func (d *disk) fault() error {
	if d.full.Load() {
		d.refused.Add(1)
		return syscall.ENOSPC
	}
	return nil
}

// eventually polls for at most 20 s.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
		pause, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		<-pause.Done()
		cancel()
	}
}

func TestFullDisk(t *testing.T) {
	for name, on := range map[string]func(*Config, func() error){
		"of the log":   func(c *Config, f func() error) { c.logFault = f },
		"of the state": func(c *Config, f func() error) { c.stateFault = f },
		"of both":      func(c *Config, f func() error) { c.logFault, c.stateFault = f, f },
	} {
		t.Run(name, func(t *testing.T) {
			var d disk
			n := open(t, t.TempDir(), func(c *Config) { on(c, d.fault) })
			createRooms(t, n, 0, 3)
			d.full.Store(true)
			for range 3 {
				_, err := n.CreateRoom(t.Context(), Request{ID: "once"}, Room{Name: "room-003"})
				if !errors.Is(err, ErrNoLeader) {
					t.Fatalf("got %v, want ErrNoLeader", err)
				}
				wantRooms(t, n, 3) // reads go on
			}
			// As soon as the reason is known it is told.
			if _, err := n.CreateRoom(t.Context(), Request{ID: "once"}, Room{Name: "room-003"}); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v, want it to name the reason", err)
			}
			if s := n.Stats(); !s.Failed || s.WriteErrors != 4 {
				t.Errorf("got %+v, want it failed, with four errors", s)
			}

			d.full.Store(false)
			eventually(t, "writes again", func() bool {
				_, err := n.CreateRoom(t.Context(), Request{ID: "once"}, Room{Name: "room-003"})
				if err != nil && !errors.Is(err, ErrNoLeader) {
					t.Fatal(err)
				}
				return err == nil
			})
			wantRooms(t, n, 4)
			if s := n.Stats(); s.Failed || !s.Leader {
				t.Errorf("got %+v, want it well", s)
			}
		})
	}
}

// A node on a full disk must be able to end, and what it had answered is
// there when it starts again.
func TestCloseOnFullDisk(t *testing.T) {
	for name, on := range map[string]func(*Config, func() error){
		"of the log":   func(c *Config, f func() error) { c.logFault = f },
		"of the state": func(c *Config, f func() error) { c.stateFault = f },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var d disk
			n := open(t, dir, func(c *Config) {
				on(c, d.fault)
				c.tune = func(r *raft.Config) { r.LeaderLeaseTimeout = 10 * time.Millisecond }
			})
			soon := n.raft.ReloadableConfig()
			soon.HeartbeatTimeout, soon.ElectionTimeout = 10*time.Millisecond, 10*time.Millisecond
			if err := n.raft.ReloadConfig(soon); err != nil {
				t.Fatal(err)
			}
			createRooms(t, n, 0, 3)
			term := n.raft.CurrentTerm()
			d.full.Store(true)
			if _, err := n.CreateRoom(t.Context(), Request{}, Room{Name: "late"}); !errors.Is(err, ErrNoLeader) {
				t.Fatalf("got %v, want ErrNoLeader", err)
			}
			// One that fails, and then whoever waits for the disk: for the log
			// that is raft, which cannot save its next term.
			eventually(t, "the disk was asked again and again", func() bool { return d.refused.Load() >= 4 })
			shut(t, n)
			n = open(t, dir)
			if err := n.DeleteRoom(t.Context(), Request{}, "late", 0); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err) // it was not answered: both are right
			}
			wantRooms(t, n, 3)
			if now := n.raft.CurrentTerm(); now <= term {
				t.Errorf("term %d comes after %d", now, term)
			}
		})
	}
}

// A disk that hangs answers nothing. Writes and Close end all the same.
func TestHungDisk(t *testing.T) {
	hung := make(chan struct{})
	release := sync.OnceFunc(func() { close(hung) })
	defer release()
	var hang atomic.Bool
	n, err := Open(t.Context(), Config{Node: "n1", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), logFault: func() error {
		if hang.Load() {
			<-hung
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	createRooms(t, n, 0, 1)
	hang.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.CreateRoom(ctx, Request{}, Room{Name: "late"}); !errors.Is(err, ErrNoLeader) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrNoLeader and the end of the context", err)
	}
	wantRooms(t, n, 1)
	if err := n.Close(); err == nil {
		t.Error("closed without a word")
	}
	release() // what is left ends: the leak check of the package sees it
}

// Raft is told that its term is saved when the node ends. Nothing that relies on
// it may be stored from then on, though the disk takes writes again.
func TestNothingAfterAnUnsavedTerm(t *testing.T) {
	var d disk
	s, err := openLogStore(t.TempDir()+"/log.db", d.fault)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetUint64(termKey, 1); err != nil {
		t.Fatal(err)
	}
	d.full.Store(true)
	saved := make(chan error, 1)
	go func() { saved <- s.SetUint64(termKey, 2) }() // waited for below
	eventually(t, "it waits", func() bool { return d.refused.Load() >= 2 })
	s.stop()
	if err := <-saved; err != nil {
		t.Errorf("raft would panic on %v", err)
	}
	d.full.Store(false)
	if err := s.StoreLog(&raft.Log{Index: 1, Term: 2}); err == nil {
		t.Error("an entry of the term that is not saved is stored")
	}
	if err := s.Set([]byte("LastVoteCand"), []byte("me")); err == nil {
		t.Error("a vote in the term that is not saved is stored")
	}
	if term, err := s.GetUint64(termKey); err != nil || term != 1 {
		t.Errorf("got term %d, %v, want 1", term, err)
	}
}

func TestOpenOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	createRooms(t, n, 0, 3)
	shut(t, n)
	var d disk
	d.full.Store(true)
	_, err := Open(t.Context(), Config{Node: "n1", Dir: dir, Log: n.log, logFault: d.fault})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want the reason", err)
	}
	wantRooms(t, open(t, dir), 3)
}

// A wait for the disk at the start ends with the context.
func TestOpenIsBounded(t *testing.T) {
	dir := t.TempDir()
	shut(t, open(t, dir))
	ctx, cancel := context.WithCancel(t.Context())
	var writes atomic.Int64
	_, err := Open(ctx, Config{Node: "n1", Dir: dir, Log: open(t, t.TempDir()).log, logFault: func() error {
		if writes.Add(1) == 1 {
			return nil // the probe
		}
		cancel()
		return syscall.ENOSPC
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	shut(t, open(t, dir))
}

// After a write that failed and is on disk all the same, nothing of it comes
// back behind what was written next.
func TestAppendCutsTheLog(t *testing.T) {
	s, err := openLogStore(t.TempDir()+"/log.db", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	entries := func(term uint64, from, to uint64) []*raft.Log {
		var list []*raft.Log
		for i := from; i <= to; i++ {
			list = append(list, &raft.Log{Index: i, Term: term, Data: []byte("x")})
		}
		return list
	}
	if err := s.StoreLogs(entries(1, 1, 9)); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs(entries(2, 4, 5)); err != nil {
		t.Fatal(err)
	}
	if last, err := s.LastIndex(); err != nil || last != 5 {
		t.Errorf("got %d, %v, want 5", last, err)
	}
	for i, want := range map[uint64]uint64{3: 1, 4: 2, 5: 2} {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil || l.Term != want {
			t.Errorf("entry %d: got term %d, %v, want %d", i, l.Term, err, want)
		}
	}
	var l raft.Log
	if err := s.GetLog(6, &l); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("entry 6: got %v, want none", err)
	}
	if err := s.DeleteRange(1, 3); err != nil {
		t.Fatal(err)
	}
	if first, err := s.FirstIndex(); err != nil || first != 4 {
		t.Errorf("got %d, %v, want 4", first, err)
	}
}

// A log that could not be cut takes writes all the same.
func TestUncutLog(t *testing.T) {
	var d disk
	n := open(t, t.TempDir(), func(c *Config) { c.logFault = d.fault })
	createRooms(t, n, 0, 3)
	d.full.Store(true)
	if err := n.store.DeleteRange(1, 2); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want the reason", err)
	}
	d.full.Store(false)
	createRooms(t, n, 3, 4)
	wantRooms(t, n, 4)
}

func TestDeleteRange(t *testing.T) {
	const count = 3 * cutAtOnce
	for name, tc := range map[string]struct{ first, last, oldest, newest uint64 }{
		"the head":        {1, 2*cutAtOnce + 7, 2*cutAtOnce + 8, count},
		"the tail":        {cutAtOnce / 2, count, 1, cutAtOnce/2 - 1},
		"beyond the tail": {5, 10 * count, 1, 4},
		"all":             {0, count, 0, 0},
		"nothing":         {count + 1, count + 5, 1, count},
		"turned round":    {7, 6, 1, count},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := openLogStore(t.TempDir()+"/log.db", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var logs []*raft.Log
			for i := range uint64(count) {
				logs = append(logs, &raft.Log{Index: i + 1, Term: 1})
			}
			if err := s.StoreLogs(logs); err != nil {
				t.Fatal(err)
			}
			// Wherever it breaks off, the log has no hole.
			steps := 0
			s.fault = func() error {
				oldest, _ := s.FirstIndex()
				newest, _ := s.LastIndex()
				if n := s.count(t); oldest != 0 && n != int(newest-oldest+1) {
					t.Errorf("step %d: %d entries from %d to %d", steps, n, oldest, newest)
				}
				steps++
				return nil
			}
			if err := s.DeleteRange(tc.first, tc.last); err != nil {
				t.Fatal(err)
			}
			oldest, _ := s.FirstIndex()
			newest, _ := s.LastIndex()
			if oldest != tc.oldest || newest != tc.newest {
				t.Errorf("got %d to %d, want %d to %d", oldest, newest, tc.oldest, tc.newest)
			}
			if want := count - int(newest-oldest+1); oldest != 0 && steps < want/cutAtOnce {
				t.Errorf("%d entries were deleted in %d steps", want, steps)
			}
		})
	}
}

func (s *logStore) count(t testing.TB) (n int) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket(logBucket).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEntryOnDisk(t *testing.T) {
	for _, want := range []raft.Log{
		{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: []byte("c")},
		{Index: 1 << 40, Term: 7, Data: []byte{}, AppendedAt: time.Unix(1, 5)},
		{Index: 2, Term: 7, Data: []byte("data"), Extensions: []byte("extension"), AppendedAt: time.Unix(1e9, 0)},
	} {
		b := encodeEntry(&want)
		got, err := decodeEntry(want.Index, b)
		if err != nil || got.Term != want.Term || got.Type != want.Type || string(got.Data) != string(want.Data) ||
			string(got.Extensions) != string(want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		for i := range b {
			b[i] ^= 0x10
			if _, err := decodeEntry(want.Index, b); !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d changed: got %v, want ErrDamaged", i, err)
			}
			b[i] ^= 0x10
		}
	}
}
