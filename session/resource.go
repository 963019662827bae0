package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"time"
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
	typeJSON     = "application/json"

	// bodyTimeout is how long a body may take to arrive, all of it.
	bodyTimeout = 5 * time.Second
	// deleteMax bounds how long DELETE waits for what the session held.
	deleteMax = 500 * time.Millisecond
)

// ReadOffer reads the body of a POST: media type, size and time are bounded.
// ErrMediaType, ErrTooLarge, ErrTimeout; an *OfferError for a body that breaks
// off.
func ReadOffer(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if !hasMediaType(r, typeSDP) {
		w.Header().Set("Accept-Post", typeSDP)
		return nil, ErrMediaType
	}
	return readBody(w, r, ProblemMalformed)
}

// ReadNoOffer is ReadOffer for where no offer may be sent at all: an empty body
// needs no media type.
func ReadNoOffer(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Type") != "" {
		return ReadOffer(w, r)
	}
	body, err := readBody(w, r, ProblemMalformed)
	if err == nil && len(body) > 0 {
		w.Header().Set("Accept-Post", typeSDP)
		return nil, ErrMediaType
	}
	return body, err
}

// ReadJSON reads the body of a request, JSON or nothing at all. ErrMediaType,
// ErrTooLarge, ErrTimeout; an *OfferError for a body that breaks off.
func ReadJSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := readBody(w, r, ProblemJSON)
	if err == nil && len(body) > 0 && !hasMediaType(r, typeJSON) {
		w.Header().Set("Accept-Post", typeJSON)
		return nil, ErrMediaType
	}
	return body, err
}

// hasMediaType compares media types without case and without parameters (RFC
// 9110 section 8.3.1). A missing one is a wrong one.
func hasMediaType(r *http.Request, want string) bool {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return got == want && (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter))
}

// readBody reads at most maxBody bytes within bodyTimeout, chunked or not.
func readBody(w http.ResponseWriter, r *http.Request, problem string) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, ErrTooLarge // at once: before the client was told to go on
	}
	control := http.NewResponseController(w)
	// A writer that knows no deadlines (in a test, behind a wrapper) has the
	// server's own, so the error says nothing that matters.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		// Room for all of it, and for the read that finds the end; it is bounded above.
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	body := buf.Bytes()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		// The deadline stays, or else the server would wait for the rest of the
		// body before it closes the connection.
		w.Header().Set("Connection", "close")
		return nil, ErrTimeout
	case errors.As(err, &tooLarge):
		return nil, ErrTooLarge
	case err != nil:
		return nil, refuse(problem, "the body broke off after %d bytes", len(body))
	}
	_ = control.SetReadDeadline(time.Time{}) // as above
	return body, nil
}

// WriteCreated answers a POST with 201, Location, ETag and the SDP answer, or in
// a session of ProposeViewer with the offer.
func (t *Table) WriteCreated(w http.ResponseWriter, s *Session) error {
	h := w.Header()
	h.Set("Location", t.SessionURL(s.ID()))
	h.Set("ETag", s.ETag())
	return writeICE(w, http.StatusCreated, typeSDP, s.Answer())
}

// writeICE writes a body that holds ICE credentials.
func writeICE(w http.ResponseWriter, status int, mediaType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("session: write response: %w", err)
	}
	return nil
}

// Patch is trickle ICE or an ICE restart (RFC 9725 section 4.3): 204, or 200
// with the gateway's new credentials and ETag. In a session of ProposeViewer it
// is the answer first: 204; ErrUnanswered for anything else of use. Errors come in the order in
// which the request is looked at: ErrNotFound, ErrRateLimited (Retry-After is
// set), ErrMediaType, ErrTooLarge, ErrTimeout, ErrPreconditionRequired,
// ErrPrecondition, *OfferError. After an error the ICE session goes on as it was.
func (t *Table) Patch(w http.ResponseWriter, r *http.Request, id string) error {
	s, err := t.Find(id)
	if err != nil {
		return err
	}
	if p, ok := s.transport.(*proposal); ok {
		if taken, err := p.patch(w, r); taken {
			return err
		}
	}
	return s.frame.patches.serve(w, r, s)
}

// Delete ends a session (RFC 9725 section 4.2). If-Match is ignored, and a
// session that ended of late is no error: clients close DTLS first and say
// DELETE afterwards.
func (t *Table) Delete(w http.ResponseWriter, r *http.Request, id string) error {
	s, err := t.Find(id)
	switch {
	case err == nil:
		s.Close(CauseDeleted)
	case !t.Ended(id):
		return err
	default:
		s = t.departing(id)
	}
	if s != nil {
		s.await(r.Context(), t.deleteLimit)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// await waits for the end of all that a session held, so that whoever said
// DELETE may publish again at once, but not for longer than limit.
func (s *Session) await(ctx context.Context, limit time.Duration) {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-s.done:
	case <-late.C:
	case <-ctx.Done():
	}
}
