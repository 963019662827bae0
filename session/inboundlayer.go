package session

import "github.com/pion/rtp"

// reach is how far the number of a repaired packet may lie behind the newest
// of the stream that it belongs to.
const reach = 1024

// layer tells which layer a packet of an SSRC not seen before begins, nil when
// it does not say. Publishers say it with the first packets of a stream only
// (RFC 8852 section 3.3), so what came before them is lost and asked for again.
func (s *inboundSection) layer(h *rtp.Header) *inboundLayer {
	if first := s.layers[0]; first.rid == "" {
		return first
	}
	return s.named(h, s.ridID)
}

// named finds the layer that a header extension names.
func (s *inboundSection) named(h *rtp.Header, id uint8) *inboundLayer {
	if id == 0 {
		return nil
	}
	rid := h.GetExtension(id)
	for _, l := range s.layers {
		if len(rid) > 0 && string(rid) == l.rid {
			return l
		}
	}
	return nil
}

// repaired tells which track a retransmission belongs to, nil when that is not
// known: by its SSRC, by the rid that it repairs, or else, as RFC 4588 section
// 5.3 has it, by the number that was asked for.
func (s *inboundSection) repaired(h *rtp.Header, number uint16) *IncomingTrack {
	if only := s.layers[0]; only.rid == "" {
		if only.rtxSSRC != 0 && only.rtxSSRC != h.SSRC {
			return nil
		}
		return only.track
	}
	for _, l := range s.layers {
		if l.rtxSSRC == h.SSRC {
			return l.track
		}
	}
	l := s.named(h, s.repairedID)
	if l == nil {
		l = s.associated(number)
	}
	if l == nil {
		return nil
	}
	l.rtxSSRC = h.SSRC
	return l.track
}

// associated is the one layer among whose recent numbers this is, nil when
// none or several could be meant.
func (s *inboundSection) associated(number uint16) (found *inboundLayer) {
	for _, l := range s.layers {
		if l.rtxSSRC != 0 || l.track == nil || !l.track.reception.recent(number) {
			continue
		}
		if found != nil {
			return nil
		}
		found = l
	}
	return found
}

// recent tells whether a number is one of the last that were received.
func (r *reception) recent(number uint16) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.started && uint16(r.highest)-number < reach
}
