package webhook

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The file: bucket meta (its sequence is the number of the last event) and for
// each endpoint a bucket with two in it, pending and dead. Both have keys of
// the event's number, eight bytes, and its room, so that the rooms are known
// without reading a value.
var (
	bucketMeta    = []byte("meta")
	bucketPending = []byte("pending")
	bucketDead    = []byte("dead")
	keyOutbox     = []byte("outbox")
	keyFormat     = []byte("format")
	formatNow     = []byte("1")
)

// ErrInUse says that another process has the file.
var ErrInUse = errors.New("webhook: the outbox is in use by another process")

// errNewer says that the file is of a later version: that is no damage.
var errNewer = errors.New("webhook: the outbox was written by a later version")

const lockTimeout = 2 * time.Second

// record is an event on disk.
type record struct {
	Since   int64           `json:"since"` // when it came or was replayed, Unix milliseconds
	Again   bool            `json:"again,omitempty"`
	Body    json.RawMessage `json:"body"`             // what is sent, to the byte
	Died    int64           `json:"died,omitempty"`   // of dead letters, Unix milliseconds
	Tries   int             `json:"tries,omitempty"`  // of dead letters
	Reason  string          `json:"reason,omitempty"` // of dead letters
	Failure string          `json:"failure,omitempty"`
}

// read makes a record of what is on disk. Bytes that a damaged disk has changed
// make an empty one, of an event that nobody can be sent any more: it must not
// keep the node from starting, nor the events behind it from being sent.
func read(value []byte) (r *record, whole bool) {
	r = &record{}
	if err := json.Unmarshal(value, r); err != nil || len(r.Body) == 0 {
		return &record{}, false
	}
	return r, true
}

// key is the place of an event.
type key struct {
	seq  uint64
	room string
}

func (k key) bytes() []byte { return append(binary.BigEndian.AppendUint64(nil, k.seq), k.room...) }

func keyOf(b []byte) (key, error) {
	if len(b) < 8 {
		return key{}, fmt.Errorf("webhook: a key of %d bytes", len(b))
	}
	return key{binary.BigEndian.Uint64(b), string(b[8:])}, nil
}

// tally is what an endpoint has on disk.
type tally struct {
	pending, dead           int
	pendingBytes, deadBytes int64
	buried, dropped         uint64 // since the start: moved to the dead, lost from there
}

// store is the file.
type store struct {
	db *bbolt.DB
	id string // of this file, in the ids of what is sent

	writing sync.Mutex // makes changes one at a time, with what is remembered of them

	mu      sync.Mutex       // guards tallies
	tallies map[string]tally // by endpoint
}

// openStore opens the file, or sets one aside that cannot be read.
func openStore(path string, log *slog.Logger) (*store, error) {
	s, err := tryStore(path)
	if err == nil || errors.Is(err, ErrInUse) || errors.Is(err, errNewer) || !damaged(err) {
		return s, err
	}
	aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
	if renameErr := os.Rename(path, aside); renameErr != nil {
		return nil, errors.Join(err, renameErr)
	}
	log.Error("the outbox of webhooks is damaged and was set aside: events that were in it are not sent", "file", aside, "err", err)
	return tryStore(path)
}

// damaged tells a broken file from one that the system does not let us have.
func damaged(err error) bool {
	var system syscall.Errno
	return !errors.As(err, &system)
}

func tryStore(path string) (s *store, err error) {
	s = &store{tallies: map[string]tally{}}
	err = guarded(func() error {
		s.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
		if errors.Is(err, bolterrors.ErrTimeout) {
			return ErrInUse
		}
		if err != nil {
			return fmt.Errorf("webhook: open the outbox: %w", err)
		}
		return s.db.Update(s.prepare)
	})
	if err != nil && s.db != nil {
		return nil, errors.Join(err, guarded(s.db.Close))
	}
	return s, err
}

