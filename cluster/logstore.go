package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// logStore keeps the raft log and what raft must not forget (term and vote) in
// one bbolt file that is synced to disk with every write. It is both the
// LogStore and the StableStore of raft.
//
// Raft appends from one goroutine, and reads and cuts from others; bbolt has
// the locks for that.
type logStore struct {
	db    *bbolt.DB
	fault func() error // what the disk says to a write, in tests; nil: what it does

	failure  atomic.Pointer[error] // of the last write; nil: it went well
	stopping chan struct{}         // closed: do not wait for the disk any more
	stopOnce sync.Once
	// poisoned: raft was told that a term is on disk which is not. Nothing
	// may be stored from then on that relies on it.
	poisoned atomic.Bool
}

var (
	logBucket    = []byte("log")
	stableBucket = []byte("stable")

	termKey = []byte("CurrentTerm") // raft's name for it
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func openLogStore(path string, fault func() error) (*logStore, error) {
	db, err := openChecked(path)
	if err != nil {
		return nil, err
	}
	s := &logStore{db: db, fault: fault, stopping: make(chan struct{})}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return s, nil
}

// prepare makes the buckets of a new file. One that is not new is not touched
// before all of it has been looked at.
func (s *logStore) prepare() error {
	var there int
	err := s.db.View(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{logBucket, stableBucket} {
			if tx.Bucket(name) != nil {
				there++
			}
		}
		return nil
	})
	switch {
	case err != nil || there == 2:
		return err
	case there == 1:
		return fmt.Errorf("%w: half of it is missing", ErrDamaged)
	}
	return s.update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(logBucket)
		if err == nil {
			_, err = tx.CreateBucket(stableBucket)
		}
		return err
	})
}

// probe tells whether the disk takes writes. Raft would wait for that.
func (s *logStore) probe() error {
	err := s.update(func(tx *bbolt.Tx) error {
		return tx.Bucket(stableBucket).Put([]byte("SluiceOpened"), indexKey(uint64(time.Now().Unix())))
	})
	if err != nil {
		return fmt.Errorf("it cannot be written: %w", err)
	}
	return nil
}

func (s *logStore) Close() error { return s.db.Close() }

// stop lets go of raft where it waits for the disk. Nothing can be stored
// after a wait that was ended so.
func (s *logStore) stop() { s.stopOnce.Do(func() { close(s.stopping) }) }

// failed is why the last write did not succeed.
func (s *logStore) failed() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

var errPoisoned = errors.New("cluster: the log is closed for writing")

// update writes and remembers how it went. Raft tries again by itself whatever
// is written so, and the next success ends the trouble.
func (s *logStore) update(fn func(*bbolt.Tx) error) error {
	err := s.tryUpdate(fn)
	if err != nil {
		s.failure.Store(&err)
		return err
	}
	s.failure.Store(nil)
	return nil
}

func (s *logStore) tryUpdate(fn func(*bbolt.Tx) error) error {
	if s.poisoned.Load() {
		return errPoisoned
	}
	return updateBolt(s.db, s.fault, fn)
}

// FirstIndex implements raft.LogStore. 0: empty.
func (s *logStore) FirstIndex() (uint64, error) { return s.edge((*bbolt.Cursor).First) }

// LastIndex implements raft.LogStore. 0: empty.
func (s *logStore) LastIndex() (uint64, error) { return s.edge((*bbolt.Cursor).Last) }

func (s *logStore) edge(move func(*bbolt.Cursor) ([]byte, []byte)) (index uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		if k, _ := move(tx.Bucket(logBucket).Cursor()); len(k) == 8 {
			index = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return index, err
}

// GetLog implements raft.LogStore.
func (s *logStore) GetLog(index uint64, out *raft.Log) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(logBucket).Get(indexKey(index))
		if v == nil {
			return raft.ErrLogNotFound
		}
		entry, err := decodeEntry(index, v)
		*out = entry
		return err
	})
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore. One call is one transaction, whatever
// the number of entries. What the log has from the first entry on goes: when a
// write was reported as failed and is on disk all the same, as can be after a
// failed sync, its entries must not come back behind later ones.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	return s.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(logBucket)
		b.FillPercent = 0.95 // keys only ever grow
		if k, _ := b.Cursor().Last(); len(k) == 8 {
			if err := deleteRange(b, logs[0].Index, binary.BigEndian.Uint64(k)); err != nil {
				return err
			}
		}
		for _, l := range logs {
			if err := b.Put(indexKey(l.Index), encodeEntry(l)); err != nil {
				return err
			}
		}
		return nil
	})
}

