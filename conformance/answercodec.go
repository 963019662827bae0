package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	fingerprintForm = regexp.MustCompile(`(?i)^sha-(256|384|512) [0-9A-F]{2}(:[0-9A-F]{2}){31,63}$`)
	iceChars        = regexp.MustCompile(`^[A-Za-z0-9+/]+$`)
)

// eachPair calls f with the sections of offer and answer that belong together
// and were accepted.
func eachPair(offer, answer *description, f func(i int, o, a *section)) {
	for i := range min(len(offer.sections), len(answer.sections)) {
		if a := &answer.sections[i]; !a.rejected() {
			f(i, &offer.sections[i], a)
		}
	}
}

// payloadFaults wants only payload types of the offer, for the same codec, and
// repair only for what is kept.
func payloadFaults(offer, answer *description) []string {
	var faults []string
	eachPair(offer, answer, func(i int, o, a *section) {
		add := func(format string, args ...any) {
			faults = append(faults, fmt.Sprintf("section %d: ", i)+fmt.Sprintf(format, args...))
		}
		media := 0
		for _, pt := range a.formats {
			if !slices.Contains(o.formats, pt) {
				add("expected payload types of %v, got %s", o.formats, pt)
				continue
			}
			if got, want := mapping(a, pt), mapping(o, pt); got != "" && got != want {
				add("expected payload type %s to be %q, got %q", pt, want, got)
			}
			if isMedia(o.codec(pt)) || o.codec(pt) == "" {
				media++
			}
			apt, repairs := a.parameters(pt)["apt"]
			switch {
			case repairs && !slices.Contains(a.formats, apt):
				add("expected repair of a payload type that is kept, got %s for %s", pt, apt)
			case o.codec(pt) == "RTX" && !repairs:
				add("expected an apt for the repair %s, got none", pt)
			}
		}
		if media == 0 {
			add("expected a codec that carries media, got %v", a.formats)
		}
		for _, name := range []string{"rtpmap", "fmtp", "rtcp-fb"} {
			for _, v := range a.values(name) {
				if pt, _, _ := strings.Cut(v, " "); pt != "*" && !slices.Contains(a.formats, pt) {
					add("expected %s for the payload types %v, got one for %s", name, a.formats, pt)
				}
			}
		}
	})
	return faults
}

// mapping is the rtpmap of a payload type without case; one channel is the default.
func mapping(s *section, format string) string {
	for _, v := range s.values("rtpmap") {
		if pt, rest, _ := strings.Cut(v, " "); pt == format {
			text := strings.ToUpper(strings.TrimSpace(rest))
			if strings.Count(text, "/") == 2 {
				text = strings.TrimSuffix(text, "/1")
			}
			return text
		}
	}
	return ""
}

// subsetFaults wants feedback, header extensions, parameters that have to agree
// and rtcp-rsize only as they were offered.
func subsetFaults(offer, answer *description) []string {
	var faults []string
	eachPair(offer, answer, func(i int, o, a *section) {
		for _, f := range slices.Concat(feedbackFaults(o, a), extensionFaults(offer, o, a), parameterFaults(o, a)) {
			faults = append(faults, fmt.Sprintf("section %d: %s", i, f))
		}
		if a.has("rtcp-rsize") && !o.has("rtcp-rsize") {
			faults = append(faults, fmt.Sprintf("section %d: expected no rtcp-rsize, since none was offered", i))
		}
		if a.has("rtcp") && len(answer.bundles()) > 0 {
			faults = append(faults, fmt.Sprintf("section %d: expected no a=rtcp line in a bundled section, got %q", i, a.value("rtcp")))
		}
	})
	return faults
}

// feedbackFaults wants each kind of feedback to have been offered for its payload type.
func feedbackFaults(o, a *section) []string {
	offered := o.values("rtcp-fb")
	var faults []string
	for _, v := range a.values("rtcp-fb") {
		pt, kind, _ := strings.Cut(v, " ")
		formats := []string{pt}
		if pt == "*" {
			formats = a.formats
		}
		for _, f := range formats {
			if !slices.Contains(offered, f+" "+kind) && !slices.Contains(offered, "* "+kind) {
				faults = append(faults, fmt.Sprintf("expected only feedback that was offered, got %q for payload type %s", kind, f))
			}
		}
	}
	return faults
}