// prepare makes or checks the file, and counts what is in it.
func (s *store) prepare(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	switch format := meta.Get(keyFormat); {
	case format == nil:
		s.id = strings.ToLower(rand.Text()[:10])
		return errors.Join(meta.Put(keyFormat, formatNow), meta.Put(keyOutbox, []byte(s.id)))
	case !bytes.Equal(format, formatNow):
		return errNewer
	}
	if s.id = string(meta.Get(keyOutbox)); s.id == "" {
		return errors.New("webhook: the outbox has no id")
	}
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if bytes.Equal(name, bucketMeta) {
			return nil
		}
		var t tally
		for _, part := range []struct {
			name  []byte
			count *int
			bytes *int64
		}{{bucketPending, &t.pending, &t.pendingBytes}, {bucketDead, &t.dead, &t.deadBytes}} {
			inner := b.Bucket(part.name)
			if inner == nil {
				return fmt.Errorf("webhook: the outbox has no %s of %s", part.name, name)
			}
			err := inner.ForEach(func(k, v []byte) error {
				*part.count++
				*part.bytes += int64(len(k) + len(v))
				_, err := keyOf(k)
				return err
			})
			if err != nil {
				return err
			}
		}
		s.tallies[string(name)] = t
		return nil
	})
}

// guarded turns what bbolt does on a damaged file, panic or touch memory that
// is not there, into an error.
func guarded(op func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("webhook: the outbox is damaged: %v", r)
		}
	}()
	return op()
}

func (s *store) close() error { return guarded(s.db.Close) }

// update makes one durable change, and remembers what it did to the counts.
func (s *store) update(op func(*change) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.updateLocked(op)
}

func (s *store) updateLocked(op func(*change) error) error {
	s.mu.Lock()
	c := &change{tallies: maps.Clone(s.tallies)}
	s.mu.Unlock()
	err := guarded(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			c.tx = tx
			return op(c)
		})
	})
	if err != nil {
		return fmt.Errorf("webhook: write the outbox: %w", err)
	}
	s.mu.Lock()
	s.tallies = c.tallies
	s.mu.Unlock()
	return nil
}

func (s *store) tally(endpoint string) tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tallies[endpoint]
}

// get reads one pending event; nil when it is not there any more, or cannot be
// read.
func (s *store) get(endpoint string, k key) (*record, error) {
	var r *record
	err := s.view(endpoint, bucketPending, func(b *bbolt.Bucket) error {
		value := b.Get(k.bytes())
		if value == nil {
			return nil
		}
		if found, whole := read(value); whole {
			r = found
		}
		return nil
	})
	return r, err
}

// pending calls back with the key of every pending event, oldest first.
func (s *store) pending(endpoint string, each func(key)) error {
	return s.view(endpoint, bucketPending, func(b *bbolt.Bucket) error {
		return b.ForEach(func(name, _ []byte) error {
			k, err := keyOf(name)
			if err == nil {
				each(k)
			}
			return err
		})
	})
}

// oldest is since when the oldest pending event waits; zero without one.
func (s *store) oldest(endpoint string) (time.Time, error) {
	var at time.Time
	err := s.view(endpoint, bucketPending, func(b *bbolt.Bucket) error {
		name, value := b.Cursor().First()
		if name == nil {
			return nil
		}
		if r, whole := read(value); whole {
			at = time.UnixMilli(r.Since)
		}
		return nil
	})
	return at, err
}

func (s *store) view(endpoint string, part []byte, op func(*bbolt.Bucket) error) error {
	err := guarded(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(endpoint))
			if b == nil {
				return nil
			}
			return op(b.Bucket(part))
		})
	})
	if err != nil {
		return fmt.Errorf("webhook: read the outbox: %w", err)
	}
	return nil
}

// messageID is the webhook-id of an event: the same in every try, before and
// after a restart and as a dead letter.
func (s *store) messageID(seq uint64) string {
	return "evt_" + s.id + "_" + strconv.FormatUint(seq, 10)
}
