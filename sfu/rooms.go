package sfu

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Errors that callers act on.
var (
	ErrPublicationBusy = errors.New("sfu: the publication is live from another publisher")
	ErrNotLive         = errors.New("sfu: nothing is on air")
	ErrRoomNotFound    = errors.New("sfu: no such room")
	ErrRoomExists      = errors.New("sfu: the room exists already")
	ErrTooMany         = errors.New("sfu: the room is full")
	ErrName            = errors.New("sfu: not a legal name")
	ErrClosed          = errors.New("sfu: closed")
)

// Rooms is the set of rooms of this node.
type Rooms struct {
	cfg    Config
	log    *slog.Logger
	epoch  time.Time // what Rooms.at counts from
	events eventQueue
	wg     sync.WaitGroup // every goroutine that rooms, claims and tracks start

	unplayable atomic.Uint64

	mu     sync.Mutex // guards the fields below
	closed bool       // no new rooms, claims and subscriptions
	sealed bool       // no new goroutines
	rooms  map[string]*room
	tracks map[*Track]struct{} // those with a running goroutine
	ended  TrackStats          // of the tracks that have ended
}

// NewRooms makes an empty set. The caller must Close it.
func NewRooms(cfg Config, log *slog.Logger) *Rooms {
	if cfg.Linger <= 0 {
		cfg.Linger = DefaultConfig().Linger
	}
	return &Rooms{
		cfg:    cfg,
		log:    log,
		epoch:  time.Now(),
		events: eventQueue{hook: cfg.OnEvent},
		rooms:  make(map[string]*room),
		tracks: make(map[*Track]struct{}),
	}
}

// Config bounds rooms.
type Config struct {
	MaxRooms        int // 0: no limit
	MaxPublications int // per room, when the room says nothing; 0: no limit
	MaxViewers      int // per room, when the room says nothing; 0: no limit

	// Linger is how long viewers stay without a publisher in rooms that do not
	// wait; 0: as DefaultConfig.
	Linger time.Duration

	// OnEvent is told what happens, in the order it happened; nil: nobody. It
	// is called without locks and must not block.
	OnEvent func(Event)
}

// DefaultConfig is what a node runs with when nothing is configured.
func DefaultConfig() Config { return Config{Linger: time.Minute} }

// Settings are what the owner of a room decides about it.
type Settings struct {
	Wait            bool // viewers may come before the publisher
	Replace         bool // a second publisher takes over even from a live one
	MaxPublications int  // 0: the node's default
	MaxViewers      int  // 0: the node's default
	// Program is the publication that viewers get who name none, as long as it is
	// live; "": "main", or the only one that is live.
	Program string
}

// Create makes a room that stays until Delete. ErrRoomExists, ErrName, ErrTooMany.
func (rs *Rooms) Create(name string, s Settings) (RoomInfo, error) {
	if !legal(name) {
		return RoomInfo{}, ErrName
	}
	rs.mu.Lock()
	r, err := rs.makeLocked(name)
	if err != nil {
		rs.mu.Unlock()
		return RoomInfo{}, err
	}
	r.explicit, r.settings = true, s // nobody else can have seen it yet
	rs.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info(), nil
}

// Update changes the settings of a room. It does not make an implicit room
// explicit. ErrRoomNotFound.
func (rs *Rooms) Update(name string, s Settings) (RoomInfo, error) {
	r, err := rs.enter(name)
	if err != nil {
		return RoomInfo{}, err
	}
	defer r.leave()
	r.change(s, time.Now())
	return r.info(), nil
}

// change gives the room other settings.
func (r *room) change(s Settings, now time.Time) {
	if r.settings.Wait && !s.Wait {
		r.restartLinger(now)
	}
	r.settings = s
	r.refresh(now)
}

// Delete ends a room: all claims and subscriptions in it end. ErrRoomNotFound.
func (rs *Rooms) Delete(name string) error {
	r, err := rs.enter(name)
	if err != nil {
		return err
	}
	defer r.leave()
	r.end(true)
	return nil
}

// Info returns a room. ErrRoomNotFound.
func (rs *Rooms) Info(name string) (RoomInfo, error) {
	r, err := rs.enter(name)
	if err != nil {
		return RoomInfo{}, err
	}
	defer r.mu.Unlock()
	return r.info(), nil
}

// List returns all rooms by name.
func (rs *Rooms) List() []RoomInfo {
	rooms := rs.all()
	list := make([]RoomInfo, 0, len(rooms))
	for _, r := range rooms {
		r.mu.Lock()
		if !r.gone {
			list = append(list, r.info())
		}
		r.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b RoomInfo) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Close deletes all rooms and waits until every goroutine of theirs has ended,
// callbacks included. Tracks end when their Source does, so the publishers'
// sessions must have ended or end upon ClaimConfig.Ended.
func (rs *Rooms) Close() {
	rs.mu.Lock()
	rs.closed = true
	rs.mu.Unlock()
	for _, r := range rs.all() {
		r.mu.Lock()
		r.end(false)
		r.leave()
	}
	rs.mu.Lock()
	rs.sealed = true
	rs.mu.Unlock()
	rs.wg.Wait()
}

// enter returns the room of that name, locked.
func (rs *Rooms) enter(name string) (*room, error) {
	for {
		rs.mu.Lock()
		r, ok := rs.rooms[name]
		rs.mu.Unlock()
		if !ok {
			return nil, ErrRoomNotFound
		}
		r.mu.Lock()
		if !r.gone {
			return r, nil
		}
		r.mu.Unlock()
	}
}

// enterOrMake is enter, but makes an implicit room if there is none.
func (rs *Rooms) enterOrMake(name string) (*room, error) {
	for {
		rs.mu.Lock()
		r, ok := rs.rooms[name]
		if !ok {
			var err error
			if r, err = rs.makeLocked(name); err != nil {
				rs.mu.Unlock()
				return nil, err
			}
		}
		rs.mu.Unlock()
		r.mu.Lock()
		if !r.gone {
			return r, nil
		}
		r.mu.Unlock()
	}
}

func (rs *Rooms) makeLocked(name string) (*room, error) {
	switch {
	case rs.closed:
		return nil, ErrClosed
	case rs.rooms[name] != nil:
		return nil, ErrRoomExists
	case rs.cfg.MaxRooms > 0 && len(rs.rooms) >= rs.cfg.MaxRooms:
		return nil, ErrTooMany
	}
	r := newRoom(rs, name)
	rs.rooms[name] = r
	return r, nil
}

// remove forgets a room; called with the room's lock held.
func (rs *Rooms) remove(r *room) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.rooms[r.name] == r {
		delete(rs.rooms, r.name)
	}
}

func (rs *Rooms) all() []*room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rooms := make([]*room, 0, len(rs.rooms))
	for _, r := range rs.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}

// spawn runs f on a goroutine that Close waits for; false after Close.
func (rs *Rooms) spawn(f func()) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.sealed {
		return false
	}
	rs.wg.Go(f)
	return true
}

// legal tells whether a room or publication may be called so: 1 to 64 of
// letters, digits, dot, underscore and hyphen, not beginning with a dot.
func legal(name string) bool {
	if name == "" || len(name) > 64 || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// at is a moment as a number.
func (rs *Rooms) at(now time.Time) int64 { return int64(now.Sub(rs.epoch)) }

// register counts a track that is being read.
func (rs *Rooms) register(t *Track) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.tracks[t] = struct{}{}
}

// unregister keeps the counters of a track that has ended.
func (rs *Rooms) unregister(t *Track) {
	s := t.recv.stats(time.Now())
	s.Bitrate = 0
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.tracks, t)
	rs.ended.add(s)
}
