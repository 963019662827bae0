package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

	untidy bool // something is left to tidy up; of Open, then of the writer

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
		o.untidy = c.more
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
			o.log.Info("events wait for a webhook", "endpoint", e.id, "events", len(keys))
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
	// What is gone may be there still, and not readable: then it goes now.
	buried := out.verdict != delivered && out.verdict != gone
	r := result{place: place{e.id, k}, buried: buried, failure: out.failure, tries: tries}
	if r.buried {
		o.log.Warn("an event became a dead letter", "endpoint", e.id, "room", k.room, "err", out.failure)
	}
	o.mu.Lock()
	o.results = append(o.results, r)
	o.mu.Unlock()
	o.stir()
}

// endpointID names an endpoint in the file and in the API.
func endpointID(url string) string {
	sum := sha256.Sum256([]byte(url))
	return hex.EncodeToString(sum[:8])
}
