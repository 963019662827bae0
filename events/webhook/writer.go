package webhook

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/sluicemedia/sluice/events"
)

const maxBatch = 4096 // events of one commit

// batch is what the writer writes at once.
type batch struct {
	events  []events.Event
	bodies  [][]byte
	results []result
	flushes []chan struct{}
	bytes   int
}

// take moves what waits into the batch.
func (o *Outbox) take(b *batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.queue), maxBatch-len(b.events))
	for _, e := range o.queue[:n] {
		b.bytes += len(e.Data) + eventExtra
	}
	b.events = append(b.events, o.queue[:n]...)
	b.results = append(b.results, o.results...)
	o.queue, o.results = o.queue[n:], nil
	if len(o.queue) == 0 {
		o.queue = nil // its memory may have grown
		b.flushes, o.flushes = append(b.flushes, o.flushes...), nil
	} else {
		o.stir()
	}
}

func (o *Outbox) waits() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)+len(o.results) > 0
}

// left is how many events the writer has not taken.
func (o *Outbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}

// write is the writer: it commits what waits, many events at once.
func (o *Outbox) write(ctx context.Context) {
	sweep := time.NewTicker(o.cfg.Sweep)
	defer sweep.Stop()
	b := &batch{}
	var failedLog time.Time
	for ctx.Err() == nil {
		expire := o.untidy
		if !expire {
			select {
			case <-o.wake:
				pause(ctx, o.cfg.Gather)
			case <-sweep.C:
				expire = true
			case <-ctx.Done():
			}
		}
		o.take(b)
		for err := o.commit(b, expire); err != nil; err = o.commit(b, expire) {
			o.failedWrites.Add(1)
			if time.Since(failedLog) > logEvery {
				failedLog = time.Now()
				o.log.Error("the outbox of webhooks cannot be written: events wait in memory", "err", err)
			}
			if !pause(ctx, o.cfg.Recover) {
				break
			}
			o.take(b)
		}
	}
	for more := true; more; more = o.waits() {
		o.take(b)
		if err := o.commit(b, false); err != nil {
			o.lose(uint64(len(b.events)+o.left()), err.Error())
			return
		}
	}
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// commit writes a batch, and empties it. When it fails, what only makes room is
// tried alone: that may be what the rest needs.
func (o *Outbox) commit(b *batch, expire bool) error {
	o.encode(b)
	var err error
	if len(b.events)+len(b.results) > 0 || expire {
		err = o.transact(b, expire)
	}
	if err != nil && len(b.events) > 0 && len(b.results) > 0 {
		alone := &batch{results: b.results}
		if o.transact(alone, false) == nil {
			b.results = nil
		}
	}
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.bytes -= b.bytes
	o.mu.Unlock()
	b.flushed()
	return nil
}

// flushed tells those who wait, and makes the batch ready for the next.
func (b *batch) flushed() {
	for _, f := range b.flushes {
		close(f)
	}
	*b = batch{}
}

// encode makes bodies of events. An event whose data is not JSON is lost: it
// never becomes any.
func (o *Outbox) encode(b *batch) {
	for i := len(b.bodies); i < len(b.events); {
		body, err := json.Marshal(b.events[i])
		if err != nil {
			o.lose(1, err.Error())
			b.events = slices.Delete(b.events, i, i+1)
			continue
		}
		b.bodies = append(b.bodies, body)
		i++
	}
}

// transact writes a batch and then tells the endpoints.
func (o *Outbox) transact(b *batch, expire bool) error {
	now := time.Now()
	added := make([]key, 0, len(b.events))
	var moved []place
	more := false
	o.store.writing.Lock()
	defer o.store.writing.Unlock()
	err := o.store.updateLocked(func(c *change) error {
		if err := c.finish(b.results, now); err != nil {
			return err
		}
		for i, e := range b.events {
			seq, err := c.number()
			if err != nil {
				return err
			}
			added = append(added, key{seq, e.Room})
			for _, to := range o.endpoints {
				if err := c.put(to.id, added[i], &record{Since: now.UnixMilli(), Body: b.bodies[i]}); err != nil {
					return err
				}
			}
		}
		tidy := c.trim
		if expire {
			tidy = c.expire
		}
		for id := range c.tallies { // also those that are configured no more
			if err := tidy(id, &o.cfg, now); err != nil {
				return err
			}
		}
		moved, more = c.moved, c.more
		return nil
	})
	if err != nil {
		return err
	}
	o.untidy = more
	for _, e := range o.endpoints {
		e.add(added, now)
		e.drop(keysOf(moved, e.id))
	}
	if len(moved) > 0 {
		o.log.Warn("events were given up: too old or too many", "events", len(moved))
	}
	return nil
}

// finish takes what endpoints are done with off the pending events.
func (c *change) finish(results []result, now time.Time) error {
	for _, r := range results {
		var err error
		if r.buried {
			err = c.bury(r.endpoint, r.key, reasonRefused, r.failure, r.tries, now)
		} else {
			_, err = c.remove(r.endpoint, r.key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func keysOf(places []place, endpoint string) []key {
	var keys []key
	for _, p := range places {
		if p.endpoint == endpoint {
			keys = append(keys, p.key)
		}
	}
	return keys
}
