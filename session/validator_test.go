package session_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// judged is an SDP as the validator reads it: lines, and no parser of ours or
// of pion's.
type judged struct {
	session  []string
	sections []judgedSection
}

type judgedSection struct {
	kind, port, proto string
	formats           []string
	lines             []string // "a=mid:0", "c=..."
}

func readJudged(text string) (j judged) {
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		switch {
		case line == "":
		case strings.HasPrefix(line, "m="):
			f := strings.Fields(line[2:])
			f = append(f, make([]string, max(0, 3-len(f)))...)
			j.sections = append(j.sections, judgedSection{kind: f[0], port: f[1], proto: f[2], formats: f[3:]})
		case len(j.sections) == 0:
			j.session = append(j.session, line)
		default:
			s := &j.sections[len(j.sections)-1]
			s.lines = append(s.lines, line)
		}
	}
	return j
}

// all are the values of an attribute; has tells of one without a value too.
func all(lines []string, key string) (values []string) {
	for _, line := range lines {
		if name, value, _ := strings.Cut(line, ":"); name == "a="+key {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

func one(lines []string, key string) string {
	if v := all(lines, key); len(v) > 0 {
		return v[0]
	}
	return ""
}

func has(lines []string, key string) bool { return len(all(lines, key)) > 0 }

// validator compares an answer with its offer by the rows of RFC 9725 and of the
// WHEP draft, and collects what it finds.
type validator struct {
	offer, answer judged
	viewer        bool // the answer is for a viewer
	faults        []string
}

func (v *validator) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

func validate(offer, answer string, viewer bool) []string {
	v := &validator{offer: readJudged(offer), answer: readJudged(answer), viewer: viewer}
	v.frame(answer)
	if len(v.offer.sections) != len(v.answer.sections) {
		v.fault("%d sections are answered by %d", len(v.offer.sections), len(v.answer.sections))
		return v.faults
	}
	var accepted []string
	kinds := map[string]bool{}
	for i, a := range v.answer.sections {
		o := v.offer.sections[i]
		mid := one(a.lines, "mid")
		if a.kind != o.kind || a.proto != o.proto || mid != one(o.lines, "mid") {
			v.fault("section %d is %s %s %q, offered was %s %s %q", i, a.kind, a.proto, mid, o.kind, o.proto, one(o.lines, "mid"))
		}
		if !slices.ContainsFunc(a.lines, func(l string) bool { return strings.HasPrefix(l, "c=IN IP") }) {
			v.fault("section %d has no c=", i)
		}
		if a.port == "0" {
			if !viewer {
				v.fault("section %d of a publisher is rejected", i)
			}
			continue
		}
		if kinds[a.kind] {
			v.fault("two %s sections are accepted", a.kind)
		}
		kinds[a.kind] = true
		accepted = append(accepted, mid)
		v.transport(i)
		v.media(i)
	}
	v.bundle(accepted)
	v.candidates()
	v.streams()
	return v.faults
}

// frame checks WHIP-ANS-08, -11, -14 and -19.
func (v *validator) frame(text string) {
	if !strings.HasPrefix(text, "v=0\r\no=- ") || !strings.Contains(text, "\r\nt=0 0\r\n") || !strings.Contains(text, "\r\ns=-\r\n") {
		v.fault("v=, o=, s= or t= is not as it should be")
	}
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") || !strings.HasSuffix(text, "\r\n") {
		v.fault("a line does not end with CRLF")
	}
	if len(text) > 8192 {
		v.fault("the answer has %d bytes", len(text))
	}
	if !has(v.answer.session, "ice-lite") || one(v.answer.session, "ice-options") != "trickle ice2" {
		v.fault("ice-lite or ice-options is missing")
	}
	if !regexp.MustCompile(`(?m)^o=- [0-9]{1,19} [0-9]+ IN IP[46] \S+\r$`).MatchString(text) {
		v.fault("the o= line is wrong")
	}
}

// inherited is an attribute of an offered section, or of the session level.
func (v *validator) inherited(i int, key string) string {
	if has(v.offer.sections[i].lines, key) {
		return one(v.offer.sections[i].lines, key)
	}
	return one(v.offer.session, key)
}

// transport checks WHIP-ANS-02, -05, -06, -07 and -20 of one section.
func (v *validator) transport(i int) {
	a := v.answer.sections[i]
	want := "recvonly"
	if v.viewer {
		want = "sendonly"
	}
	for _, d := range []string{"sendonly", "recvonly", "sendrecv", "inactive"} {
		if has(a.lines, d) != (d == want) {
			v.fault("section %d: a=%s is %t", i, d, has(a.lines, d))
		}
	}
	for key, form := range map[string]string{
		"ice-ufrag":   `^[A-Za-z0-9+/]{4,256}$`,
		"ice-pwd":     `^[A-Za-z0-9+/]{22,256}$`,
		"fingerprint": `^sha-256 [0-9A-F]{2}(:[0-9A-F]{2}){31}$`,
		"setup":       `^(active|passive)$`,
		"rtcp-mux":    `^$`, "rtcp-mux-only": `^$`,
	} {
		if got := all(a.lines, key); len(got) != 1 || !regexp.MustCompile(form).MatchString(got[0]) {
			v.fault("section %d: a=%s is %q", i, key, got)
		}
		if got, first := one(a.lines, key), one(v.firstAccepted().lines, key); got != first {
			v.fault("section %d: a=%s differs from that of the first section", i, key)
		}
	}
	switch got, offered := one(a.lines, "setup"), v.taggedSetup(); {
	case offered == "active" && got != "passive", offered == "passive" && got != "active":
		v.fault("setup %s is answered by %s", offered, got)
	}
	for _, key := range []string{"rtcp", "bundle-only"} {
		if has(a.lines, key) {
			v.fault("section %d has a=%s", i, key)
		}
	}
	if has(a.lines, "rtcp-rsize") && !has(v.offer.sections[i].lines, "rtcp-rsize") {
		v.fault("section %d: rtcp-rsize was not offered", i)
	}
}

func (v *validator) firstAccepted() judgedSection {
	for _, a := range v.answer.sections {
		if a.port != "0" {
			return a
		}
	}
	return judgedSection{}
}

// taggedSetup is a=setup of the section that the BUNDLE group names first.
func (v *validator) taggedSetup() string {
	tag := strings.Fields(strings.TrimPrefix(one(v.offer.session, "group"), "BUNDLE"))
	for i, o := range v.offer.sections {
		if len(tag) == 0 || one(o.lines, "mid") == tag[0] {
			return v.inherited(i, "setup")
		}
	}
	return ""
}

// media checks WHIP-ANS-15, -16 and -17 of one section.
func (v *validator) media(i int) {
	o, a := v.offer.sections[i], v.answer.sections[i]
	var primary []string
	for n, pt := range a.formats {
		if !slices.Contains(o.formats, pt) || slices.Contains(a.formats[:n], pt) {
			v.fault("section %d: payload type %s was not offered, or comes twice", i, pt)
		}
		was, is := ofFormat(o.lines, "rtpmap", pt), ofFormat(a.lines, "rtpmap", pt)
		if len(is) != 1 || len(was) > 0 && !sameRTPMap(was[0], is[0]) {
			v.fault("section %d: payload type %s was %q and is %q", i, pt, was, is)
			continue
		}
		offered := ofFormat(o.lines, "fmtp", pt)
		for _, parameter := range splitParameters(ofFormat(a.lines, "fmtp", pt)) {
			if !slices.Contains(splitParameters(offered), parameter) {
				v.fault("section %d: the parameter %q of %s was not offered: %q", i, parameter, pt, offered)
			}
		}
		for _, fb := range ofFormat(a.lines, "rtcp-fb", pt) {
			if !slices.Contains(ofFormat(o.lines, "rtcp-fb", pt), fb) && !slices.Contains(ofFormat(o.lines, "rtcp-fb", "*"), fb) {
				v.fault("section %d: the feedback %q of %s was not offered", i, fb, pt)
			}
		}
		if strings.HasPrefix(strings.ToLower(is[0]), "rtx/") {
			apt := strings.TrimPrefix(strings.Join(ofFormat(a.lines, "fmtp", pt), ""), "apt=")
			if !slices.Contains(a.formats, apt) {
				v.fault("section %d: retransmission of %q, which was not kept", i, apt)
			}
			continue
		}
		primary = append(primary, pt)
	}
	if len(primary) == 0 || !v.viewer && a.kind == "video" && len(primary) != 1 {
		v.fault("section %d keeps the codecs %v", i, primary)
	}
	for _, line := range append(append(all(a.lines, "rtpmap"), all(a.lines, "fmtp")...), all(a.lines, "rtcp-fb")...) {
		if pt, _, _ := strings.Cut(line, " "); !slices.Contains(a.formats, pt) {
			v.fault("section %d: %q is of no format", i, line)
		}
	}
	v.extensions(i)
	v.layers(i)
}

func (v *validator) extensions(i int) {
	reverse := map[string]string{"": "", "sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
	offered := map[string]string{} // direction by id and URI
	for _, e := range append(all(v.offer.session, "extmap"), all(v.offer.sections[i].lines, "extmap")...) {
		if f := strings.Fields(e); len(f) >= 2 {
			id, direction, _ := strings.Cut(f[0], "/")
			offered[id+" "+f[1]] = direction
		}
	}
	seen := map[string]bool{}
	for _, e := range all(v.answer.sections[i].lines, "extmap") {
		f := strings.Fields(e)
		id, direction, _ := strings.Cut(f[0], "/")
		was, known := offered[id+" "+f[1]]
		if n, err := strconv.Atoi(id); !known || err != nil || n < 1 || n > 14 || seen[id] {
			v.fault("section %d: the extension %q was not offered, comes twice, or needs two-byte headers", i, e)
		}
		if direction != "" && direction != reverse[was] {
			v.fault("section %d: the extension %q was offered %q", i, e, was)
		}
		seen[id] = true
	}
}

// layers checks WHIP-SIM-02 and WHEP-ANS-14.
func (v *validator) layers(i int) {
	o, a := v.offer.sections[i], v.answer.sections[i]
	rids, offered := all(a.lines, "rid"), all(o.lines, "rid")
	if v.viewer && (len(rids) > 0 || has(a.lines, "simulcast")) {
		v.fault("section %d: layers are answered to a viewer", i)
	}
	if (len(rids) > 0) != has(a.lines, "simulcast") {
		v.fault("section %d: rids %q with simulcast %q", i, rids, all(a.lines, "simulcast"))
	}
	for _, rid := range rids {
		f := strings.Fields(rid)
		if len(f) < 2 || f[1] != "recv" || !slices.ContainsFunc(offered, func(o string) bool { return strings.HasPrefix(o+" ", f[0]+" send ") }) {
			v.fault("section %d: the layer %q was not offered", i, rid)
		}
	}
}

// bundle checks WHIP-ANS-04.
func (v *validator) bundle(accepted []string) {
	var offered []string
	for _, g := range all(v.offer.session, "group") {
		if f := strings.Fields(g); len(f) > 0 && f[0] == "BUNDLE" {
			offered = f[1:]
		}
	}
	groups := all(v.answer.session, "group")
	if offered == nil {
		if len(groups) > 0 || len(accepted) > 1 {
			v.fault("groups %q, and none was offered", groups)
		}
		return
	}
	// In the offered order, since the first is the tagged one.
	want := slices.DeleteFunc(slices.Clone(offered), func(mid string) bool { return !slices.Contains(accepted, mid) })
	if len(groups) != 1 || !slices.Equal(strings.Fields(groups[0]), append([]string{"BUNDLE"}, want...)) || len(want) != len(accepted) {
		v.fault("groups %q for the accepted sections %v of the group %v", groups, accepted, offered)
	}
}

// candidates checks WHIP-ANS-09, -10, -12 and -13.
func (v *validator) candidates() {
	n, ends := 0, 0
	for _, a := range v.answer.sections {
		if has(a.lines, "end-of-candidates") {
			ends++
		}
		for _, c := range all(a.lines, "candidate") {
			f := strings.Fields(c)
			if len(f) < 8 || f[1] != "1" || n == 0 && (!strings.EqualFold(f[2], "udp") || f[7] != "host") {
				v.fault("candidate %d is %q", n, c)
			}
			n++
		}
	}
	if n == 0 || ends != 1 {
		v.fault("%d candidates and %d times their end", n, ends)
	}
}

// streams checks WHIP-ANS-18, WHEP-ANS-02 and -13.
func (v *validator) streams() {
	stream := ""
	for i, a := range v.answer.sections {
		if a.port == "0" {
			continue
		}
		msids, ssrcs := all(a.lines, "msid"), all(a.lines, "ssrc")
		if !v.viewer {
			if len(msids)+len(ssrcs) > 0 {
				v.fault("section %d names streams of a receiver", i)
			}
			continue
		}
		if len(msids) != 1 || len(ssrcs) == 0 {
			v.fault("section %d has msid %q, ssrc %q", i, msids, ssrcs)
			continue
		}
		id, _, _ := strings.Cut(msids[0], " ")
		if stream != "" && id != stream {
			v.fault("section %d belongs to another stream", i)
		}
		stream = id
		for _, s := range ssrcs {
			if _, cname, ok := strings.Cut(s, " cname:"); !ok || cname == "" {
				v.fault("section %d: a=ssrc:%s", i, s)
			}
		}
	}
}

// ofFormat are the values of an attribute for a payload type.
func ofFormat(lines []string, key, pt string) (values []string) {
	for _, v := range all(lines, key) {
		if format, rest, _ := strings.Cut(v, " "); format == pt {
			values = append(values, strings.Join(strings.Fields(rest), " "))
		}
	}
	return values
}

func sameRTPMap(a, b string) bool {
	plain := func(s string) string { return strings.TrimSuffix(strings.ToLower(s), "/1") }
	return plain(a) == plain(b)
}

func splitParameters(fmtp []string) (out []string) {
	for part := range strings.SplitSeq(strings.Join(fmtp, ";"), ";") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, strings.ToLower(part))
		}
	}
	return out
}
