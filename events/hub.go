package events

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Errors that callers act on.
var (
	ErrTooManyListeners = errors.New("events: the room has too many listeners")
	ErrTooManyRooms     = errors.New("events: too many rooms are listened to")
	ErrTooManyMessages  = errors.New("events: too many messages")
	ErrClosed           = errors.New("events: closed")
)

// Config is how a Hub is set up. Zero numbers stand for DefaultConfig's.
type Config struct {
	Log *slog.Logger // nil: nothing is logged

	MaxEvents    int           // of a log that are kept for those who come back
	MaxBytes     int           // of the same, and of the messages in a state
	MaxListeners int           // of a room
	MaxRooms     int           // logs that listeners may make; messages, half of them
	Linger       time.Duration // how long a log is kept that nobody needs

	// History is how many messages a room keeps for those who come later; nil:
	// DefaultHistory. Called without locks.
	History func(room string) int
	// Keep tells whether a room exists although nothing happens in it: its log
	// stays. nil: none does. Called without locks.
	Keep func(room string) bool
	// Sink is given every event, one at a time, in the order of each room; nil:
	// nobody. Publish may call it, so it must not block.
	Sink func(Event)
}

// DefaultHistory is how many messages are kept where nothing else is said.
const DefaultHistory = 50

// DefaultConfig is what a node runs with when nothing is configured.
func DefaultConfig() Config {
	return Config{MaxEvents: 1024, MaxBytes: 256 << 10, MaxListeners: 5000, MaxRooms: 10_000, Linger: time.Minute}
}

// Stats counts over the Hub's life; Rooms and Listeners are those of now.
type Stats struct {
	Rooms, Listeners int
	Events           uint64 // published
	Messages         uint64 // of those, messages
	Snapshots        uint64 // sent to those who came, or came back too late
	Missed           uint64 // events that readers were too slow for
	Refused          uint64 // listeners
}

// Hub holds the logs of a node's rooms.
type Hub struct {
	cfg  Config
	sink queue

	events, messages, snapshots, missed, refused atomic.Uint64
	listeners                                    atomic.Int64

	mu      sync.Mutex // guards what follows
	logs    map[string]*roomLog
	cuts    map[*Listener]func() // end readers who cannot be reached
	closed  bool
	closing chan struct{}  // closed by Close
	reading sync.WaitGroup // listeners that are not closed
}

// NewHub makes a hub without logs.
func NewHub(cfg Config) *Hub {
	def := DefaultConfig()
	cfg.MaxEvents = cmp.Or(cfg.MaxEvents, def.MaxEvents)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, def.MaxBytes)
	cfg.MaxListeners = cmp.Or(cfg.MaxListeners, def.MaxListeners)
	cfg.MaxRooms = cmp.Or(cfg.MaxRooms, def.MaxRooms)
	cfg.Linger = cmp.Or(cfg.Linger, def.Linger)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Hub{
		cfg: cfg, sink: queue{hook: cfg.Sink},
		logs: make(map[string]*roomLog), cuts: make(map[*Listener]func()), closing: make(chan struct{}),
	}
}

// Publish adds an event to a room's log and returns it. Data is what the
// comment of the type says. It never waits for a reader.
//
// What makes no sense is left out, and the zero Event returned: that somebody
// left, stopped or is unwell who is not in the room. Sessions end on goroutines
// of their own, and some do so after their room.
func (h *Hub) Publish(room string, t Type, data any) Event {
	if t == RoomEnded {
		h.End(room)
		return Event{}
	}
	e, err := h.publish(room, t, data, nil)
	if err != nil {
		h.cfg.Log.Error("event was not published", "room", room, "type", string(t), "err", err)
	}
	return e
}

// publish is Publish, for those who are allowed to by the log: they get
// ErrTooManyMessages otherwise, and no log where there are half of MaxRooms.
// Allowed is nil for events that nobody may refuse.
func (h *Hub) publish(room string, t Type, data any, allowed func(*roomLog) bool) (Event, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("events: write an event: %w", err)
	}
	history, most := 0, 0
	if t == MessageSent {
		history = h.history(room)
	}
	if allowed != nil {
		// A log that a message makes costs its sender nothing, one of a listener a
		// connection: there is always room for those.
		most = max(1, h.cfg.MaxRooms/2)
	}
	for {
		l, err := h.enter(room, t.begins(), most)
		if l == nil {
			return Event{}, err
		}
		if l.ending && t.begins() { // whoever comes now comes into the next room of that name
			l.finish()
			l.leave()
			continue
		}
		var e Event
		if allowed == nil || allowed(l) {
			e, err = l.put(t, data, text, history)
		} else {
			err = ErrTooManyMessages
		}
		if l.ending && !l.state.occupied() {
			l.finish()
		}
		l.leave()
		return e, err
	}
}