// extensionFaults wants header extensions of the offer, under its numbers.
func extensionFaults(offer *description, o, a *section) []string {
	split := func(v string) (id, uri string) {
		f := strings.Fields(v)
		if len(f) < 2 {
			return v, ""
		}
		id, _, _ = strings.Cut(f[0], "/")
		return id, f[1]
	}
	offered := map[string]string{}
	for _, v := range offer.inherited(o, "extmap") {
		id, uri := split(v)
		offered[uri] = id
	}
	var faults []string
	for _, v := range a.values("extmap") {
		id, uri := split(v)
		if want, ok := offered[uri]; !ok || want != id {
			faults = append(faults, fmt.Sprintf("expected header extensions as offered, got %q (offered as %q)", v, want))
		}
	}
	if a.has("extmap-allow-mixed") && len(offer.inherited(o, "extmap-allow-mixed")) == 0 && !offer.has("extmap-allow-mixed") {
		faults = append(faults, "expected no extmap-allow-mixed, since none was offered")
	}
	return faults
}

// parameterFaults wants the parameters that both sides have in common to agree:
// the others say what each receiver can do, and are its own affair.
func parameterFaults(o, a *section) []string {
	var faults []string
	for _, pt := range a.formats {
		if !slices.Contains(o.formats, pt) {
			continue
		}
		want, got := o.parameters(pt), a.parameters(pt)
		keys := map[string]string{} // with what silence means
		switch o.codec(pt) {
		case "H264":
			keys["packetization-mode"] = "0"
			if w, g := profileH264(want["profile-level-id"]), profileH264(got["profile-level-id"]); w != g {
				faults = append(faults, fmt.Sprintf("expected the H264 profile of %q for %s, got %q", want["profile-level-id"], pt, got["profile-level-id"]))
			}
		case "VP9":
			keys["profile-id"] = "0"
		case "AV1":
			keys["profile"] = "0"
		case "RTX":
			keys["apt"] = ""
		}
		for key, silence := range keys {
			if w, g := or(want[key], silence), or(got[key], silence); w != g {
				faults = append(faults, fmt.Sprintf("expected %s=%s for payload type %s, got %s", key, w, pt, g))
			}
		}
	}
	return faults
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// profileH264 is the profile of a profile-level-id (RFC 6184 section 8.1), with
// the ways to write constrained baseline made one.
func profileH264(id string) string {
	if len(id) != 6 {
		return "42 baseline" // what silence means
	}
	idc, flags := strings.ToLower(id[:2]), strings.ToLower(id[2:4])
	set := func(bit byte) bool {
		digit := strings.IndexByte("0123456789abcdef", flags[0])
		return digit >= 0 && byte(digit)<<4&bit != 0
	}
	switch {
	case idc == "42" && set(0x40), idc == "4d" && set(0x80), idc == "58" && set(0x80) && set(0x40):
		return "42 constrained baseline"
	case idc == "42", idc == "58" && set(0x80):
		return "42 baseline"
	case idc == "4d":
		return "4d main"
	}
	return idc + " " + flags
}

// primaryFaults wants one codec that carries media in each section.
func primaryFaults(answer *description) []string {
	var faults []string
	for i := range answer.sections {
		s := &answer.sections[i]
		if s.kind != "video" || s.rejected() {
			continue
		}
		var kept []string
		for _, pt := range s.formats {
			if isMedia(s.codec(pt)) {
				kept = append(kept, pt+" "+s.codec(pt))
			}
		}
		if len(kept) != 1 {
			faults = append(faults, fmt.Sprintf("section %d: expected one video codec to be kept, got %v", i, kept))
		}
	}
	return faults
}
