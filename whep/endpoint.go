// Package whep lets viewers play rooms by WHEP (draft-ietf-wish-whep).
//
// An [Endpoint] answers the POST that opens a session; PATCH and DELETE on the
// session URL are package session's. What a session has besides, such as its
// event streams and the choice of a layer (WHEP events and layer selection
// extensions), is here. A [Client] is the other side: it plays
// into a PeerConnection.
package whep

import (
	"context"
	"net/http"
	"time"

	"github.com/sluicemedia/sluice/egress"
	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// Endpoint answers WHEP requests.
type Endpoint struct {
	Rooms    *sfu.Rooms
	Sessions *session.Table

	// CounterOffer answers an offer that cannot be served as it is with 406 and
	// an offer of ours (WHEP section 4.3.2), also when the viewer did not ask for
	// it: many players in use take a 406 for a refusal.
	CounterOffer bool
	// ServerOffer answers an empty POST with an offer of ours, as the first
	// drafts of WHEP had it.
	ServerOffer bool

	viewers viewers
	// Times of event streams; zero means the usual.
	keepaliveGap, countGap time.Duration
}

// Post creates a viewer's session as its labels say; publication "" is the room's program. It
// answers with 201, or with an offer of the gateway's (see CounterOffer and
// ServerOffer), or writes nothing and returns an error: those of
// [session.ReadOffer], [session.Table.Admit], [session.ParseOffer], [sfu.Rooms.Subscribe],
// [session.Table.OpenViewer] and [session.Table.ProposeViewer].
func (e *Endpoint) Post(w http.ResponseWriter, r *http.Request, labels session.Labels) error {
	setup := session.ViewerSetup{
		ID:     e.Sessions.NewID(),
		Labels: labels,
	}
	read := session.ReadOffer
	if e.ServerOffer {
		read = session.ReadNoOffer
	}
	body, err := read(w, r)
	if err != nil {
		return err
	}
	wished := wishesCounterOffer(r.Header)
	s, countered, err := e.begin(r.Context(), body, setup, wished || e.CounterOffer)
	if err != nil {
		return err
	}
	e.addLinks(w.Header(), s.ID())
	if countered {
		if wished {
			w.Header().Set("Preference-Applied", counterOffer)
		}
		err = e.Sessions.WriteCounterOffer(w, s)
	} else {
		err = e.Sessions.WriteCreated(w, s)
	}
	if err != nil {
		s.Close(session.CauseInternal) // its viewer will never know of it
	}
	return err
}

// begin opens a session when its turn comes; countered: by an offer against the
// one that came. The turn ends before anything is written: a client who is slow
// to read must not keep others waiting.
func (e *Endpoint) begin(
	ctx context.Context, body []byte, setup session.ViewerSetup, mayCounter bool,
) (s *session.Session, countered bool, err error) {
	release, err := e.Sessions.Admit(ctx, session.RoleViewer)
	if err != nil {
		return nil, false, err
	}
	defer release()
	if len(body) == 0 && e.ServerOffer {
		s, err = e.propose(setup)
		return s, false, err
	}
	s, err = e.answer(body, setup)
	if mayCounter && mendable(err) {
		s, err = e.propose(setup)
		return s, true, err
	}
	return s, false, err
}

// answer opens a session for an offer.
func (e *Endpoint) answer(body []byte, setup session.ViewerSetup) (*session.Session, error) {
	offer, err := session.ParseOffer(body)
	if err != nil {
		return nil, err
	}
	if err := offer.CheckPlay(); err != nil {
		return nil, err
	}
	return e.open(setup, offer.Played("video"), func(setup session.ViewerSetup) (*session.Session, error) {
		return e.Sessions.OpenViewer(offer, setup)
	})
}

// open subscribes and ties the subscription's life to that of the session that
// begin makes. Video is the number of its section, -1: none.
func (e *Endpoint) open(
	setup session.ViewerSetup, video int, begin func(session.ViewerSetup) (*session.Session, error),
) (*session.Session, error) {
	var s *session.Session
	opened := make(chan struct{}) // closed once s is what it will be
	defer close(opened)
	v := &viewer{id: setup.ID, video: video}
	sub, err := e.Rooms.Subscribe(setup.Labels.Room, setup.Labels.Publication, sfu.SubscriptionConfig{
		Session: session.PublicID(setup.ID),
		Ended: func() {
			<-opened
			v.end()
			if s != nil {
				s.Close(session.CauseRoomEnded)
			}
		},
		OnAir:         v.onAir,
		LayersChanged: v.tellLayers,
	})
	if err != nil {
		return nil, err
	}
	v.sub = sub
	e.viewers.add(v)
	leave := func() {
		e.viewers.remove(v.id)
		v.end()
		sub.Close()
	}
	setup.Prefer = sub.Codecs()
	setup.Connected = func(v *egress.Viewer, sections []session.ViewerSection) {
		sub.Start(sink("audio", v, sections), sink("video", v, sections))
	}
	setup.Diagnose = func(now time.Time) session.Cause { return session.Cause(sub.Diagnose(now)) }
	setup.Closed = func(session.Cause) { leave() }
	if s, err = begin(setup); err != nil {
		s = nil
		leave()
		return nil, err
	}
	return s, nil
}

// sink is where a viewer takes one kind of media, nil when it does not.
func sink(kind string, v *egress.Viewer, sections []session.ViewerSection) *sfu.Sink {
	stream := v.Stream(kind)
	if stream == nil {
		return nil
	}
	for _, section := range sections {
		if section.Kind == kind {
			return &sfu.Sink{Stream: stream, Format: section.Format}
		}
	}
	return nil
}
