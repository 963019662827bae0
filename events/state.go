package events

import (
	"cmp"
	"maps"
	"slices"
)

// begins tells the types that a log can begin with: something is there, where
// the others say that it changed or is no more.
func (t Type) begins() bool {
	switch t {
	case SessionJoined, PublicationStarted, MessageSent, RoomChanged:
		return true
	default:
		return false
	}
}

// roster is the state of a room, made for changing: rooms have thousands of
// viewers, and they may all leave at once.
type roster struct {
	sessions     map[string]placed[Session]     // by id
	publications map[string]placed[Publication] // by name
	program      *string
	locked       bool
	messages     []Event
	bytes        int // of the messages
}

// placed is something with its place among others.
type placed[T any] struct {
	place uint64 // seq of the event that brought it
	what  T
}

// occupied tells whether anybody is in the room.
func (r *roster) occupied() bool { return len(r.sessions) > 0 || len(r.publications) > 0 }

// sensible tells whether an event is about somebody or something that is there.
func (r *roster) sensible(t Type, data any) bool {
	switch d := data.(type) {
	case Session:
		_, in := r.sessions[d.Session]
		return in == (t == SessionLeft)
	case Publication:
		p, in := r.publications[d.Publication]
		return t == PublicationStarted || in && p.what.Session == d.Session
	case Layer:
		_, in := r.sessions[d.Session]
		return in
	case Quality:
		_, in := r.sessions[d.Session]
		return in
	default:
		return true
	}
}

// apply puts a sensible event into the state.
func (r *roster) apply(e Event, data any, history, maxBytes int) {
	if e.Type == RoomEnded {
		*r = roster{}
	}
	switch d := data.(type) {
	case Session:
		if e.Type == SessionLeft {
			delete(r.sessions, d.Session)
			return
		}
		if r.sessions == nil {
			r.sessions = make(map[string]placed[Session])
		}
		r.sessions[d.Session] = placed[Session]{e.Seq, d}
	case Publication:
		r.publication(e, d)
	case Program:
		r.program = d.Publication
	case Settings:
		r.locked = d.Locked
	case Message:
		r.message(e, history, maxBytes)
	}
}

func (r *roster) publication(e Event, d Publication) {
	switch e.Type {
	case PublicationStopped:
		delete(r.publications, d.Publication)
	case PublicationMuted:
		p := r.publications[d.Publication]
		p.what.Muted = d.Muted
		r.publications[d.Publication] = p
	default:
		if r.publications == nil {
			r.publications = make(map[string]placed[Publication])
		}
		r.publications[d.Publication] = placed[Publication]{e.Seq, d}
	}
}

// message keeps a message, and as many before it as the history is long.
func (r *roster) message(e Event, history, maxBytes int) {
	r.messages = append(r.messages, e)
	r.bytes += len(e.Data)
	for len(r.messages) > max(0, history) || r.bytes > maxBytes {
		r.bytes -= len(r.messages[0].Data)
		r.messages[0] = Event{}
		r.messages = r.messages[1:]
	}
}

// state is the roster as it is shown.
func (r *roster) state() State {
	return State{
		Sessions: inOrder(r.sessions), Publications: inOrder(r.publications),
		Program: r.program, Locked: r.locked, Messages: append([]Event{}, r.messages...),
	}
}

func inOrder[T any](m map[string]placed[T]) []T {
	sorted := slices.SortedFunc(maps.Values(m), func(a, b placed[T]) int { return cmp.Compare(a.place, b.place) })
	out := make([]T, len(sorted))
	for i, p := range sorted {
		out[i] = p.what
	}
	return out
}
