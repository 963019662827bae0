package whep

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// Errors that callers act on.
var (
	ErrNoStream       = errors.New("whep: no such event stream")
	ErrTooManyStreams = errors.New("whep: too many event streams")
)

// ProblemEvents is the problem of a request for events that are not sent.
const ProblemEvents = "events-unknown"

const (
	problemJSON = session.ProblemJSON
	maxNamed    = 8  // unknown types that an answer names
	maxStreams  = 4  // of a session, that of the Link URL not counted
	maxQueue    = 64 // events of a stream that wait for its reader
)

func refuse(problem, format string, args ...any) error {
	return &session.OfferError{Problem: problem, Detail: fmt.Sprintf(format, args...)}
}

// viewers are the sessions of an Endpoint by id: one entry for each that
// Sessions holds, so they need no bound of their own.
type viewers struct {
	mu   sync.Mutex // guards byID; no other lock is taken under it
	byID map[string]*viewer
}

func (vs *viewers) add(v *viewer) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.byID == nil {
		vs.byID = make(map[string]*viewer)
	}
	vs.byID[v.id] = v
}

func (vs *viewers) remove(id string) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	delete(vs.byID, id)
}

// find returns session.ErrNotFound when there is no such viewer.
func (vs *viewers) find(id string) (*viewer, error) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v := vs.byID[id]; v != nil {
		return v, nil
	}
	return nil, session.ErrNotFound
}

// viewer is what belongs to a viewer's session beside its media.
type viewer struct {
	id    string
	sub   *sfu.Subscription // set before anybody finds the viewer
	video int               // section of the offer that video is played on, counted from 0; -1: none

	// telling is held while layers are looked up and told of; taken before mu.
	telling sync.Mutex

	// mu guards what follows, and the streams. Nothing is called under it.
	mu      sync.Mutex
	live    bool
	ended   bool
	last    uint64             // id of the newest event
	layers  any                // data of the newest EventLayers; nil: none since it went on air
	untold  bool               // there was news of layers when nobody was there to read it
	streams map[string]*stream // by secret; "" is that of the Link URL
}

// onAir tells the streams that something is on air now, or no longer.
func (v *viewer) onAir(live bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.setLive(live)
}

// setLive is onAir with the lock held.
func (v *viewer) setLive(live bool) {
	if v.ended || v.live == live {
		return
	}
	v.live = live
	kind := EventActive
	if !live {
		kind, v.layers = EventInactive, nil
	}
	_ = v.put(kind, struct{}{}) // an empty object can be written
}

// emit queues an event for all streams that want it.
func (v *viewer) emit(kind EventType, data any) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if kind == EventLayers {
		v.layers = data
	}
	return v.put(kind, data)
}

// put queues an event, which most viewers have no stream for; the lock is held.
func (v *viewer) put(kind EventType, data any) error {
	if v.ended || len(v.streams) == 0 {
		return nil
	}
	e, err := newEvent(v.last+1, kind, data)
	if err != nil {
		return err
	}
	v.last++
	for _, s := range v.streams {
		s.put(e)
	}
	return nil
}

// open makes a stream of some types. It begins with how things are, but not
// with word that nothing is on air.
func (v *viewer) open(types []EventType) (secret string, err error) {
	defer v.catchUp()
	v.mu.Lock()
	defer v.mu.Unlock()
	named := len(v.streams)
	if v.streams[""] != nil {
		named--
	}
	switch {
	case v.ended:
		return "", session.ErrNotFound
	case named >= maxStreams:
		return "", ErrTooManyStreams
	}
	secret = strings.ToLower(rand.Text() + rand.Text()) // as much as protects the session URL
	_, err = v.add(secret, types)
	return secret, err
}

// openLink returns the stream of the Link URL, which is made by its first GET.
func (v *viewer) openLink() (*stream, error) {
	defer v.catchUp()
	v.mu.Lock()
	defer v.mu.Unlock()
	switch s := v.streams[""]; {
	case v.ended:
		return nil, session.ErrNotFound
	case s != nil:
		return s, nil
	}
	return v.add("", advertised)
}

// add makes a stream; the lock is held.
func (v *viewer) add(secret string, types []EventType) (*stream, error) {
	s := &stream{v: v, types: slices.Clone(types), sent: v.last, count: -1}
	first := []struct {
		kind EventType
		data any
	}{{EventActive, struct{}{}}, {EventLayers, v.layers}}
	for _, f := range first {
		if !v.live || f.data == nil {
			continue
		}
		e, err := newEvent(v.last+1, f.kind, f.data)
		if err != nil {
			return nil, err
		}
		v.last++
		s.put(e)
	}
	if v.streams == nil {
		v.streams = make(map[string]*stream)
	}
	v.streams[secret] = s
	return s, nil
}

// stream finds a stream by its secret.
func (v *viewer) stream(secret string) (*stream, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.streams[secret]; s != nil && secret != "" {
		return s, nil
	}
	return nil, ErrNoStream
}

// closeStream ends a stream and forgets it.
func (v *viewer) closeStream(secret string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.streams[secret]
	if s == nil || secret == "" {
		return ErrNoStream
	}
	delete(v.streams, secret)
	s.queue = nil
	s.end()
	return nil
}

// end ends all streams, after what waits in them; what was on air no longer is.
func (v *viewer) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.setLive(false)
	v.ended = true
	for _, s := range v.streams {
		s.end()
	}
	v.streams = nil
}
