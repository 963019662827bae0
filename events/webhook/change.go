package webhook

import (
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Why an event became a dead letter.
const (
	reasonRefused  = "refused"  // the endpoint refused it too often
	reasonExpired  = "expired"  // it grew too old
	reasonOverflow = "overflow" // too many waited
)

// change is one transaction. Its counts become those of the store when it is
// committed.
type change struct {
	tx      *bbolt.Tx
	tallies map[string]tally
	moved   []place // pending events that are so no more, without having been sent
	buried  int     // events that tidying up made dead letters
	let     int     // dead letters that it let go
	more    bool    // others are left to be so
}

// maxTidied bounds what one transaction tidies up of either: the more keys were
// deleted before the first that is left, the longer bbolt looks for it, until
// they are committed.
const maxTidied = 4096

// mayTidy counts what is about to be tidied up.
func (c *change) mayTidy(count *int) bool {
	if *count >= maxTidied {
		c.more = true
		return false
	}
	*count++
	return true
}

// place is an event of an endpoint.
type place struct {
	endpoint string
	key      key
}

// open makes the buckets of an endpoint.
func (c *change) open(endpoint string) error {
	b, err := c.tx.CreateBucketIfNotExists([]byte(endpoint))
	for _, part := range [][]byte{bucketPending, bucketDead} {
		if err == nil {
			_, err = b.CreateBucketIfNotExists(part)
		}
	}
	return err
}

func (c *change) bucket(endpoint string, part []byte) (*bbolt.Bucket, error) {
	if b := c.tx.Bucket([]byte(endpoint)); b != nil {
		if inner := b.Bucket(part); inner != nil {
			return inner, nil
		}
	}
	return nil, fmt.Errorf("no %s of %s", part, endpoint)
}

// number gives the next event its number. Numbers are never given twice.
func (c *change) number() (uint64, error) {
	meta := c.tx.Bucket(bucketMeta)
	if meta == nil {
		return 0, fmt.Errorf("no %s", bucketMeta)
	}
	return meta.NextSequence()
}

func (c *change) put(endpoint string, k key, r *record) error {
	b, err := c.bucket(endpoint, bucketPending)
	if err != nil {
		return err
	}
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	name := k.bytes()
	b.FillPercent = 0.9 // keys only grow
	t := c.tallies[endpoint]
	t.pending++
	t.pendingBytes += int64(len(name) + len(value))
	c.tallies[endpoint] = t
	return b.Put(name, value)
}

// take deletes a record. Its size is 0 when it is not there; it is nil when it is
// not, or cannot be read.
func (c *change) take(endpoint string, part []byte, k key) (r *record, size int64, err error) {
	b, err := c.bucket(endpoint, part)
	if err != nil {
		return nil, 0, err
	}
	name := k.bytes()
	value := b.Get(name)
	if value == nil {
		return nil, 0, nil
	}
	r, whole := read(value)
	if !whole {
		r = nil
	}
	return r, int64(len(name) + len(value)), b.Delete(name)
}

// remove takes an event off the pending ones; nil when it is not there, or was
// not readable and is lost.
func (c *change) remove(endpoint string, k key) (*record, error) {
	r, size, err := c.take(endpoint, bucketPending, k)
	if err != nil || size == 0 {
		return nil, err
	}
	t := c.tallies[endpoint]
	t.pending--
	t.pendingBytes -= size
	if r == nil {
		t.dropped++
	}
	c.tallies[endpoint] = t
	return r, nil
}

// bury makes a dead letter of a pending event.
func (c *change) bury(endpoint string, k key, reason, failure string, tries int, now time.Time) error {
	r, err := c.remove(endpoint, k)
	if err != nil || r == nil {
		return err
	}
	r.Died, r.Reason, r.Failure, r.Tries = now.UnixMilli(), reason, failure, tries
	b, err := c.bucket(endpoint, bucketDead)
	if err != nil {
		return err
	}
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	name := k.bytes()
	t := c.tallies[endpoint]
	t.dead++
	t.buried++
	t.deadBytes += int64(len(name) + len(value))
	c.tallies[endpoint] = t
	return b.Put(name, value)
}

// exhume takes a dead letter away; nil when it is not there, or was not readable.
func (c *change) exhume(endpoint string, k key) (*record, error) {
	r, size, err := c.take(endpoint, bucketDead, k)
	if err != nil || size == 0 {
		return nil, err
	}
	t := c.tallies[endpoint]
	t.dead--
	t.deadBytes -= size
	c.tallies[endpoint] = t
	return r, nil
}

// trim keeps an endpoint within its bounds: the oldest pending events become
// dead letters, the oldest dead letters go.
func (c *change) trim(endpoint string, cfg *Config, now time.Time) error {
	for t := c.tallies[endpoint]; t.pending > cfg.MaxPending || t.pendingBytes > cfg.MaxBytes; t = c.tallies[endpoint] {
		if !c.mayTidy(&c.buried) {
			return nil
		}
		k, _, err := c.first(endpoint, bucketPending)
		if err == nil {
			err = c.bury(endpoint, k, reasonOverflow, "", 0, now)
		}
		if err != nil {
			return err
		}
		c.moved = append(c.moved, place{endpoint, k})
	}
	for t := c.tallies[endpoint]; t.dead > cfg.MaxDead || t.deadBytes > cfg.DeadBytes; t = c.tallies[endpoint] {
		if !c.mayTidy(&c.let) {
			return nil
		}
		if err := c.forget(endpoint); err != nil {
			return err
		}
	}
	return nil
}

// expire buries what grew too old, and forgets dead letters that did.
func (c *change) expire(endpoint string, cfg *Config, now time.Time) error {
	b, err := c.bucket(endpoint, bucketPending)
	if err != nil {
		return err
	}
	limit := now.Add(-cfg.MaxAge).UnixMilli()
	var old []key // first, since a bucket must not change under its cursor
	cursor := b.Cursor()
	for name, value := cursor.First(); name != nil; name, value = cursor.Next() {
		k, err := keyOf(name)
		if err != nil {
			return err
		}
		r, _ := read(value) // one that cannot be read is older than all
		if r.Since > limit && !r.Again {
			break // those that follow are younger, but for replayed ones
		}
		if r.Since <= limit {
			if !c.mayTidy(&c.buried) {
				break
			}
			old = append(old, k)
		}
	}
	for _, k := range old {
		if err := c.bury(endpoint, k, reasonExpired, "", 0, now); err != nil {
			return err
		}
		c.moved = append(c.moved, place{endpoint, k})
	}
	limit = now.Add(-cfg.DeadAge).UnixMilli()
	for c.tallies[endpoint].dead > 0 {
		_, r, err := c.first(endpoint, bucketDead)
		if err != nil {
			return err
		}
		if r.Died > limit || !c.mayTidy(&c.let) {
			break
		}
		if err := c.forget(endpoint); err != nil {
			return err
		}
	}
	return c.trim(endpoint, cfg, now)
}

// forget lets go of the oldest dead letter.
func (c *change) forget(endpoint string) error {
	k, _, err := c.first(endpoint, bucketDead)
	if err == nil {
		_, err = c.exhume(endpoint, k)
	}
	t := c.tallies[endpoint]
	t.dropped++
	c.tallies[endpoint] = t
	return err
}

func (c *change) first(endpoint string, part []byte) (k key, r *record, err error) {
	b, err := c.bucket(endpoint, part)
	if err != nil {
		return key{}, nil, err
	}
	name, value := b.Cursor().First()
	if k, err = keyOf(name); err != nil {
		return key{}, nil, err
	}
	r, _ = read(value)
	return k, r, nil
}
