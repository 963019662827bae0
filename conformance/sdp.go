package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// description is an SDP as it is judged: line by line, with nothing repaired.
type description struct {
	text     string
	session  []string // lines before the first section
	sections []section
}

// section is one m-section.
type section struct {
	kind, proto string
	port        int
	formats     []string
	lines       []string // all but the m-line
}

// describe reads an SDP. What cannot be understood is left out here: grammarFaults
// tells of it.
func describe(text string) *description {
	d := &description{text: text}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		switch {
		case line == "":
		case strings.HasPrefix(line, "m="):
			var s section
			if f := strings.Fields(line[2:]); len(f) >= 4 {
				s = section{kind: f[0], proto: f[2], formats: f[3:]}
				s.port, _ = strconv.Atoi(f[1]) // no number: grammarFaults tells
			}
			d.sections = append(d.sections, s)
		case len(d.sections) == 0:
			d.session = append(d.session, line)
		default:
			s := &d.sections[len(d.sections)-1]
			s.lines = append(s.lines, line)
		}
	}
	return d
}

// values are the values of an attribute among lines: "" for one that has none.
func values(lines []string, name string) []string {
	var list []string
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "a="+name); ok && (rest == "" || rest[0] == ':') {
			list = append(list, strings.TrimPrefix(rest, ":"))
		}
	}
	return list
}

func (d *description) values(name string) []string { return values(d.session, name) }
func (d *description) has(name string) bool        { return len(d.values(name)) > 0 }
func (s *section) values(name string) []string     { return values(s.lines, name) }
func (s *section) has(name string) bool            { return len(s.values(name)) > 0 }