// cutAtOnce bounds how many entries one transaction deletes: appends wait for
// it.
const cutAtOnce = 1024

// DeleteRange implements raft.LogStore. It takes several transactions, and
// from whichever end leaves no hole should the process die between them.
func (s *logStore) DeleteRange(first, last uint64) error {
	oldest, err := s.FirstIndex()
	if err != nil {
		return err
	}
	newest, err := s.LastIndex()
	if err != nil {
		return err
	}
	tail := last >= newest
	first, last = max(first, oldest), min(last, newest)
	for first <= last && oldest != 0 {
		from, to := first, min(last, first+cutAtOnce-1)
		if tail {
			from, to = max(first, last-min(last, cutAtOnce-1)), last
		}
		// Who writes need not know: a log that could not be cut is too long, no more.
		if err := s.tryUpdate(func(tx *bbolt.Tx) error { return deleteRange(tx.Bucket(logBucket), from, to) }); err != nil {
			return err
		}
		if tail {
			last = from - 1
		} else {
			first = to + 1
		}
	}
	return nil
}

// deleteRange deletes entry by entry. A cursor would look at every page that
// it has emptied again for the next entry.
func deleteRange(b *bbolt.Bucket, first, last uint64) error {
	for i := first; i <= last; i++ {
		if err := b.Delete(indexKey(i)); err != nil {
			return err
		}
	}
	return nil
}

// Set implements raft.StableStore.
func (s *logStore) Set(key, value []byte) error {
	if old, err := s.Get(key); err == nil && string(old) == string(value) {
		return nil // raft stores the term again at every start
	}
	return s.park(key, func(tx *bbolt.Tx) error { return tx.Bucket(stableBucket).Put(key, value) })
}

const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = time.Second
)

// park writes, and waits for the disk as long as it refuses. Raft panics when
// it cannot save its term, in a goroutine of its own: the whole node with all
// its media would go for a full disk.
func (s *logStore) park(key []byte, fn func(*bbolt.Tx) error) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := s.update(fn)
		if err == nil {
			return nil
		}
		select {
		case <-s.stopping:
			if string(key) != string(termKey) {
				return err // raft bears that
			}
			s.poisoned.Store(true)
			return nil
		case <-time.After(wait):
		}
	}
}

// errNoKey has the text by which raft knows it.
var errNoKey = errors.New("not found")

// Get implements raft.StableStore.
func (s *logStore) Get(key []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(stableBucket).Get(key)
		if v == nil {
			return errNoKey
		}
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

// SetUint64 implements raft.StableStore.
func (s *logStore) SetUint64(key []byte, value uint64) error { return s.Set(key, indexKey(value)) }

// GetUint64 implements raft.StableStore.
func (s *logStore) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%w: %s has %d bytes", ErrDamaged, key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

func indexKey(i uint64) []byte { return binary.BigEndian.AppendUint64(nil, i) }

// An entry on disk: CRC-32C of the rest and of its index, term, type, time in
// ns since 1970 (0: none), length of the extensions, extensions, data.
const entryHeader = 4 + 8 + 1 + 8 + 4

func encodeEntry(l *raft.Log) []byte {
	b := make([]byte, 4, entryHeader+len(l.Extensions)+len(l.Data))
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = append(b, byte(l.Type))
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Extensions)))
	b = append(b, l.Extensions...)
	b = append(b, l.Data...)
	binary.BigEndian.PutUint32(b, entrySum(l.Index, b[4:]))
	return b
}

// entrySum covers the index, so that an entry in a wrong place is noticed.
func entrySum(index uint64, rest []byte) uint32 {
	return crc32.Update(crc32.Checksum(indexKey(index), castagnoli), castagnoli, rest)
}

func decodeEntry(index uint64, v []byte) (raft.Log, error) {
	if len(v) < entryHeader || binary.BigEndian.Uint32(v) != entrySum(index, v[4:]) {
		return raft.Log{}, fmt.Errorf("%w: log entry %d", ErrDamaged, index)
	}
	rest := v[entryHeader:]
	extensions := int(binary.BigEndian.Uint32(v[21:]))
	if extensions > len(rest) {
		return raft.Log{}, fmt.Errorf("%w: log entry %d", ErrDamaged, index)
	}
	l := raft.Log{
		Index: index, Term: binary.BigEndian.Uint64(v[4:]), Type: raft.LogType(v[12]),
		Data: append([]byte{}, rest[extensions:]...), // what bbolt returns is gone after the transaction
	}
	if extensions > 0 {
		l.Extensions = append([]byte{}, rest[:extensions]...)
	}
	if at := int64(binary.BigEndian.Uint64(v[13:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	return l, nil
}
