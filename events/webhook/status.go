package webhook

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/sluicemedia/sluice/events"
)

// State is how an endpoint is.
type State string

// The states.
const (
	StateWell State = "well" // the last request was taken, or none was made
	StateAway State = "away" // it is tried again later
)

// Status is an endpoint as it is now.
type Status struct {
	ID           string
	URL          string // without its query
	State        State
	Next         time.Time // of an endpoint that is away: when it is tried again
	Backlog      int       // events that wait
	BacklogBytes int64
	Oldest       time.Time // since when the oldest of them waits; zero: none
	InFlight     int
	Sent         uint64            // events since the start
	Failed       map[string]uint64 // tries since the start, by class
	LastSuccess  time.Time         // zero: none since the start
	LastFailure  time.Time         // zero: none since the start
	LastError    string            // of LastFailure
	Dead         int               // dead letters that are kept
	Buried       uint64            // events that became one since the start
	Dropped      uint64            // events that were let go since the start: dead letters, and what could not be read
}

// Stats is what happened before events got to endpoints.
type Stats struct {
	Lost         uint64 // events that never got to the disk
	FailedWrites uint64 // commits that the disk refused
}

// Stats counts since the start.
func (o *Outbox) Stats() Stats {
	return Stats{Lost: o.lost.Load(), FailedWrites: o.failedWrites.Load()}
}

// Endpoints tells how each endpoint is, in the order of the configuration.
func (o *Outbox) Endpoints() ([]Status, error) {
	list := make([]Status, 0, len(o.endpoints))
	for _, e := range o.endpoints {
		oldest, err := o.store.oldest(e.id)
		if err != nil {
			return nil, err
		}
		s, t := e.status(), o.store.tally(e.id)
		s.Backlog, s.BacklogBytes, s.Oldest = t.pending, t.pendingBytes, oldest
		s.Dead, s.Buried, s.Dropped = t.dead, t.buried, t.dropped
		list = append(list, s)
	}
	return list, nil
}

func (e *endpoint) status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{
		ID: e.id, URL: shown(e.url), State: StateWell, InFlight: e.flying, Sent: e.sent, Failed: maps.Clone(e.failed),
		LastSuccess: e.last, LastFailure: e.failedAt, LastError: e.lastErr,
	}
	if e.failures > 0 {
		s.State, s.Next = StateAway, e.paused
	}
	return s
}

// Ping is the type of the event that a test sends. It is of no room.
const Ping events.Type = "ping"

// Pong is what an endpoint did with a ping.
type Pong struct {
	Endpoint string // id
	URL      string // as in Status
	Took     time.Duration
	OK       bool
	Class    string // of the failure
	Failure  string
}

// Ping sends every endpoint an event that says nothing, once and now. An
// endpoint that takes it is sent what waits at once.
func (o *Outbox) Ping(ctx context.Context) ([]Pong, error) {
	body, err := json.Marshal(events.Event{Time: events.Time(time.Now()), Type: Ping, Data: json.RawMessage(`{}`)})
	if err != nil {
		return nil, err
	}
	id := "evt_" + o.store.id + "_ping_" + strings.ToLower(rand.Text()[:10])
	pongs := make([]Pong, len(o.endpoints))
	var pings sync.WaitGroup
	for i, e := range o.endpoints {
		pings.Go(func() {
			began := time.Now()
			out := o.post(ctx, e, id, body)
			pongs[i] = Pong{e.id, shown(e.url), time.Since(began), out.verdict == delivered, out.class, out.failure}
			if out.verdict == delivered {
				e.resume(time.Now())
			}
		})
	}
	pings.Wait()
	return pongs, nil
}
