package events

import (
	"encoding/json"
	"time"
)

// Type names what happened, in the words of the control API.
type Type string

// The types.
const (
	SessionJoined      Type = "session.joined"      // data: Session; with the 201
	SessionLeft        Type = "session.left"        // data: Session with Cause
	PublicationStarted Type = "publication.started" // data: Publication; with the first media
	PublicationStopped Type = "publication.stopped" // data: Publication
	PublicationMuted   Type = "publication.muted"   // data: Publication, Muted as it is now
	ProgramChanged     Type = "program.changed"     // data: Program
	LayerChanged       Type = "layer.changed"       // data: Layer
	QualityChanged     Type = "quality.changed"     // data: Quality
	RoomChanged        Type = "room.changed"        // data: Settings; locked or unlocked
	RoomEnded          Type = "room.ended"          // no data; the last of a log
	MessageSent        Type = "message"             // data: Message
	Snapshot           Type = "snapshot"            // of a listener, not of the log; data: Beginning
)

// Event is one line of a room's log.
type Event struct {
	Seq  uint64          `json:"seq"`  // 1, 2, 3, ... within one life of the room
	Time Time            `json:"time"` // when it happened
	Room string          `json:"room"`
	Type Type            `json:"type"`
	Data json.RawMessage `json:"data"` // an object
}

// Time is a moment as the API writes it: RFC 3339, UTC, milliseconds.
type Time time.Time

const timeLayout = `"2006-01-02T15:04:05.000Z"`

// MarshalJSON writes the moment.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format(timeLayout)), nil
}

// UnmarshalJSON reads what MarshalJSON writes, and every RFC 3339 time.
func (t *Time) UnmarshalJSON(text []byte) error {
	var moment time.Time
	if err := moment.UnmarshalJSON(text); err != nil {
		return err
	}
	*t = Time(moment)
	return nil
}

// Session is one who is in the room.
type Session struct {
	Session     string `json:"session"` // public id
	Role        string `json:"role"`    // publisher or viewer
	Publication string `json:"publication"`
	Identity    string `json:"identity,omitempty"`
	Name        string `json:"name,omitempty"`  // to show to people
	Cause       string `json:"cause,omitempty"` // why it left
}

// Publication is what is on air.
type Publication struct {
	Publication string `json:"publication"`
	Session     string `json:"session"` // of its publisher
	Identity    string `json:"identity,omitempty"`
	Name        string `json:"name,omitempty"` // of its publisher, to show to people
	WHEP        string `json:"whep"`           // where to play it
	Muted       Muted  `json:"muted"`
}

// Muted is what a moderator keeps from the viewers of a publication.
type Muted struct {
	Audio bool `json:"audio"`
	Video bool `json:"video"`
}

// Program is what viewers get who name no publication.
type Program struct {
	Publication *string `json:"publication"` // nil: nothing
}

// Layer is which encoding of a simulcast a viewer gets.
type Layer struct {
	Session     string `json:"session"`
	Publication string `json:"publication"`
	RID         string `json:"rid"`
}

// Quality is how a session is.
type Quality struct {
	Session string  `json:"session"`
	Role    string  `json:"role"`
	State   string  `json:"state"`
	Cause   *string `json:"cause"` // nil: all is well
}

// Settings are those that everybody in a room is told of.
type Settings struct {
	Locked bool `json:"locked"`
}

// Message is what one participant tells all, or a program tells other programs.
type Message struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"` // chat, or a name of the sender's choice
	Identity string          `json:"identity,omitempty"`
	Name     string          `json:"name,omitempty"`
	Text     string          `json:"text,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"` // of other kinds: any JSON
}

// State is the room as the log leaves it: who takes it and reads the events
// after its Seq misses nothing.
type State struct {
	Sessions     []Session     `json:"sessions"`     // by when they joined
	Publications []Publication `json:"publications"` // by when they started
	Program      *string       `json:"program"`
	Locked       bool          `json:"locked"`
	Messages     []Event       `json:"messages"` // the last ones, oldest first
}

// Beginning is what a listener gets first, and again when events that he should
// have had are no longer there.
type Beginning struct {
	State
	// Life tells this log from others of rooms of this name: with a seq it is
	// the id of an event.
	Life string `json:"life"`
	// Missed is how many events he will not get, because he was too slow or away
	// for too long. What they changed is in the state.
	Missed uint64 `json:"missed,omitempty"`
}
