package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// snapshot is the state as it was when it was made: a read transaction.
type snapshot struct {
	m  *machine
	f  *stateFile
	tx *bbolt.Tx
}

// Snapshot implements raft.FSM. It takes microseconds: the copy is made while
// commands go on.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.stopped { // raft believes that it has what was left out
		return nil, errPoisoned
	}
	f := m.acquire()
	tx, err := f.db.Begin(false)
	if err != nil {
		return nil, errors.Join(err, m.release(f))
	}
	return &snapshot{m, f, tx}, nil
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.tx.WriteTo(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {
	if err := errors.Join(s.tx.Rollback(), s.m.release(s.f)); err != nil {
		s.m.log.Warn("snapshot could not be released", "err", err)
	}
}

// Restore implements raft.FSM: a new file beside the old one, checked page by
// page before it takes its place. After an error everything is as before.
func (m *machine) Restore(from io.ReadCloser) error {
	path := m.nextPath()
	db, err := writeState(path, from)
	if err != nil {
		return errors.Join(err, removeIfThere(path))
	}
	m.mu.Lock()
	old := m.current
	m.current = &stateFile{db: db, refs: 1}
	m.mu.Unlock()
	err = m.view(func(tx *bbolt.Tx) error {
		m.applied.Store(getUint(tx, appliedKey))
		return nil
	})
	m.readLists()
	m.tell([]Change{{Kind: Reloaded, Index: m.applied.Load()}})
	return errors.Join(err, m.release(old))
}

func writeState(path string, from io.Reader) (*bbolt.DB, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // below our directory
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, bufio.NewReaderSize(from, 1<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := checkPages(path); err != nil {
		return nil, err
	}
	db, err := openBolt(path, disposable)
	if err != nil {
		return nil, err
	}
	if err := checkState(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// checkState refuses what a newer version wrote.
func checkState(db *bbolt.DB) error {
	err := db.View(func(tx *bbolt.Tx) error {
		for _, name := range stateBuckets() {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("%w: the snapshot has no bucket %s", ErrDamaged, name)
			}
		}
		if v := getUint(tx, schemaKey); v != schema {
			return fmt.Errorf("the snapshot has schema %d, this version knows %d", v, schema)
		}
		return nil
	})
	return err
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
