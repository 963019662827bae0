package webhook

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// ErrNotFound says that there is no such dead letter, or no such endpoint for it.
var ErrNotFound = errors.New("webhook: no such dead letter")

const maxPage = 4 << 20 // bytes of dead letters in one answer

// DeadLetter is an event that was given up.
type DeadLetter struct {
	ID        string // of the letter; sorts as Dead lists them
	MessageID string // the webhook-id
	Endpoint  string // id
	Room      string
	Event     json.RawMessage
	Died      time.Time
	Reason    string // refused, expired or overflow
	Failure   string // of the last try, when it was refused
	Tries     int    // as Failure
}

func letterID(endpoint string, seq uint64) string { return fmt.Sprintf("%s-%016x", endpoint, seq) }

func parseLetter(id string) (endpoint string, seq uint64, err error) {
	endpoint, text, ok := strings.Cut(id, "-")
	if ok && len(text) == 16 {
		if seq, err = strconv.ParseUint(text, 16, 64); err == nil && letterID(endpoint, seq) == id {
			return endpoint, seq, nil
		}
	}
	return "", 0, ErrNotFound
}

// Dead lists dead letters whose ids come after one, at most limit of them and
// no more than a few megabytes. More says that others follow.
func (o *Outbox) Dead(after string, limit int) (letters []DeadLetter, more bool, err error) {
	size := 0
	err = guarded(func() error {
		return o.store.db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
				endpoint := string(name)
				inner := b.Bucket(bucketDead)
				if inner == nil || more { // meta has none
					return nil
				}
				c := inner.Cursor()
				for k, v := c.Seek(firstAfter(endpoint, after)); k != nil; k, v = c.Next() {
					if more = len(letters) == limit || size > maxPage; more {
						return nil
					}
					size += len(v)
					letter, whole, err := o.letter(endpoint, k, v)
					if err != nil {
						return err
					}
					if whole && letter.ID > after {
						letters = append(letters, letter)
					}
				}
				return nil
			})
		})
	})
	if err != nil {
		return nil, false, fmt.Errorf("webhook: list dead letters: %w", err)
	}
	return letters, more, nil
}

// firstAfter is where in an endpoint's letters to begin.
func firstAfter(endpoint, after string) []byte {
	if of, seq, err := parseLetter(after); err == nil && of == endpoint {
		return binary.BigEndian.AppendUint64(nil, seq)
	}
	return nil
}

func (o *Outbox) letter(endpoint string, k, v []byte) (letter DeadLetter, whole bool, err error) {
	at, err := keyOf(k)
	if err != nil {
		return DeadLetter{}, false, err
	}
	r, whole := read(v)
	return DeadLetter{
		ID: letterID(endpoint, at.seq), MessageID: o.store.messageID(at.seq), Endpoint: endpoint, Room: at.room,
		Event: r.Body, Died: time.UnixMilli(r.Died), Reason: r.Reason, Failure: r.Failure, Tries: r.Tries,
	}, whole, nil
}

// Replay makes a dead letter an event that waits, as if it had come now. It is
// sent under its old id, before everything of its room that came after it.
func (o *Outbox) Replay(id string) error {
	endpoint, seq, err := parseLetter(id)
	e := o.endpoint(endpoint)
	if err != nil || e == nil {
		return ErrNotFound
	}
	keys, err := o.replay(e, seq, seq, 1)
	if err == nil && len(keys) == 0 {
		err = ErrNotFound
	}
	return err
}

// ReplayAll replays every dead letter of the endpoints that are configured.
func (o *Outbox) ReplayAll() (int, error) {
	n := 0
	for _, e := range o.endpoints {
		for from := uint64(0); ; {
			// In parts, so that new events get to the disk in between.
			keys, err := o.replay(e, from, math.MaxUint64, maxBatch)
			if err != nil {
				return n, err
			}
			if len(keys) == 0 {
				break
			}
			n += len(keys)
			from = keys[len(keys)-1].seq + 1
		}
	}
	return n, nil
}

func (o *Outbox) endpoint(id string) *endpoint {
	for _, e := range o.endpoints {
		if e.id == id {
			return e
		}
	}
	return nil
}

// replay moves dead letters of some numbers back to the pending events.
func (o *Outbox) replay(e *endpoint, from, to uint64, limit int) (keys []key, err error) {
	now := time.Now()
	o.store.writing.Lock()
	defer o.store.writing.Unlock()
	err = o.store.updateLocked(func(c *change) error {
		b, err := c.bucket(e.id, bucketDead)
		if err != nil {
			return err
		}
		cursor := b.Cursor()
		for name, _ := cursor.Seek(binary.BigEndian.AppendUint64(nil, from)); name != nil && len(keys) < limit; name, _ = cursor.Next() {
			k, err := keyOf(name)
			if err != nil {
				return err
			}
			if k.seq > to {
				break
			}
			keys = append(keys, k)
		}
		for _, k := range keys {
			r, err := c.exhume(e.id, k)
			if err == nil {
				err = c.put(e.id, k, &record{Since: now.UnixMilli(), Again: true, Body: r.Body})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.add(keys, now)
	return keys, nil
}
