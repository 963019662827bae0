package events_test

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sluicemedia/sluice/events"
)

// fold is the room as a page would keep it: by looking at nothing but events,
// one after the other.
type fold struct {
	events.State
	life   string
	last   uint64
	missed uint64
	ended  bool
}

// take looks at one event. An event that is not the next is an error.
func (f *fold) take(e events.Event) error {
	if f.ended {
		return fmt.Errorf("event %d of the type %s came after the end", e.Seq, e.Type)
	}
	if e.Type == events.Snapshot {
		var b events.Beginning
		if err := json.Unmarshal(e.Data, &b); err != nil {
			return err
		}
		if b.Life == f.life && e.Seq != f.last+b.Missed {
			return fmt.Errorf("after %d a snapshot at %d tells of %d missed", f.last, e.Seq, b.Missed)
		}
		f.State, f.life, f.last, f.missed = b.State, b.Life, e.Seq, f.missed+b.Missed
		return nil
	}
	if e.Seq != f.last+1 {
		return fmt.Errorf("after %d came %d", f.last, e.Seq)
	}
	f.last = e.Seq
	return f.apply(e)
}

func (f *fold) apply(e events.Event) error {
	switch e.Type {
	case events.SessionJoined:
		s, err := read[events.Session](e)
		f.Sessions = append(f.Sessions, s)
		return err
	case events.SessionLeft:
		s, err := read[events.Session](e)
		f.Sessions = slices.DeleteFunc(f.Sessions, func(o events.Session) bool { return o.Session == s.Session })
		return err
	case events.PublicationStarted:
		p, err := read[events.Publication](e)
		f.Publications = append(slices.DeleteFunc(f.Publications, named(p)), p)
		return err
	case events.PublicationStopped:
		p, err := read[events.Publication](e)
		f.Publications = slices.DeleteFunc(f.Publications, named(p))
		return err
	case events.PublicationMuted:
		p, err := read[events.Publication](e)
		for i := range f.Publications {
			if named(p)(f.Publications[i]) {
				f.Publications[i].Muted = p.Muted
			}
		}
		return err
	case events.ProgramChanged:
		p, err := read[events.Program](e)
		f.Program = p.Publication
		return err
	case events.RoomChanged:
		s, err := read[events.Settings](e)
		f.Locked = s.Locked
		return err
	case events.MessageSent:
		f.Messages = append(f.Messages, e)
		f.Messages = f.Messages[max(0, len(f.Messages)-events.DefaultHistory):]
	case events.RoomEnded:
		f.State, f.ended = events.State{}, true
	default: // not of the state
	}
	return nil
}

func named(p events.Publication) func(events.Publication) bool {
	return func(o events.Publication) bool { return o.Publication == p.Publication }
}

func read[T any](e events.Event) (v T, err error) {
	return v, json.Unmarshal(e.Data, &v)
}

// text is a state as it is compared.
func text(s events.State) string {
	out, err := json.Marshal(events.State{
		Sessions:     append([]events.Session{}, s.Sessions...),
		Publications: append([]events.Publication{}, s.Publications...),
		Program:      s.Program, Locked: s.Locked,
		Messages: append([]events.Event{}, s.Messages...),
	})
	if err != nil {
		return err.Error()
	}
	return string(out)
}
