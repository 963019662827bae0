package mutant

import (
	"net/http"
	"slices"
	"strings"
)

const someFingerprint = "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

// offering is a fault that takes offers it should refuse: it makes them right
// before the backend sees them, and the answer fit what was offered.
func offering(protocol string, change func(*description) bool, answer func(*description)) behaviour {
	return behaviour{
		before: func(x *exchange) {
			if x.protocol == protocol {
				x.editOffer(func(d *description) bool {
					x.changed = change(d)
					return x.changed
				})
			}
		},
		after: func(x *exchange) {
			if x.changed && answer != nil {
				x.editAnswer(answer)
			}
		},
	}
}

// folding is a fault that takes sections it should refuse: those that extra
// picks are kept from the backend, and answered with what like makes of them
// and of the answer.
func folding(protocol string, extra func(d *description, i int) bool, like func(answer *description, section []string) []string) behaviour {
	type folded struct {
		at      int
		section []string
	}
	return behaviour{
		before: func(x *exchange) {
			if x.protocol != protocol {
				return
			}
			var list []folded
			x.editOffer(func(d *description) bool {
				for i := range slices.Backward(d.media) {
					if extra(d, i) {
						list = append(list, folded{i, d.take(i)})
					}
				}
				return len(list) > 0
			})
			x.unfold = func(d *description) {
				for _, f := range slices.Backward(list) {
					d.insert(f.at, like(d, f.section))
				}
			}
		},
		after: func(x *exchange) {
			if x.unfold != nil {
				x.editAnswer(x.unfold)
			}
		},
	}
}

// anotherVideo picks video sections that are not the first.
func anotherVideo(d *description, i int) bool {
	first := slices.IndexFunc(d.media, func(m []string) bool { return kindOf(m) == "video" })
	return kindOf(d.media[i]) == "video" && i != first
}

// asFirstVideo answers a section as the first of its kind was answered.
func asFirstVideo(d *description, section []string) []string {
	i := slices.IndexFunc(d.media, func(m []string) bool { return kindOf(m) == kindOf(section) })
	if i < 0 {
		return []string{section[0]}
	}
	twin := slices.DeleteFunc(slices.Clone(d.media[i]), func(line string) bool {
		return strings.HasPrefix(line, "a=ssrc") || strings.HasPrefix(line, "a=candidate:")
	})
	for j, line := range twin {
		if strings.HasPrefix(line, "a=mid:") {
			twin[j] = "a=mid:" + valueOf(section, "a=mid:")
		}
	}
	return twin
}

// isForeign tells whether a section has no codec that anybody carries.
func isForeign(d *description, i int) bool {
	if valueOf(d.media[i], "a=rtpmap:") == "" {
		return false
	}
	for _, line := range d.media[i] {
		for _, name := range []string{"opus", "h264", "vp8", "vp9", "av1", "h265", "pcmu", "pcma", "g722"} {
			if strings.HasPrefix(line, "a=rtpmap:") && strings.Contains(strings.ToLower(line), " "+name+"/") {
				return false
			}
		}
	}
	return kindOf(d.media[i]) == "audio" || kindOf(d.media[i]) == "video"
}

// useless tells whether a text has a candidate that nobody can use: of a name,
// or of a transport that is not there.
func useless(text string) bool {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "a=candidate:") && len(fields) > 4 {
			if strings.HasSuffix(fields[4], ".local") || strings.EqualFold(fields[2], "sctp") {
				return true
			}
		}
	}
	return false
}

func offerFaults() map[string]behaviour {
	partial := folding("WHIP", isForeign, func(_ *description, section []string) []string {
		fields := strings.Fields(section[0])
		fields[1] = "0"
		return []string{strings.Join(fields, " "), "c=IN IP4 0.0.0.0", "a=mid:" + valueOf(section, "a=mid:"), "a=inactive"}
	})
	return map[string]behaviour{
		"recvonly-taken": offering("WHIP",
			func(d *description) bool { return d.swap("a=recvonly", "a=sendonly") },
			func(d *description) { d.swap("a=recvonly", "a=sendonly") }),
		"inactive-taken": offering("WHIP", func(d *description) bool { return d.swap("a=inactive", "a=sendonly") }, nil),
		"two-videos":     folding("WHIP", anotherVideo, asFirstVideo),
		"two-streams": offering("WHIP", func(d *description) bool {
			first, _, _ := strings.Cut(d.first("a=msid:"), " ")
			return d.edit(func(line string) string {
				if v, ok := strings.CutPrefix(line, "a=msid:"); ok {
					_, track, _ := strings.Cut(v, " ")
					return strings.TrimSpace("a=msid:" + first + " " + track)
				}
				return line
			})
		}, nil),
		"no-bundle": offering("WHIP", func(d *description) bool {
			if len(d.media) < 2 || d.first("a=group:BUNDLE") != "" || slices.Contains(d.mids(), "") {
				return false
			}
			d.bundle()
			return true
		}, nil),
		"no-mux": offering("WHIP", func(d *description) bool {
			if d.has("a=rtcp-mux") || len(d.media) == 0 {
				return false
			}
			d.add("a=rtcp-mux")
			return true
		}, nil),
		"active-refused": behaviour{after: func(x *exchange) {
			if x.created() && parse(string(x.body)).has("a=setup:active") {
				x.fail(http.StatusInternalServerError, "internal")
			}
		}}.excused("their client is active", "WHIP-RTP-01", "WHIP-RTP-04"),
		"no-fingerprint": offering("WHIP", func(d *description) bool {
			if d.first("a=fingerprint:") != "" || d.first("a=ice-ufrag:") == "" {
				return false
			}
			d.add("a=fingerprint:" + someFingerprint)
			return true
		}, nil),
		"short-ufrag": offering("WHIP", func(d *description) bool {
			u := d.first("a=ice-ufrag:")
			return u != "" && len(u) < 4 && d.set("a=ice-ufrag:", u+"long")
		}, nil),
		"partial-answer": partial,
		"mdns-refused": {after: func(x *exchange) {
			if x.created() && useless(string(x.body)) {
				x.fail(http.StatusBadRequest, "sdp-malformed")
			}
		}},
	}
}
