package session

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Fragment is a trickle ICE SDP fragment (RFC 8840).
type Fragment struct {
	UFrag, Pwd      string
	MIDs            []string
	Candidates      []string // values of a=candidate lines that could be used
	EndOfCandidates bool
}

// ParseFragment parses the body of a PATCH. Clients differ in where they put
// what (RFC 8840 section 4.4 and 9.2), so credentials may stand at session
// level or in a section, and an m-line says nothing but that a section begins:
// its mid decides. Candidates that cannot be used are left out, and so are those
// above a limit. Errors are *OfferError.
func ParseFragment(body []byte) (*Fragment, error) {
	fail := func(format string, args ...any) error { return refuse(ProblemFragment, format, args...) }
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return nil, fail("the body is empty; send a trickle-ice-sdpfrag")
	case len(body) > maxBody:
		return nil, fail("the fragment is larger than %d bytes", maxBody)
	}
	var r fragmentReader
	for number, line := range lines(string(body)) {
		if len(line) > maxLine {
			return nil, fail("line %d is longer than %d bytes", number, maxLine)
		}
		if err := checkLine(number, line, fail); err != nil {
			return nil, err
		}
		if err := r.add(line, fail); err != nil {
			return nil, err
		}
	}
	return r.finish(fail)
}

// fragmentReader collects a fragment line by line.
type fragmentReader struct {
	out        Fragment
	sections   int
	unnamed    int // sections without a mid so far
	named      bool
	candidates []string
}

func (r *fragmentReader) add(line string, fail func(string, ...any) error) error {
	switch line[0] {
	case 'm':
		if r.sections > 0 && !r.named {
			r.unnamed++
		}
		r.named = false
		if r.sections++; r.sections > maxSections {
			return fail("the fragment has more than %d sections", maxSections)
		}
		return nil
	case 'a':
	default:
		return nil
	}
	key, value, _ := strings.Cut(line[2:], ":")
	switch key {
	case "mid":
		if r.sections == 0 || r.named || value == "" || len(value) > maxMID {
			return fail("a=mid must name a section, once")
		}
		r.named = true
		if !slices.Contains(r.out.MIDs, value) {
			r.out.MIDs = append(r.out.MIDs, value)
		}
	case "ice-ufrag":
		// The first ones stand for all: sections of one BUNDLE group share them.
		if r.out.UFrag == "" {
			r.out.UFrag = value
		}
	case "ice-pwd":
		if r.out.Pwd == "" {
			r.out.Pwd = value
		}
	case "candidate":
		if len(r.candidates) < maxCandidates && !slices.Contains(r.candidates, value) && usable(value) {
			r.candidates = append(r.candidates, value)
		}
	case "end-of-candidates":
		r.out.EndOfCandidates = true
	}
	return nil
}

func (r *fragmentReader) finish(fail func(string, ...any) error) (*Fragment, error) {
	f := &r.out
	if r.sections > 0 && !r.named {
		r.unnamed++
	}
	switch {
	case r.unnamed > 0 && r.sections > 1:
		return nil, fail("with several sections each needs an a=mid")
	case f.UFrag == "" && f.Pwd == "" && len(r.candidates) == 0 && !f.EndOfCandidates && r.sections == 0:
		return nil, fail("the fragment says nothing of ICE")
	}
	if f.UFrag != "" || f.Pwd != "" {
		if err := checkICE(f.UFrag, f.Pwd, fail); err != nil {
			return nil, err
		}
	}
	for _, c := range r.candidates {
		if generation := candidateUFrag(c); generation == "" || generation == f.UFrag {
			f.Candidates = append(f.Candidates, c)
		}
	}
	return f, nil
}

// usable tells whether a candidate is of component 1, of a transport that is
// known, and has an address that need not be looked up: names are never
// resolved, so that nobody can make the gateway ask for them.
func usable(candidate string) bool {
	f := strings.Fields(candidate)
	if len(f) < 8 || f[6] != "typ" || f[1] != "1" {
		return false
	}
	if !strings.EqualFold(f[2], "udp") && !strings.EqualFold(f[2], "tcp") {
		return false
	}
	_, priorityErr := strconv.ParseUint(f[3], 10, 32)
	_, addressErr := netip.ParseAddr(f[4])
	_, portErr := strconv.ParseUint(f[5], 10, 16)
	return priorityErr == nil && addressErr == nil && portErr == nil
}

// candidateUFrag is the ICE generation that a candidate names (RFC 8839 section
// 5.1, extension "ufrag"), "" when it names none.
func candidateUFrag(candidate string) string {
	f := strings.Fields(candidate)
	for i := 8; i+1 < len(f); i += 2 {
		if f[i] == "ufrag" {
			return f[i+1]
		}
	}
	return ""
}

// iceFrame is what an ICE session needs of its offer for as long as it lives. It
// shares no memory with the offer.
type iceFrame struct {
	lines   string    // what stands around credentials in a reply: session level, m-line and mid of the tagged section
	patches *patching // the state of the session URL's PATCH requests
}

// frame makes the iceFrame of an offer that was answered.
func (o *Offer) frame() iceFrame {
	accepted := o.played()
	var bundle []string
	tag := -1
	for _, i := range o.group {
		if slices.Contains(accepted, i) {
			if tag < 0 {
				tag = i
			}
			bundle = append(bundle, o.Sections[i].MID)
		}
	}
	var b strings.Builder
	b.WriteString("a=ice-lite\r\na=ice-options:" + iceOptions + "\r\n")
	if o.bundled {
		b.WriteString("a=group:BUNDLE " + strings.Join(bundle, " ") + "\r\n")
	}
	if tag >= 0 {
		s := &o.Sections[tag]
		b.WriteString("m=" + s.Kind + " 9 " + s.proto + " " + s.Codecs[0].formats()[0] + "\r\n")
		if s.MID != "" {
			b.WriteString("a=mid:" + s.MID + "\r\n")
		}
	}
	return iceFrame{lines: b.String(), patches: newPatching(o)}
}

// marshalFragment is the reply to an ICE restart (RFC 9725 section 4.3.3): the
// gateway's new credentials and all its candidates.
func (f iceFrame) marshalFragment(c AnswerConfig) []byte {
	var b strings.Builder
	b.WriteString(f.lines)
	b.WriteString("a=ice-ufrag:" + c.UFrag + "\r\na=ice-pwd:" + c.Pwd + "\r\n")
	for _, line := range candidateLines(c.Candidates) {
		b.WriteString("a=candidate:" + line + "\r\n")
	}
	b.WriteString("a=end-of-candidates\r\n")
	return []byte(b.String())
}
