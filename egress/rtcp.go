package egress

import (
	"encoding/binary"
	"errors"
	"time"
)

var errNoKeys = errors.New("egress: RTCP before the keys")

// HandleRTCP opens one SRTCP datagram of the viewer, where it lies, and acts on
// it: NACKs are answered, keyframe requests go to the bound source, reports feed
// the statistics. What the datagram holds afterwards is undefined. Once it
// returned nil, the viewer has proven to hold the keys. It does not allocate.
func (v *Viewer) HandleRTCP(datagram []byte) error {
	return v.handleRTCP(datagram, time.Now())
}

// handleRTCP takes Viewer.mu once, but for NACKs.
func (v *Viewer) handleRTCP(datagram []byte, now time.Time) error {
	var do todo
	v.mu.Lock()
	plain, err := v.openRTCP(datagram)
	if err == nil {
		err = v.heed(plain, &do, now)
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		v.stats.Refused++
	}
	v.mu.Unlock()
	for _, src := range do.ask {
		if src != nil {
			src.RequestKeyframe()
		}
	}
	for b := do.nacks; len(b) > 0; {
		f, rest, err := nextFeedback(b)
		if err != nil {
			break // it was refused
		}
		if f.kind == feedbackLost {
			v.answer(f.media, nackPairs{pairs: f.blocks}, now)
		}
		b = rest
	}
	return err
}

// openRTCP decrypts a datagram. Called with Viewer.mu held.
func (v *Viewer) openRTCP(datagram []byte) ([]byte, error) {
	switch {
	case v.stopped:
		return nil, ErrClosed
	case v.open.cipher == nil:
		return nil, errNoKeys
	}
	return v.open.open(datagram)
}

// maxStreams is how many streams a viewer has at most: one of a kind.
const maxStreams = 2

// todo is what a datagram asks for that cannot be done with Viewer.mu held.
type todo struct {
	// ask are the sources to be asked for a keyframe, each once whatever the
	// number of requests, by stream.
	ask   [maxStreams]Source
	nacks []byte // the datagram from its first NACK on
}

// heed acts on each packet of a compound, or of a datagram of reduced size, as
// it is found; at the first malformed one it stops with an error. Called with
// Viewer.mu held.
func (v *Viewer) heed(plain []byte, do *todo, now time.Time) error {
	if len(plain) == 0 {
		return errEmpty
	}
	for len(plain) > 0 {
		f, rest, err := nextFeedback(plain)
		if err != nil {
			return err
		}
		switch f.kind {
		case feedbackNone:
		case feedbackReports:
			for b := f.blocks; len(b) > 0; b = b[reportBlock:] {
				v.reported(readReport(b), now)
			}
		case feedbackLost:
			if do.nacks == nil {
				do.nacks = plain
			}
		case feedbackPicture:
			v.requested(f.media, do)
		case feedbackIntra:
			for b := f.blocks; len(b) > 0; b = b[firEntry:] {
				v.requested(binary.BigEndian.Uint32(b), do)
			}
		case feedbackTransport:
			v.steer(f.transport, now)
		}
		plain = rest
	}
	return nil
}

// requested notes a keyframe request for the source that is bound to an outgoing
// SSRC. Called with Viewer.mu held.
func (v *Viewer) requested(media uint32, do *todo) {
	for i, s := range v.streams {
		if s.ssrc != media {
			continue
		}
		v.stats.KeyframeRequests++
		if s.current != nil && i < len(do.ask) {
			do.ask[i] = s.current.source
		}
		return
	}
}

// steer gives transport-wide feedback to the catch-up that it tells of. Called
// with Viewer.mu held.
func (v *Viewer) steer(f transportFeedback, now time.Time) {
	for _, s := range v.streams {
		if s.catchup == nil || s.catchup.log == nil || !s.catchup.running {
			continue
		}
		if r, ok := s.catchup.log.report(f); ok {
			s.catchup.control.observe(r, now)
		}
	}
}
