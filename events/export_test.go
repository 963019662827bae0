package events

import (
	"encoding/json"
	"time"

	"github.com/coder/websocket"
)

// Events are those of a batch.
func (b Batch) Events() ([]Event, error) {
	list := make([]Event, len(b.frames))
	for i, f := range b.frames {
		if err := json.Unmarshal(f.json(), &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Bytes are what a batch keeps in memory.
func (b Batch) Bytes() (n int) {
	for _, f := range b.frames {
		n += len(f.text)
	}
	return n
}

// Same tells whether two batches share what they begin with.
func (b Batch) Same(o Batch) bool { return b.frames[0] == o.frames[0] }

// Sweep is what Run does now and then.
func (h *Hub) Sweep(now time.Time) { h.sweep(now) }

// Kept is how many events and bytes the log of a room keeps.
func (h *Hub) Kept(room string) (events, bytes int) {
	l, _ := h.enter(room, false, 0)
	if l == nil {
		return 0, 0
	}
	defer l.leave()
	return l.ring.count, l.ring.bytes
}

// EndPatience is how long a room waits for those who are in it.
const EndPatience = endPatience

// Obey does what the text of a client says.
func (s Socket) Obey(text []byte) ([]byte, error) {
	c := &socket{Socket: s}
	return json.Marshal(c.obey(websocket.MessageText, text))
}
