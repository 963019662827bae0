package events

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// roomLog is the log of one room in one life of it.
type roomLog struct {
	hub  *Hub
	room string
	life string // tells this log from others of rooms of the same name

	mu     sync.Mutex // guards what follows
	gone   bool       // no longer in the Hub: enter again
	ending bool       // RoomEnded follows as soon as nobody is left, or at endBy
	endBy  time.Time
	active time.Time // when something happened or somebody listened last

	seq       uint64 // of the last event
	ring      ring   // the last events
	state     roster
	snapshot  *frame // of the state as it was lately, for all who come soon: see recent
	changed   chan struct{}
	listeners int
	senders   senders
}

func newRoomLog(h *Hub, room string) *roomLog {
	return &roomLog{
		hub: h, room: room, life: strings.ToLower(rand.Text()[:8]), active: time.Now(),
		ring: ring{maxEvents: h.cfg.MaxEvents, maxBytes: h.cfg.MaxBytes},
	}
}

// leave unlocks the log and hands on what was put into it.
func (l *roomLog) leave() {
	l.mu.Unlock()
	l.hub.sink.drain()
}

// idle tells whether nobody would miss the log.
func (l *roomLog) idle() bool { return !l.gone && l.listeners == 0 && !l.state.occupied() }

// put adds an event; the zero Event when it makes no sense.
func (l *roomLog) put(t Type, data any, text json.RawMessage, history int) (Event, error) {
	if !l.state.sensible(t, data) {
		return Event{}, nil
	}
	e := Event{Seq: l.seq + 1, Time: Time(time.Now()), Room: l.room, Type: t, Data: text}
	f, err := newFrame(l.life, e)
	if err != nil {
		return Event{}, err
	}
	l.seq = e.Seq
	l.active = time.Time(e.Time)
	l.ring.put(f)
	l.state.apply(e, data, history, l.hub.cfg.MaxBytes)
	l.hub.events.Add(1)
	if t == MessageSent {
		l.hub.messages.Add(1)
	}
	l.hub.sink.put(e)
	l.wake()
	return e, nil
}

// finish ends the log with RoomEnded, unless there never was anything in it.
func (l *roomLog) finish() {
	if l.seq > 0 || l.ending {
		_, _ = l.put(RoomEnded, nil, json.RawMessage("{}"), 0) // it can be written
	}
	l.gone = true
	l.hub.remove(l)
	l.wake()
}

// snapshotWorth is how many bytes of a snapshot make it worth one event more that
// has to be sent after it. While thousands come, each an event, a state of all
// of them is not written anew for each, nor kept for each who is slow.
const snapshotWorth = 4 << 10

// recent tells whether a snapshot still does for those who come now: what
// happened since is there for them, and is little.
func (l *roomLog) recent(f *frame) bool {
	since := l.seq - f.seq
	return since <= uint64(len(f.text)/snapshotWorth) && since <= uint64(l.ring.count)
}

// wake lets all listeners look.
func (l *roomLog) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// wait is closed when there is something to look at again.
func (l *roomLog) wait() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// frame is an event as it is sent: encoded once, for all.
type frame struct {
	seq  uint64
	text []byte // as it stands in a stream of server-sent events
	from int    // where in text the JSON begins; it ends two before the end
}

// newFrame encodes an event. JSON has no line ends in its texts, so that it is
// one line of data.
func newFrame(life string, e Event) (*frame, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("events: write an event: %w", err)
	}
	var b bytes.Buffer
	b.Grow(len(text) + 64)
	fmt.Fprintf(&b, "id: %s-%d\nevent: %s\ndata: ", life, e.Seq, e.Type)
	from := b.Len()
	b.Write(text)
	b.WriteString("\n\n")
	return &frame{e.Seq, b.Bytes(), from}, nil
}

// json is the event alone.
func (f *frame) json() []byte { return f.text[f.from : len(f.text)-2] }

// after reads the id of the last event that a listener has. False when it is
// not of this log, or of none: then he gets a snapshot.
func (l *roomLog) after(lastID string) (seq uint64, ok bool) {
	number := lastID
	if life, rest, found := strings.Cut(lastID, "-"); found {
		if life != l.life {
			return 0, false
		}
		number = rest
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	return seq, err == nil && seq <= l.seq
}

// ring holds the last frames, bounded in number and bytes.
type ring struct {
	maxEvents, maxBytes int

	frames []*frame // the oldest at head
	head   int
	count  int
	bytes  int
}

func (r *ring) put(f *frame) {
	if r.count == len(r.frames) && r.count < r.maxEvents {
		r.grow()
	}
	if r.count == len(r.frames) {
		r.drop()
	}
	r.frames[(r.head+r.count)%len(r.frames)] = f
	r.count++
	r.bytes += len(f.text)
	for r.bytes > r.maxBytes && r.count > 1 {
		r.drop()
	}
}

// grow doubles the place: most rooms need little.
func (r *ring) grow() {
	frames := make([]*frame, min(r.maxEvents, max(16, 2*len(r.frames))))
	for i := range r.count {
		frames[i] = r.at(i)
	}
	r.frames, r.head = frames, 0
}

func (r *ring) drop() {
	r.bytes -= len(r.frames[r.head].text)
	r.frames[r.head] = nil
	r.head = (r.head + 1) % len(r.frames)
	r.count--
}

// at is the i-th oldest.
func (r *ring) at(i int) *frame { return r.frames[(r.head+i)%len(r.frames)] }

// from copies the frames after a seq, at most n; false when some of them are
// no longer there.
func (r *ring) from(seq, last uint64, n int) ([]*frame, bool) {
	behind := last - seq
	if behind > uint64(r.count) {
		return nil, false
	}
	n = min(n, int(behind))
	frames := make([]*frame, n)
	for i := range n {
		frames[i] = r.at(r.count - int(behind) + i)
	}
	return frames, true
}
