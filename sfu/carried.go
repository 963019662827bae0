package sfu

import (
	"encoding/hex"
	"strings"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/egress"
)

// carried is the codec of the track as it is sent. What a publisher announces is
// not always that (OBS announces H264 42e01f whatever it encodes), and viewers'
// payload types are chosen by it.
func (t *Track) carried() webrtc.RTPCodecCapability {
	if c := t.sent.Load(); c != nil {
		return *c
	}
	return t.cfg.Codec
}

// carry takes note of the profile of an H264 sequence parameter set: the three
// octets behind its first (RFC 6184 section 8.1).
func (t *Track) carry(sps []byte) {
	if len(sps) < 4 {
		return
	}
	c := t.cfg.Codec
	c.SDPFmtpLine = withProfile(c.SDPFmtpLine, hex.EncodeToString(sps[1:4]))
	// The first time alone: encoders keep their profile, and one that does not
	// must not make work for each viewer again and again.
	t.toReformat = t.toReformat || t.sent.Load() == nil
	t.sent.Store(&c)
}

// reformat gives those viewers another payload type who were there before it
// was known what the track carries, and have one that fits better.
func (t *Track) reformat() {
	t.toReformat = false
	r := t.claim.room
	r.mu.Lock()
	defer r.leaveSoon()
	for s := range r.subscriptions {
		to := &s.sinks[t.kind]
		if !to.bound || to.track != t {
			continue
		}
		if f, ok := to.format(t.carried()); ok {
			t.setFormat(to.seat, f)
		}
	}
}

// setFormat lets a viewer begin anew in another format.
func (t *Track) setFormat(at *seat, f egress.Format) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v := &t.targets[at.index]; v.format != f {
		v.format, v.promised = f, false
		v.out.Bind(t, f, t.cache.lend())
	}
}

// withProfile is an fmtp line with another profile-level-id.
func withProfile(fmtp, profile string) string {
	const key = "profile-level-id"
	parts := []string{key + "=" + profile}
	for part := range strings.SplitSeq(fmtp, ";") {
		part = strings.TrimSpace(part)
		if name, _, _ := strings.Cut(part, "="); part != "" && !strings.EqualFold(strings.TrimSpace(name), key) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ";")
}
