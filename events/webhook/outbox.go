package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicemedia/sluice/events"
)

const (
	maxBatch   = 4096 // events of one commit
	logEvery   = time.Minute
	eventExtra = 200 // bytes that an event takes beside its data, about
)

// Outbox is all endpoints and what waits for them.
type Outbox struct {
	cfg       Config
	log       *slog.Logger
	store     *store
	client    *http.Client
	endpoints []*endpoint // in the order of Config
	secrets   atomic.Pointer[[]Secret]

	wake    chan struct{} // room for one: the writer has work
	sending context.CancelFunc
	writing context.CancelFunc
	senders sync.WaitGroup
	writer  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	queue   []events.Event
	bytes   int      // of queue, and of what the writer took and could not write
	results []result // of what was sent
	flushes []chan struct{}
	closed  bool

	lost, failedWrites atomic.Uint64
	lostLogged         atomic.Int64 // when, Unix nanoseconds
}

// result is the end of an event at an endpoint.
type result struct {
	place
	buried  bool
	failure string
	tries   int
}

// Open opens the file and begins to send. Close must follow.
func Open(cfg Config) (*Outbox, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	s, err := openStore(cfg.Path, cfg.Log)
	if err != nil {
		return nil, err
	}
	o := &Outbox{cfg: cfg, log: cfg.Log, store: s, client: newClient(&cfg), wake: make(chan struct{}, 1)}
	o.SetSecrets(cfg.Secrets)
	if err := o.load(); err != nil {
		return nil, fmt.Errorf("%w (close: %w)", err, s.close())
	}
	o.start()
	return o, nil
}

// load makes the endpoints, with what is on disk for them.
func (o *Outbox) load() error {
	now := time.Now()
	for _, url := range o.cfg.URLs {
		e := newEndpoint(url, &o.cfg)
		e.do = o.deliver
		o.endpoints = append(o.endpoints, e)
	}
	err := o.store.update(func(c *change) error {
		for _, e := range o.endpoints {
			if err := c.open(e.id); err != nil {
				return err
			}
		}
		for id := range c.tallies { // also those that are configured no more
			if err := c.expire(id, &o.cfg, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range o.endpoints {
		var keys []key
		if err := o.store.pending(e.id, func(k key) { keys = append(keys, k) }); err != nil {
			return err
		}
		e.add(keys, now)
		if len(keys) > 0 {
			o.log.Info("events wait for a webhook", "endpoint", shown(e.url), "events", len(keys))
		}
	}
	return nil
}

func (o *Outbox) start() {
	// Not of a caller's context: Close ends these, senders first.
	sending, stopSending := context.WithCancel(context.Background()) //nolint:forbidigo // Close ends it
	writing, stopWriting := context.WithCancel(context.Background()) //nolint:forbidigo // Close ends it
	o.sending, o.writing = stopSending, stopWriting
	for _, e := range o.endpoints {
		o.senders.Go(func() { e.run(sending, o.over) })
	}
	o.writer.Go(func() { o.write(writing) })
}

// Close stops sending, writes what came, and closes the file. What was not
// sent stays in it.
func (o *Outbox) Close() error {
	o.mu.Lock()
	closed := o.closed
	o.closed = true
	o.mu.Unlock()
	if closed {
		return nil
	}
	o.sending() // requests in flight end now; they are made again
	o.senders.Wait()
	o.client.CloseIdleConnections()
	o.writing() // after the senders: their last results are written, too
	o.writer.Wait()
	if err := o.store.close(); err != nil {
		return fmt.Errorf("webhook: close the outbox: %w", err)
	}
	return nil
}

// SetSecrets replaces the secrets; what is sent from now on is signed by these.
func (o *Outbox) SetSecrets(secrets []Secret) {
	kept := slices.Clone(secrets)
	o.secrets.Store(&kept)
}

// Put hands an event over. It never waits: when the disk has not kept up for so
// long that memory is at its bound, the event is lost, counted and logged.
func (o *Outbox) Put(e events.Event) {
	if len(o.cfg.Types) > 0 && !slices.Contains(o.cfg.Types, e.Type) {
		return
	}
	size := len(e.Data) + eventExtra
	o.mu.Lock()
	closed, full := o.closed, o.bytes+size > o.cfg.MaxQueue
	if !closed && !full {
		o.queue = append(o.queue, e)
		o.bytes += size
	}
	o.mu.Unlock()
	switch {
	case closed:
		o.lose(1, "the outbox is closed")
	case full:
		o.lose(1, "the disk does not keep up")
	default:
		o.stir()
	}
}

func (o *Outbox) lose(n uint64, why string) {
	o.lost.Add(n)
	now := time.Now().UnixNano()
	if last := o.lostLogged.Load(); now-last > int64(logEvery) && o.lostLogged.CompareAndSwap(last, now) {
		o.log.Error("events for webhooks are lost", "why", why, "lost", o.lost.Load())
	}
}

// Sync waits until everything that was put is on disk.
func (o *Outbox) Sync(ctx context.Context) error {
	flushed := make(chan struct{})
	o.mu.Lock()
	o.flushes = append(o.flushes, flushed)
	o.mu.Unlock()
	o.stir()
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("webhook: wait for the disk: %w", context.Cause(ctx))
	}
}

func (o *Outbox) stir() {
	select {
	case o.wake <- struct{}{}:
	default: // the writer will look anyway
	}
}

// over takes an event that an endpoint is done with.
func (o *Outbox) over(e *endpoint, k key, out outcome, tries int) {
	if out.verdict == gone {
		return
	}
	r := result{place: place{e.id, k}, buried: out.verdict != delivered, failure: out.failure, tries: tries}
	if r.buried {
		o.log.Warn("an event became a dead letter", "endpoint", shown(e.url), "room", k.room, "err", out.failure)
	}
	o.mu.Lock()
	o.results = append(o.results, r)
	o.mu.Unlock()
	o.stir()
}

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

// write is the writer: it commits what waits, many events at once.
func (o *Outbox) write(ctx context.Context) {
	sweep := time.NewTicker(o.cfg.Sweep)
	defer sweep.Stop()
	b := &batch{}
	var failedLog time.Time
	for ctx.Err() == nil {
		expire := false
		select {
		case <-o.wake:
			pause(ctx, o.cfg.Gather)
		case <-sweep.C:
			expire = true
		case <-ctx.Done():
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
			o.lose(uint64(len(b.events)), err.Error())
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
		for _, e := range o.endpoints {
			tidy := c.trim
			if expire {
				tidy = c.expire
			}
			if err := tidy(e.id, &o.cfg, now); err != nil {
				return err
			}
		}
		moved = c.moved
		return nil
	})
	if err != nil {
		return err
	}
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

// endpointID names an endpoint in the file and in the API.
func endpointID(url string) string {
	sum := sha256.Sum256([]byte(url))
	return hex.EncodeToString(sum[:8])
}