// value is the first value of an attribute, "" when there is none.
func (s *section) value(name string) string {
	if all := s.values(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (s *section) mid() string { return s.value("mid") }

// rejected tells whether the section is refused (RFC 3264 section 6), rather than
// carried by another one's transport.
func (s *section) rejected() bool { return s.port == 0 && !s.has("bundle-only") }

// inherited are the values of an attribute of a section, or those of the session.
func (d *description) inherited(s *section, name string) []string {
	if all := s.values(name); len(all) > 0 {
		return all
	}
	return d.values(name)
}

// directions are the direction attributes of a section; the session's, or what
// silence means, when it has none.
func (d *description) directions(s *section) []string {
	find := func(lines []string) []string {
		var list []string
		for _, line := range lines {
			switch line {
			case "a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive":
				list = append(list, line[2:])
			}
		}
		return list
	}
	if own := find(s.lines); len(own) > 0 {
		return own
	}
	if all := find(d.session); len(all) > 0 {
		return all
	}
	return []string{"sendrecv"}
}

// bundles are the mids of each BUNDLE group.
func (d *description) bundles() [][]string {
	var list [][]string
	for _, g := range d.values("group") {
		if f := strings.Fields(g); len(f) > 0 && f[0] == "BUNDLE" {
			list = append(list, f[1:])
		}
	}
	return list
}

// byMID is the section with a mid; the only one when mid is "" and there is one.
func (d *description) byMID(mid string) *section {
	for i := range d.sections {
		if d.sections[i].mid() == mid {
			return &d.sections[i]
		}
	}
	return nil
}

// tagged is the section whose transport all bundled ones use; nil without any.
func (d *description) tagged() *section {
	if groups := d.bundles(); len(groups) > 0 && len(groups[0]) > 0 {
		return d.byMID(groups[0][0])
	}
	if len(d.sections) > 0 {
		return &d.sections[0]
	}
	return nil
}

// candidates are the candidate lines of all sections, by their values.
func (d *description) candidates() []string {
	list := d.values("candidate")
	for i := range d.sections {
		list = append(list, d.sections[i].values("candidate")...)
	}
	return list
}

// icePart is an ICE attribute where it counts: in the tagged section or else at
// session level.
func (d *description) icePart(name string) string {
	if s := d.tagged(); s != nil {
		if v := d.inherited(s, name); len(v) > 0 {
			return v[0]
		}
		return ""
	}
	if v := d.values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// codec is the encoding name of a payload type in upper case, "" when it has none.
func (s *section) codec(format string) string {
	for _, v := range s.values("rtpmap") {
		if pt, rest, _ := strings.Cut(v, " "); pt == format {
			name, _, _ := strings.Cut(rest, "/")
			return strings.ToUpper(name)
		}
	}
	return ""
}

// parameters are the format parameters of a payload type.
func (s *section) parameters(format string) map[string]string {
	list := map[string]string{}
	for _, v := range s.values("fmtp") {
		pt, rest, _ := strings.Cut(v, " ")
		if pt != format {
			continue
		}
		for p := range strings.SplitSeq(rest, ";") {
			key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			list[strings.ToLower(key)] = value
		}
	}
	return list
}

// isMedia tells primary codecs from repair and from what rides along with them.
func isMedia(codec string) bool {
	switch codec {
	case "RTX", "RED", "ULPFEC", "FLEXFEC", "FLEXFEC-03", "TELEPHONE-EVENT", "CN", "":
		return false
	}
	return true
}

var (
	lineForm   = regexp.MustCompile(`^[a-z]=[^\x00-\x1f\x7f]+$`)
	originForm = regexp.MustCompile(`^o=\S+ \d+ \d+ IN IP[46] \S+$`)
	mediaForm  = regexp.MustCompile(`^m=[a-z]+ \d+(/\d+)? [A-Za-z/]+( \S+)+$`)
	timeForm   = regexp.MustCompile(`^t=\d+ \d+$`)
	connForm   = regexp.MustCompile(`^c=IN IP[46] \S+$`)
)

// grammarFaults judges the form by RFC 8866: line ends, order and presence of the
// lines that must be there.
func (d *description) grammarFaults() []string {
	var faults []string
	if !strings.HasPrefix(d.text, "v=0\r\n") {
		faults = append(faults, fmt.Sprintf("expected v=0 and CRLF at the very beginning, got %.20q", d.text))
	}
	if n := strings.Count(d.text, "\n") - strings.Count(d.text, "\r\n"); n > 0 {
		faults = append(faults, fmt.Sprintf("expected CRLF after every line, got %d lines that end in LF alone", n))
	}
	if !strings.HasSuffix(d.text, "\n") {
		faults = append(faults, "expected a line end at the end, got none")
	}
	for i, line := range strings.Split(strings.TrimSuffix(strings.ReplaceAll(d.text, "\r\n", "\n"), "\n"), "\n") {
		form := lineForm
		switch line, _, _ := strings.Cut(line, "="); line {
		case "o":
			form = originForm
		case "m":
			form = mediaForm
		case "t":
			form = timeForm
		case "c":
			form = connForm
		}
		if !form.MatchString(line) {
			faults = append(faults, fmt.Sprintf("expected line %d in the form %v, got %.60q", i+1, form, line))
		}
	}
	return append(faults, d.orderFaults()...)
}

// orderFaults wants the session's lines in the order of RFC 8866 section 5, and
// an address for each section.
func (d *description) orderFaults() []string {
	var faults []string
	var kinds strings.Builder
	for _, line := range d.session {
		if k := line[:1]; k == "t" || !strings.HasSuffix(kinds.String(), k) {
			kinds.WriteString(k)
		}
	}
	if !regexp.MustCompile(`^vosi?u?e?p?c?b?(tr?)+z?k?a?$`).MatchString(kinds.String()) {
		faults = append(faults, fmt.Sprintf("expected the session's lines in the order v o s … t … a, got %s", kinds.String()))
	}
	shared := slices.ContainsFunc(d.session, isConnection)
	for i := range d.sections {
		if !shared && !slices.ContainsFunc(d.sections[i].lines, isConnection) {
			faults = append(faults, fmt.Sprintf("expected a c= line for section %d, got none", i))
		}
	}
	return faults
}

func isConnection(line string) bool { return strings.HasPrefix(line, "c=") }
