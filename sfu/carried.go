package sfu

import (
	"encoding/hex"
	"strings"

	"github.com/pion/webrtc/v4"
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
	t.sent.Store(&c)
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
