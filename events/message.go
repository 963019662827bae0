package events

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// What a message may have.
const (
	MaxText = 4 << 10  // bytes
	MaxBody = 16 << 10 // bytes of JSON
	maxKind = 64
)

// chat is the kind of messages that name none.
const chat = "chat"

// Draft is a message before it is in the log.
type Draft struct {
	Kind string          `json:"kind"` // "": chat
	Text string          `json:"text"`
	Body json.RawMessage `json:"body"` // any JSON

	// Who sends it, by the word of the caller, not of the sender.
	Identity string `json:"-"`
	Name     string `json:"-"`
	// Sender is who is held to the rate of one sender; "": nobody, only the room is.
	Sender string `json:"-"`
}

// DraftError says what is wrong with a message.
type DraftError struct{ Detail string }

func (e *DraftError) Error() string { return "events: message: " + e.Detail }

// message makes a draft a message. *DraftError.
func (d Draft) message() (Message, error) {
	refuse := func(format string, args ...any) (Message, error) {
		return Message{}, &DraftError{fmt.Sprintf(format, args...)}
	}
	if d.Kind == "" {
		d.Kind = chat
	}
	if bytes.Equal(d.Body, []byte("null")) {
		d.Body = nil
	}
	switch {
	case !legalKind(d.Kind):
		return refuse("kind is 1 to %d of A-Z a-z 0-9 . _ -", maxKind)
	case len(d.Text) > MaxText:
		return refuse("text is at most %d bytes", MaxText)
	case !utf8.ValidString(d.Text):
		return refuse("text is UTF-8")
	case len(d.Body) > MaxBody:
		return refuse("body is at most %d bytes of JSON", MaxBody)
	case !utf8.Valid(d.Body): // RFC 8259, section 8.1
		return refuse("body is UTF-8")
	case d.Kind == chat && strings.TrimSpace(d.Text) == "":
		return refuse("text must not be empty in a message of the kind chat")
	case d.Text == "" && d.Body == nil:
		return refuse("text or body is needed")
	}
	m := Message{
		ID: strings.ToLower(rand.Text()[:16]), Kind: d.Kind, Identity: d.Identity, Name: d.Name, Text: d.Text,
	}
	if d.Body != nil {
		var body bytes.Buffer
		if err := json.Compact(&body, d.Body); err != nil {
			return refuse("body is not JSON")
		}
		m.Body = body.Bytes()
	}
	return m, nil
}

func legalKind(kind string) bool {
	if kind == "" || len(kind) > maxKind {
		return false
	}
	return strings.Trim(kind, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// Send puts a message into a room's log. *DraftError, ErrTooManyMessages,
// ErrTooManyRooms, ErrClosed.
func (h *Hub) Send(room string, d Draft) (Event, error) {
	m, err := d.message()
	if err != nil {
		return Event{}, err
	}
	return h.publish(room, MessageSent, m, func(l *roomLog) bool {
		return l.senders.allow(d.Sender, time.Now())
	})
}

// How many messages a second, and at once, one sender may send, and all of a
// room together.
const (
	senderRate, senderBurst = 20, 60
	roomRate, roomBurst     = 1000, 2000
	maxSenders              = 4096 // that are told apart
)

// senders bounds who sends messages in a room. The log's lock guards it.
type senders struct {
	all  *bucket
	each map[string]*bucket
}

// allow takes a message of a sender; false when he or the room had too many.
func (s *senders) allow(sender string, now time.Time) bool {
	if s.all == nil {
		s.all = &bucket{roomBurst, now}
	}
	if sender == "" {
		return s.all.take(roomRate, roomBurst, now)
	}
	b := s.each[sender]
	if b == nil {
		if len(s.each) >= maxSenders && !s.forget(now) {
			return false
		}
		if s.each == nil {
			s.each = make(map[string]*bucket)
		}
		b = &bucket{senderBurst, now}
		s.each[sender] = b
	}
	return b.take(senderRate, senderBurst, now) && s.all.take(roomRate, roomBurst, now)
}

// forget drops senders who sent nothing for so long that it makes no
// difference; false when there are none.
func (s *senders) forget(now time.Time) bool {
	for sender, b := range s.each {
		if now.Sub(b.at).Seconds()*senderRate >= senderBurst {
			delete(s.each, sender)
		}
	}
	return len(s.each) < maxSenders
}

// bucket is what was left at some time.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(rate, burst float64, now time.Time) bool {
	b.tokens = min(burst, b.tokens+max(0, now.Sub(b.at).Seconds())*rate)
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
