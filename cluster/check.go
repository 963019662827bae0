package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// Raft panics on a log that it cannot read, in goroutines where nobody can
// help it. Everything it will read is looked at before it starts.

// openChecked opens a bbolt file that a former process may have left in any
// state. The lock for readers keeps writers out while it is looked at.
func openChecked(path string) (*bbolt.DB, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		reader, err := lockReader(path)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(checkPages(path), reader.Close()); err != nil {
			return nil, err
		}
	}
	return openBolt(path, durable)
}

// check looks at every entry of the log, and at how it goes with the snapshot
// that the state begins with (nil: none).
func (s *logStore) check(voter string, snapshot *raft.SnapshotMeta) error {
	var before, term uint64
	servers := raft.Configuration{}
	if snapshot != nil {
		servers = snapshot.Configuration
	}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(logBucket).ForEach(func(k, v []byte) error {
			if len(k) != 8 {
				return fmt.Errorf("%w: log entry %x", ErrDamaged, k)
			}
			index := binary.BigEndian.Uint64(k)
			switch {
			case before == 0 && snapshot == nil && index != 1, before == 0 && snapshot != nil && index > snapshot.Index+1:
				return fmt.Errorf("%w: the log begins with entry %d; what was before is in no snapshot that can be read", ErrDamaged, index)
			case before != 0 && index != before+1:
				return fmt.Errorf("%w: log entry %d is missing", ErrDamaged, before+1)
			}
			entry, err := decodeEntry(index, v)
			if err != nil {
				return err
			}
			if entry.Term < term || entry.Type > raft.LogConfiguration {
				return fmt.Errorf("%w: log entry %d is of no known kind", ErrDamaged, index)
			}
			if entry.Type == raft.LogConfiguration {
				if servers, err = decodeConfiguration(entry); err != nil {
					return err
				}
			}
			before, term = index, entry.Term
			return nil
		})
	})
	if err != nil {
		return err
	}
	if before == 0 {
		return fmt.Errorf("%w: the log is empty", ErrDamaged)
	}
	if snapshot != nil && before < snapshot.Index {
		return fmt.Errorf("%w: the log ends with entry %d, before the snapshot of entry %d: they are not of one time", ErrDamaged, before, snapshot.Index)
	}
	if now, err := s.GetUint64(termKey); err != nil || now < term {
		return fmt.Errorf("%w: the log has entries of a later term than is known", ErrDamaged)
	}
	if len(servers.Servers) != 1 || string(servers.Servers[0].ID) != voter {
		return fmt.Errorf("%w: it belongs to other voters than this one", ErrDamaged)
	}
	return nil
}

// decodeConfiguration is raft.DecodeConfiguration, which panics.
func decodeConfiguration(l raft.Log) (c raft.Configuration, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: log entry %d", ErrDamaged, l.Index)
		}
	}()
	return raft.DecodeConfiguration(l.Data), nil
}

// snapshots is the store of raft, without those that cannot be read.
type snapshots struct {
	*raft.FileSnapshotStore
	bad map[string]bool // by id; written before raft starts
}

// List implements raft.SnapshotStore: newest first.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	list, err := s.FileSnapshotStore.List()
	var good []*raft.SnapshotMeta
	for _, meta := range list {
		if !s.bad[meta.ID] {
			good = append(good, meta)
		}
	}
	return good, err
}

// checkMeta compares a snapshot with what stands beside it, which no sum covers.
// Raft goes on with the entry after that index: with a wrong one, entries would
// be applied again, or never.
func (m *machine) checkMeta(meta *raft.SnapshotMeta) error {
	if applied := m.applied.Load(); meta.Version < 1 || meta.Index != applied {
		return fmt.Errorf("%w: a snapshot of entry %d is said to be one of entry %d", ErrDamaged, applied, meta.Index)
	}
	return nil
}

// restore brings the machine to the newest snapshot that can be read, and
// returns that. nil: there is none.
func (n *Node) restore(s *snapshots) (*raft.SnapshotMeta, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, meta := range list {
		_, from, err := s.Open(meta.ID) // reads it to its end, and compares the sum
		if err == nil {
			err = n.machine.Restore(from)
			from.Close()
		}
		if err == nil {
			err = n.machine.checkMeta(meta)
		}
		if err == nil {
			return meta, nil
		}
		n.log.Warn("snapshot left out: it cannot be read", "snapshot", meta.ID, "err", err)
		s.bad[meta.ID] = true
	}
	return nil, nil //nolint:nilnil // no snapshot is how every registry begins
}
