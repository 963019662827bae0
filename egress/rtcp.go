package egress

import (
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtcp"
)

var (
	errNoKeys   = errors.New("egress: RTCP before the keys")
	errCompound = errors.New("egress: malformed RTCP compound packet")
)

// HandleRTCP opens one SRTCP datagram of the viewer and acts on it: NACKs are
// answered, keyframe requests go to the bound source, reports feed the
// statistics. Once it returned nil, the viewer has proven to hold the keys.
func (v *Viewer) HandleRTCP(datagram []byte) error {
	err := v.handleRTCP(datagram, time.Now())
	if err != nil && !errors.Is(err, ErrClosed) {
		v.mu.Lock()
		v.stats.Refused++
		v.mu.Unlock()
	}
	return err
}

func (v *Viewer) handleRTCP(datagram []byte, now time.Time) error {
	buf, _ := v.plane.buffers.Get().(*[bufferSize]byte)
	defer v.plane.buffers.Put(buf)
	plain, err := v.openRTCP(buf, datagram)
	if err != nil {
		return err
	}
	return parseFeedback(plain, feedbackActions{
		nack:     func(media uint32, lost []rtcp.NackPair) { v.answer(media, lost, now) },
		keyframe: v.requestKeyframe,
		reports:  func(r []rtcp.ReceptionReport) { v.reported(r, now) },
		transport: func(f transportFeedback) {
			v.steer(f, now)
		},
	})
}

func (v *Viewer) openRTCP(buf *[bufferSize]byte, datagram []byte) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.stopped:
		return nil, ErrClosed
	case v.open.cipher == nil:
		return nil, errNoKeys
	}
	return v.open.open(buf[:0], datagram)
}

// feedbackActions are called for what is found in a compound packet. What they
// are given is valid during the call only.
type feedbackActions struct {
	nack      func(media uint32, lost []rtcp.NackPair)
	keyframe  func(media uint32)
	reports   func([]rtcp.ReceptionReport)
	transport func(transportFeedback)
}

// parseFeedback walks a decrypted RTCP packet, compound or of reduced size (RFC
// 5506). It acts on each part as it is found; at the first malformed one it
// stops with an error. Types that do not matter to a sender are skipped.
func parseFeedback(b []byte, do feedbackActions) error {
	if len(b) == 0 {
		return errCompound
	}
	for len(b) > 0 {
		var h rtcp.Header
		if err := h.Unmarshal(b); err != nil {
			return fmt.Errorf("%w: %w", errCompound, err)
		}
		n := (int(h.Length) + 1) * 4
		if n > len(b) {
			return errCompound
		}
		if err := parsePart(h, b[:n], do); err != nil {
			return fmt.Errorf("%w: %w", errCompound, err)
		}
		b = b[n:]
	}
	return nil
}

// parsePart acts on one packet of a compound.
func parsePart(h rtcp.Header, b []byte, do feedbackActions) error {
	switch {
	case h.Type == rtcp.TypeReceiverReport:
		var p rtcp.ReceiverReport
		if err := p.Unmarshal(b); err != nil {
			return err
		}
		do.reports(p.Reports)
	case h.Type == rtcp.TypeSenderReport:
		var p rtcp.SenderReport
		if err := p.Unmarshal(b); err != nil {
			return err
		}
		do.reports(p.Reports)
	case h.Type == rtcp.TypeTransportSpecificFeedback && h.Count == rtcp.FormatTLN:
		var p rtcp.TransportLayerNack
		if err := p.Unmarshal(b); err != nil {
			return err
		}
		do.nack(p.MediaSSRC, p.Nacks)
	case h.Type == rtcp.TypeTransportSpecificFeedback && h.Count == rtcp.FormatTCC:
		f, err := parseTransportFeedback(b)
		if err != nil {
			return err
		}
		do.transport(f)
	case h.Type == rtcp.TypePayloadSpecificFeedback && h.Count == rtcp.FormatPLI:
		var p rtcp.PictureLossIndication
		if err := p.Unmarshal(b); err != nil {
			return err
		}
		do.keyframe(p.MediaSSRC)
	case h.Type == rtcp.TypePayloadSpecificFeedback && h.Count == rtcp.FormatFIR:
		var p rtcp.FullIntraRequest
		if err := p.Unmarshal(b); err != nil {
			return err
		}
		for _, e := range p.FIR { // RFC 5104 section 4.3.1.1: the media SSRC is in the entries
			do.keyframe(e.SSRC)
		}
	case h.Type == rtcp.TypePayloadSpecificFeedback && h.Count == rtcp.FormatREMB:
		var p rtcp.ReceiverEstimatedMaximumBitrate // nothing acts on it yet; malformed is refused
		return p.Unmarshal(b)
	}
	return nil
}

// requestKeyframe asks the source that is bound to an outgoing SSRC.
func (v *Viewer) requestKeyframe(media uint32) {
	v.mu.Lock()
	var src Source
	if s := v.streamOf(media); s != nil {
		v.stats.KeyframeRequests++
		if s.current != nil {
			src = s.current.source
		}
	}
	v.mu.Unlock()
	if src != nil {
		src.RequestKeyframe()
	}
}

// steer gives transport-wide feedback to the catch-up that it tells of.
func (v *Viewer) steer(f transportFeedback, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.streams {
		if s.catchup == nil || s.catchup.log == nil || !s.catchup.running {
			continue
		}
		if r, ok := s.catchup.log.report(f); ok {
			s.catchup.control.observe(r, now)
		}
	}
}
