package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// Config configures a node's part of the registry.
type Config struct {
	Node string // name of this node
	Dir  string // of the registry alone; it is made when it is not there
	URL  string // where other nodes reach this one; "": nowhere
	Log  *slog.Logger
	// OnChange is told every change after it is applied and before the write
	// returns, one at a time and in order. Everything else waits for it: it
	// must not block and must not write. nil: nobody is told.
	OnChange func(Change)

	// For tests: faults of the disk, and other settings of raft.
	logFault, stateFault func() error
	tune                 func(*raft.Config)
}

// Node is a node's part of the registry.
type Node struct {
	log       *slog.Logger
	store     *logStore
	machine   *machine
	transport *raft.InmemTransport
	raft      *raft.Raft
	self      Member
	writes    writeStats

	mu      sync.Mutex // guards closed
	closed  bool
	pending sync.WaitGroup // writes that raft has not answered
}

const (
	logFile = "log.db"
	// A lone voter hears from nobody: these only say how soon it elects itself
	// again after its disk refused a write, and how often it wakes for nothing.
	calm = time.Second

	snapshotsKept     = 2
	snapshotThreshold = 4096             // entries since the last one
	snapshotInterval  = 20 * time.Second // between looks at that
	trailingLogs      = 8192             // entries kept behind a snapshot: the one before can be gone on from, too
	maxBatch          = 512
)

// Open opens the registry and waits until it has caught up with its log and
// takes writes. ctx bounds that.
func Open(ctx context.Context, cfg Config) (_ *Node, err error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	n := &Node{log: cfg.Log}
	defer func() {
		if err != nil {
			err = fmt.Errorf("registry: %w", errors.Join(err, n.Close()))
		}
	}()
	if n.store, err = openLogStore(filepath.Join(cfg.Dir, logFile), cfg.logFault); err != nil {
		return nil, err
	}
	if n.machine, err = openMachine(cfg); err != nil {
		return nil, err
	}
	if err := n.start(ctx, cfg); err != nil {
		return nil, err
	}
	n.machine.telling.Store(true)
	return n, nil
}

// start runs raft on what the directory holds.
func (n *Node) start(ctx context.Context, cfg Config) error {
	logger := newRaftLog(cfg.Log)
	files, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, snapshotsKept, logger)
	if err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	store := &snapshots{FileSnapshotStore: files, bad: map[string]bool{}}
	newest, err := n.restore(store)
	if err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	voter, err := n.store.bootstrap(newest != nil)
	if err != nil {
		return err
	}
	if err := n.store.check(voter, newest); err != nil {
		return err
	}
	if err := n.store.probe(); err != nil {
		return err
	}
	_, n.transport = raft.NewInmemTransport(raft.ServerAddress(voter))
	// Until raft runs, its waits for the disk are ours.
	stopWaiting := context.AfterFunc(ctx, n.store.stop)
	conf := raftConfig(voter, logger)
	if cfg.tune != nil {
		cfg.tune(conf)
	}
	n.raft, err = raft.NewRaft(conf, n.machine, n.store, n.store, store, n.transport)
	if err == nil {
		err = n.catchUp(ctx, Member{Node: cfg.Node, Voter: voter, URL: cfg.URL})
	}
	if !stopWaiting() && err == nil {
		err = ctx.Err()
	}
	return err
}

func raftConfig(voter string, logger hclog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(voter)
	c.Logger = logger
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 2*calm, 2*calm, calm
	c.MaxAppendEntries = maxBatch
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = snapshotThreshold, snapshotInterval, trailingLogs
	c.NoSnapshotRestoreOnStart = true // done already
	c.NoLegacyTelemetry = true
	return c
}

// catchUp waits for leadership and for everything that is in the log, and
// joins as a new incarnation.
func (n *Node) catchUp(ctx context.Context, self Member) error {
	// A follower waits a heartbeat before it stands for election, unless its
	// heartbeat is shortened: then it looks at once.
	reloaded := n.raft.ReloadableConfig()
	reloaded.HeartbeatTimeout = calm
	if err := n.raft.ReloadConfig(reloaded); err != nil {
		return err
	}
	select {
	case <-n.raft.LeaderCh():
	case <-ctx.Done():
		return errors.Join(ctx.Err(), n.failed())
	}
	// Whatever was in the log comes before this entry.
	data, err := newCommand(joinNode, Request{}, self)
	if err != nil {
		return err
	}
	res, err := n.propose(ctx, data)
	if err == nil {
		err = res.Code.err()
	}
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	n.self = *res.Member
	return nil
}

// begin counts a write, unless the node is closed.
func (n *Node) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.pending.Add(1)
	}
	return !n.closed
}

// failed is why the disk takes no writes.
func (n *Node) failed() error { return errors.Join(n.store.failed(), n.machine.failed()) }

// closeTime bounds Close. Only a disk that neither takes a write nor refuses
// it lasts longer.
const closeTime = 2 * time.Second

// Close ends everything. Writes under way are finished before.
func (n *Node) Close() error {
	n.mu.Lock()
	again := n.closed
	n.closed = true
	n.mu.Unlock()
	if again {
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- n.end() }() // waited for below, unless the disk hangs
	select {
	case err := <-ended:
		return err
	case <-time.After(closeTime):
		return errors.New("the registry could not be closed: its disk does not answer")
	}
}

func (n *Node) end() error {
	// Where raft waits for the disk, it is let go first: nothing else would
	// answer the writes under way.
	if n.store != nil {
		n.store.stop()
	}
	if n.machine != nil {
		n.machine.stop()
	}
	n.pending.Wait()
	var errs []error
	if n.raft != nil {
		errs = append(errs, n.raft.Shutdown().Error())
	}
	if n.transport != nil {
		errs = append(errs, n.transport.Close())
	}
	// Files after raft, which reads them to its end.
	if n.machine != nil {
		errs = append(errs, n.machine.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// Stats counts what happened so far.
func (n *Node) Stats() Stats {
	s := Stats{
		Applied: n.machine.applied.Load(), Leader: n.raft.State() == raft.Leader, Failed: n.failed() != nil,
		Writes: n.writes.decided.Load(), WriteErrors: n.writes.errors.Load(), WriteTime: time.Duration(n.writes.took.Load()),
	}
	var sum uint64
	for i := range n.writes.buckets {
		sum += n.writes.buckets[i].Load()
		s.WriteBuckets[i] = sum
	}
	return s
}

var voterKey = []byte("SluiceVoter")

// bootstrap makes a new log one of a cluster of this voter alone, all of it in
// one write, and returns the voter's id. It is no node name: nodes can be
// renamed.
func (s *logStore) bootstrap(hasSnapshot bool) (string, error) {
	voter, err := s.Get(voterKey)
	if err == nil {
		return string(voter), nil
	}
	if hasSnapshot {
		return "", fmt.Errorf("%w: there are snapshots, and %s is new: it was lost", ErrDamaged, logFile)
	}
	id := strings.ToLower(rand.Text())
	first := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{
		Servers: []raft.Server{{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id)}},
	})}
	err = s.update(func(tx *bbolt.Tx) error {
		stable := tx.Bucket(stableBucket)
		return errors.Join(stable.Put(voterKey, []byte(id)), stable.Put(termKey, indexKey(1)),
			tx.Bucket(logBucket).Put(indexKey(1), encodeEntry(first)))
	})
	return id, err
}
