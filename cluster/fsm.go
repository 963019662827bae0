package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// machine is the state that the log amounts to, in a bbolt file that is never
// synced: every start makes it anew from the newest snapshot and the log. That
// file is also what a snapshot is.
//
// Raft calls Apply, ApplyBatch and Snapshot from one goroutine, and Restore
// before that one starts or from it.
type machine struct {
	dir      string
	log      *slog.Logger
	onChange func(Change)
	fault    func() error // what the disk says to a write, in tests; nil: what it does

	mu      sync.Mutex // guards current and the references of every stateFile
	current *stateFile
	files   int // made so far; only by whom raft calls

	telling     atomic.Bool // changes are told from now on
	applied     atomic.Uint64
	revocations atomic.Pointer[[]Revocation]
	keys        atomic.Pointer[[]Key]

	failure  atomic.Pointer[error] // of the last write; nil: it went well
	stopping chan struct{}         // closed: do not wait for the disk any more
	stopOnce sync.Once
	stopped  bool // an entry was left out, so none may follow; only by whom raft calls
}

var (
	metaBucket       = []byte("meta")
	nodeBucket       = []byte("node")
	ownerBucket      = []byte("owner")
	roomBucket       = []byte("room")
	keyBucket        = []byte("key")
	revocationBucket = []byte("revocation")
	requestBucket    = []byte("request")
	expiryBucket     = []byte("expiry") // time, what, name: see expiry.go

	appliedKey = []byte("applied")
	clockKey   = []byte("clock")
	schemaKey  = []byte("schema")
)

const schema = 1 // of the buckets and what lies in them

func stateBuckets() [][]byte {
	return [][]byte{metaBucket, nodeBucket, ownerBucket, roomBucket, keyBucket, revocationBucket, requestBucket, expiryBucket}
}

// stateFile is one file of the state. A snapshot under way keeps it open when
// another has taken its place.
type stateFile struct {
	db   *bbolt.DB
	refs int // machine.mu; the machine's own is one
}

func openMachine(cfg Config) (*machine, error) {
	old, err := filepath.Glob(filepath.Join(cfg.Dir, "fsm-*"))
	if err != nil {
		return nil, err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	m := &machine{dir: cfg.Dir, log: cfg.Log, onChange: cfg.OnChange, fault: cfg.stateFault, stopping: make(chan struct{})}
	m.revocations.Store(new([]Revocation))
	m.keys.Store(new([]Key))
	db, err := openBolt(m.nextPath(), disposable)
	if err != nil {
		return nil, err
	}
	if err := prepareState(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	m.current = &stateFile{db: db, refs: 1}
	return m, nil
}

func (m *machine) nextPath() string {
	m.files++
	return filepath.Join(m.dir, fmt.Sprintf("fsm-%d.db", m.files))
}

// prepareState makes the buckets that a file lacks.
func prepareState(db *bbolt.DB) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range stateBuckets() {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(schemaKey, indexKey(schema))
	})
}

// acquire keeps the present file open until release.
func (m *machine) acquire() *stateFile {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current.refs++
	return m.current
}

func (m *machine) release(f *stateFile) error {
	m.mu.Lock()
	f.refs--
	last := f.refs == 0
	m.mu.Unlock()
	if !last {
		return nil
	}
	path := f.db.Path() // it has none when it is closed
	return errors.Join(f.db.Close(), os.Remove(path))
}

// Close closes and removes the file. Snapshots have ended.
func (m *machine) Close() error { return m.release(m.current) }

// stop lets go of raft where it waits for the disk.
func (m *machine) stop() { m.stopOnce.Do(func() { close(m.stopping) }) }

// view reads. It fails only after Close.
func (m *machine) view(fn func(*bbolt.Tx) error) error {
	f := m.acquire()
	return errors.Join(f.db.View(fn), m.release(f))
}

// failed is why the last write did not succeed.
func (m *machine) failed() error {
	if err := m.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Apply implements raft.FSM.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM: one transaction for all of them, in
// which the index of the last goes along. It never panics and never leaves an
// entry out: it waits for the disk as long as that takes nothing.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	var t *txn
	err := m.park(func(tx *bbolt.Tx) error {
		t = &txn{tx: tx, now: int64(getUint(tx, clockKey))}
		for i, l := range logs {
			t.index = l.Index
			if l.Type == raft.LogCommand {
				out[i] = t.apply(l)
			}
		}
		return errors.Join(t.err, putUint(tx, appliedKey, t.index), putUint(tx, clockKey, uint64(t.now)))
	})
	if err != nil {
		for i := range out {
			out[i] = result{Code: stopped}
		}
		return out
	}
	m.applied.Store(t.index)
	if t.lists {
		m.readLists()
	}
	m.tell(t.changes)
	return out
}

// park writes, and waits for the disk as long as it refuses. The error is that
// of a stop: from then on nothing is applied.
func (m *machine) park(fn func(*bbolt.Tx) error) error {
	for wait := firstRetry; !m.stopped; wait = min(2*wait, lastRetry) {
		err := updateBolt(m.current.db, m.fault, fn) // only we replace current
		if err == nil {
			m.failure.Store(nil)
			return nil
		}
		if m.failure.Swap(&err) == nil {
			m.log.Error("registry state could not be written", "err", err)
		}
		select {
		case <-m.stopping:
			m.stopped = true
		case <-time.After(wait):
		}
	}
	return errPoisoned
}

func (m *machine) tell(changes []Change) {
	if m.onChange == nil || !m.telling.Load() {
		return
	}
	for _, c := range changes {
		m.onChange(c)
	}
}

// readLists renews the copies in memory of what every request asks for.
func (m *machine) readLists() {
	var revocations []Revocation
	var keys []Key
	err := m.view(func(tx *bbolt.Tx) error {
		revocations = all[Revocation](tx.Bucket(revocationBucket))
		keys = all[Key](tx.Bucket(keyBucket))
		return nil
	})
	if err != nil {
		m.log.Error("registry state could not be read", "err", err)
		return
	}
	m.revocations.Store(&revocations)
	m.keys.Store(&keys)
}

func getUint(tx *bbolt.Tx, key []byte) uint64 {
	v := tx.Bucket(metaBucket).Get(key)
	if len(v) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(v)
}

func putUint(tx *bbolt.Tx, key []byte, v uint64) error {
	return tx.Bucket(metaBucket).Put(key, indexKey(v))
}
