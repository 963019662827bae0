package session

import "slices"

// What is carried, in words for clients.
const (
	audioCodecs = "Opus, G722, PCMU or PCMA"
	videoCodecs = "H264, H265, VP8, VP9 or AV1"
)

// CheckPublish applies the rules of RFC 9725 section 4.2 and 4.4 for offers of
// publishers. An offer is taken as a whole or not at all (section 4.4.3).
func (o *Offer) CheckPublish() error {
	seen := map[string]bool{}
	var stream string
	for _, s := range o.Sections {
		switch {
		case !s.isMedia():
			return refuse(ProblemNoCommonCodec, "section %q is m=%s; offer one audio and one video section at most, and no data channel", s.MID, s.Kind)
		case s.disabled:
			return refuse(ProblemDirection, "section %q is switched off (port 0 without a=bundle-only); leave it out or make it sendonly", s.MID)
		case s.Direction != "sendonly" && s.Direction != "sendrecv":
			return refuse(ProblemDirection, "section %q is %s; a publisher's sections are sendonly", s.MID, s.Direction)
		case seen[s.Kind]:
			return refuse(ProblemTooManyTracks, "the offer has two %s sections; send one track of a kind, others as publications of their own", s.Kind)
		case len(s.Codecs) == 0:
			return refuse(ProblemNoCommonCodec, "section %q offers no codec that is carried here; offer %s", s.MID, codecsFor(s.Kind))
		}
		seen[s.Kind] = true
		for _, id := range s.StreamIDs {
			if stream != "" && id != stream {
				return refuse(ProblemMultipleStreams, "the tracks belong to several MediaStreams (a=msid); put them into one")
			}
			stream = id
		}
	}
	return nil
}

// CheckPlay applies the WHEP rules for offers of viewers (draft-ietf-wish-whep
// section 4.3.5). Sections beyond one of a kind are no error: they are answered
// with port 0.
func (o *Offer) CheckPlay() error {
	for _, s := range o.Sections {
		if s.isMedia() && !s.disabled && s.Direction != "recvonly" && s.Direction != "sendrecv" {
			return refuse(ProblemDirection, "section %q is %s; a viewer's sections are recvonly", s.MID, s.Direction)
		}
	}
	if !slices.ContainsFunc(o.Sections, func(s Section) bool { return s.isMedia() && !s.disabled }) {
		return refuse(ProblemNoCommonCodec, "the offer asks for neither audio nor video")
	}
	if len(o.played()) == 0 {
		return refuse(ProblemNoCommonCodec, "the offer has no codec that is carried here; offer %s, and %s", videoCodecs, audioCodecs)
	}
	return nil
}

func codecsFor(kind string) string {
	if kind == "audio" {
		return audioCodecs
	}
	return videoCodecs
}

// Played is the number of the section that a viewer is served a kind of media
// on, counted from 0; -1: none.
func (o *Offer) Played(kind string) int {
	for _, i := range o.played() {
		if o.Sections[i].Kind == kind {
			return i
		}
	}
	return -1
}

// played are the indices of the sections that a viewer is served on: the first
// usable one of each kind. It depends on the offer alone, so that a restart
// finds the same ones again.
func (o *Offer) played() []int {
	seen := map[string]bool{}
	var out []int
	for i, s := range o.Sections {
		if s.isMedia() && !s.disabled && len(s.Codecs) > 0 && !seen[s.Kind] {
			seen[s.Kind] = true
			out = append(out, i)
		}
	}
	return out
}
