// Package whip lets publishers into rooms by WHIP (RFC 9725).
//
// An [Endpoint] answers the POST that opens a session; PATCH and DELETE on the
// session URL are package session's. A [Client] is the other side: it publishes
// from a PeerConnection.
package whip

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

// mainPublication is the name of a publication that was not named.
const mainPublication = "main"

// Endpoint answers WHIP requests.
type Endpoint struct {
	Rooms    *sfu.Rooms
	Sessions *session.Table
}

// Post creates a publisher's session as its labels say; publication "" is "main". It
// answers with 201, or writes nothing and returns an error: those of
// [session.ReadOffer], [session.Table.Admit], [session.ParseOffer], [sfu.Rooms.Publish] and
// [session.Table.OpenPublisher].
func (e *Endpoint) Post(w http.ResponseWriter, r *http.Request, labels session.Labels) error {
	if labels.Publication == "" {
		labels.Publication = mainPublication
	}
	body, err := session.ReadOffer(w, r)
	if err != nil {
		return err
	}
	s, err := e.begin(r.Context(), body, session.PublisherSetup{
		ID:     e.Sessions.NewID(),
		Labels: labels,
		Remote: remote(r),
	})
	if err != nil {
		return err
	}
	if err := e.Sessions.WriteCreated(w, s); err != nil {
		s.Close(session.CauseInternal) // its publisher will never know of it
		return err
	}
	return nil
}

// begin opens a session for an offer when its turn comes. The turn ends before
// anything is written: a client who is slow to read must not keep others waiting.
func (e *Endpoint) begin(ctx context.Context, body []byte, setup session.PublisherSetup) (*session.Session, error) {
	release, err := e.Sessions.Admit(ctx, session.RolePublisher)
	if err != nil {
		return nil, err
	}
	defer release()
	offer, err := session.ParseOffer(body)
	if err != nil {
		return nil, err
	}
	if err := offer.CheckPublish(); err != nil {
		return nil, err
	}
	return e.open(offer, setup)
}

// open claims the publication and ties the claim's life to the session's.
func (e *Endpoint) open(offer *session.Offer, setup session.PublisherSetup) (*session.Session, error) {
	var s *session.Session
	opened := make(chan struct{}) // closed once s is what it will be
	defer close(opened)
	end := func(c session.Cause) {
		<-opened
		if s != nil {
			s.Close(c)
		}
	}
	claim, err := e.Rooms.Publish(setup.Labels.Room, setup.Labels.Publication, sfu.ClaimConfig{
		Session:  session.PublicID(setup.ID),
		Identity: setup.Labels.Identity,
		Name:     setup.Labels.Name,
		Video:    slices.ContainsFunc(offer.Sections, func(s session.Section) bool { return s.Kind == "video" }),
		Ended: func(why sfu.EndReason) {
			switch why {
			case sfu.EndReplaced:
				end(session.CauseReplaced)
			case sfu.EndRoomEnded:
				end(session.CauseRoomEnded)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	setup.Connected = func() error {
		err := claim.Start()
		switch {
		case errors.Is(err, sfu.ErrPublicationBusy):
			end(session.CauseBusy)
		case errors.Is(err, sfu.ErrClosed):
			return nil // Ended says why
		}
		return err
	}
	setup.Diagnose = func(now time.Time) session.Cause { return session.Cause(claim.Diagnose(now)) }
	setup.Track = func(in *session.IncomingTrack) {
		track, err := claim.AddTrack(sfu.TrackConfig{
			Kind:       in.Kind,
			Codec:      in.Codec,
			SSRC:       in.SSRC,
			RID:        in.RID,
			Extensions: in.Extensions,
		}, in)
		switch {
		case errors.Is(err, sfu.ErrTooMany):
			end(session.CauseTooMany)
			return
		case err != nil:
			end(session.CauseInternal) // a track that nobody reads is no use
			return
		}
		in.OnSenderReport = track.SenderReport
	}
	setup.Closed = func(session.Cause) { claim.Close() }
	if s, err = e.Sessions.OpenPublisher(offer, setup); err != nil {
		s = nil
		claim.Close()
		return nil, err
	}
	return s, nil
}

// remote is where a request came from; the zero Addr when that is not known.
func remote(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap()
}