// End ends a room: RoomEnded is the last event of its log, once those who are
// in the room have left, or have had their time to. The next event of a room of
// this name begins another log.
func (h *Hub) End(room string) {
	l, err := h.enter(room, true, 0)
	if err != nil {
		return
	}
	if !l.ending {
		l.ending, l.endBy = true, time.Now().Add(endPatience)
	}
	if !l.state.occupied() {
		l.finish()
	}
	l.leave()
}

// SetLocked publishes RoomChanged where it is news whether a room is locked. The
// room of that name that has ended before is another one, also while those who
// were in it have not left yet.
func (h *Hub) SetLocked(room string, locked bool) {
	known := false
	if l, _ := h.enter(room, false, 0); l != nil {
		known = l.state.locked && !l.ending
		l.leave()
	}
	if known != locked {
		h.Publish(room, RoomChanged, Settings{Locked: locked})
	}
}

// State returns the room as its log leaves it, and the number of the last event.
func (h *Hub) State(room string) (State, uint64) {
	l, _ := h.enter(room, false, 0)
	if l == nil {
		return (&roster{}).state(), 0
	}
	defer l.leave()
	return l.state.state(), l.seq
}

// Stats counts.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	rooms := len(h.logs)
	h.mu.Unlock()
	return Stats{
		Rooms: rooms, Listeners: int(h.listeners.Load()),
		Events: h.events.Load(), Messages: h.messages.Load(),
		Snapshots: h.snapshots.Load(), Missed: h.missed.Load(), Refused: h.refused.Load(),
	}
}

// Run forgets logs that nobody needs, until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepGap)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			h.sweep(now)
		case <-ctx.Done():
			return
		}
	}
}

const (
	sweepGap    = time.Second
	endPatience = 2 * time.Second
)

// sweep ends the logs that have been idle for the linger and those whose time
// to end has come.
func (h *Hub) sweep(now time.Time) {
	for _, l := range h.all() {
		l.mu.Lock()
		over := l.ending && !now.Before(l.endBy)
		idle := l.idle() && now.Sub(l.active) >= h.cfg.Linger
		l.mu.Unlock()
		switch {
		case !over && !idle:
		case !over && h.keeps(l.room):
			l.touch(now)
		default:
			h.drop(l, func() bool { return over || l.idle() && now.Sub(l.active) >= h.cfg.Linger })
		}
	}
}

// touch lets the linger begin again.
func (l *roomLog) touch(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = now
}

// drop ends a log if it is still what it was.
func (h *Hub) drop(l *roomLog, still func() bool) {
	l.mu.Lock()
	if !l.gone && still() {
		l.finish()
	}
	l.leave()
}

// Close ends all listeners; Wait waits for them.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.closing)
	}
}

// Wait waits for all listeners to be closed after Close. WebSockets whose
// clients do not read are cut off; streams of server-sent events end with their
// server.
func (h *Hub) Wait() {
	late := time.AfterFunc(closeMax, func() {
		h.mu.Lock()
		cuts := slices.Collect(maps.Values(h.cuts))
		h.mu.Unlock()
		for _, cut := range cuts {
			cut()
		}
	})
	h.reading.Wait()
	late.Stop()
}

func (h *Hub) keeps(room string) bool { return h.cfg.Keep != nil && h.cfg.Keep(room) }

func (h *Hub) history(room string) int {
	if h.cfg.History == nil {
		return DefaultHistory
	}
	return h.cfg.History(room)
}

func (h *Hub) all() []*roomLog {
	h.mu.Lock()
	defer h.mu.Unlock()
	logs := make([]*roomLog, 0, len(h.logs))
	for _, l := range h.logs {
		logs = append(logs, l)
	}
	return logs
}

// enter returns the log of a room, locked; nil when there is none and none is
// to begin. Where there are most of them none begins; 0: however many.
// ErrTooManyRooms, ErrClosed.
func (h *Hub) enter(room string, begin bool, most int) (*roomLog, error) {
	for {
		h.mu.Lock()
		l := h.logs[room]
		switch {
		case l != nil:
		case !begin:
			h.mu.Unlock()
			return nil, nil //nolint:nilnil // no log, and nothing wrong
		case most > 0 && h.closed:
			h.mu.Unlock()
			return nil, ErrClosed
		case most > 0 && len(h.logs) >= most:
			h.mu.Unlock()
			return nil, ErrTooManyRooms
		default:
			l = newRoomLog(h, room)
			h.logs[room] = l
		}
		h.mu.Unlock()
		l.mu.Lock()
		if !l.gone {
			return l, nil
		}
		l.mu.Unlock()
	}
}

// remove forgets a log; called with the log's lock held.
func (h *Hub) remove(l *roomLog) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.logs[l.room] == l {
		delete(h.logs, l.room)
	}
}
