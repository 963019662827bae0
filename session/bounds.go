package session

import (
	"bytes"
	"strings"
)

// Bounds of offers and fragments. Each is far above what any browser or encoder
// sends; together they keep what one request can make the gateway do small.
const (
	maxBody          = 64 << 10 // bytes of an offer or a fragment
	maxLine          = 4 << 10  // bytes of one line
	maxSections      = 32       // m-lines
	maxSectionLines  = 512      // lines of one section, and of the session part
	maxPayloadTypes  = 64       // formats of one m-line
	maxRIDs          = 8        // a=rid lines of one section
	maxCandidates    = 64       // remote candidates kept of one fragment
	maxAnswer        = 8 << 10  // bytes; ffmpeg reads no more than 8192
	maxMID           = 64       // bytes of a mid
	minUFrag, minPwd = 4, 22    // RFC 8839 section 5.4
	maxICE           = 256      // bytes of a ufrag or pwd, RFC 8839 section 5.4
)

func malformed(format string, args ...any) error {
	return refuse(ProblemMalformed, format, args...)
}

// scanOffer checks the bounds that can be checked without understanding the
// offer, and returns it with what nobody here needs left out: candidates (a
// lite agent learns addresses from checks, and an offer must not aim ours) and
// the descriptive lines that a strict parser could only stumble over. Any mix
// of CRLF and LF is accepted, also a missing last line end (RFC 8866 section 5).
func scanOffer(body []byte) (string, error) {
	switch {
	case len(body) == 0:
		return "", malformed("the body is empty; send an SDP offer")
	case len(body) > maxBody:
		return "", refuse(ProblemTooComplex, "the offer is larger than %d bytes", maxBody)
	case !bytes.HasPrefix(body, []byte("v=")):
		return "", malformed("the body does not begin with \"v=\"; send an SDP offer and nothing before it")
	}
	var out strings.Builder
	out.Grow(len(body))
	var count sectionCount
	for number, line := range lines(string(body)) {
		if len(line) > maxLine {
			return "", refuse(ProblemTooComplex, "line %d is longer than %d bytes", number, maxLine)
		}
		if err := checkLine(number, line, malformed); err != nil {
			return "", err
		}
		keep, err := count.add(line)
		if err != nil {
			return "", err
		}
		if keep {
			out.WriteString(line)
			out.WriteString("\r\n")
		}
	}
	return out.String(), nil
}

// sectionCount counts what is bounded within one section.
type sectionCount struct{ sections, lines, rids int }

// add counts a line and tells whether it is of use.
func (c *sectionCount) add(line string) (keep bool, err error) {
	switch line[0] {
	case 'm':
		c.sections++
		c.lines, c.rids = 0, 0
		if c.sections > maxSections {
			return false, refuse(ProblemTooComplex, "the offer has more than %d media sections", maxSections)
		}
		if len(strings.Fields(line)) > 3+maxPayloadTypes {
			return false, refuse(ProblemTooComplex, "a media section offers more than %d formats", maxPayloadTypes)
		}
		return true, nil
	case 'a':
		if strings.HasPrefix(line, "a=candidate:") {
			return false, nil
		}
		if strings.HasPrefix(line, "a=rid:") {
			c.rids++
		}
	case 'b', 'e', 'i', 'k', 'p', 'r', 'u', 'z':
		return false, nil
	}
	c.lines++
	if c.lines > maxSectionLines {
		return false, refuse(ProblemTooComplex, "a section of the offer has more than %d lines", maxSectionLines)
	}
	if c.rids > maxRIDs {
		return false, refuse(ProblemTooComplex, "a media section has more than %d simulcast layers", maxRIDs)
	}
	return true, nil
}

// lines yields the lines of text, counted from 1, without their ends and
// without blank ones.
func lines(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		number := 0
		for line := range strings.SplitSeq(text, "\n") {
			number++
			line = strings.TrimSuffix(line, "\r")
			if line != "" && !yield(number, line) {
				return
			}
		}
	}
}

// checkLine checks the form "<letter>=<value>"; fail makes the error.
func checkLine(number int, line string, fail func(string, ...any) error) error {
	if len(line) < 2 || line[1] != '=' || line[0] < 'a' || line[0] > 'z' {
		return fail("line %d (%.40q) is not of the form \"a=...\"", number, line)
	}
	if i := strings.IndexFunc(line, isControl); i >= 0 {
		return fail("line %d has the control character %q", number, line[i])
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// checkICE checks the length and alphabet of ICE credentials (RFC 8839 section
// 5.4). Characters beyond ice-char are let through, as long as they cannot
// break a USERNAME or a line.
func checkICE(ufrag, pwd string, fail func(string, ...any) error) error {
	switch {
	case len(ufrag) < minUFrag || len(ufrag) > maxICE:
		return fail("ice-ufrag must have %d to %d characters, has %d", minUFrag, maxICE, len(ufrag))
	case len(pwd) < minPwd || len(pwd) > maxICE:
		return fail("ice-pwd must have %d to %d characters, has %d", minPwd, maxICE, len(pwd))
	case strings.ContainsFunc(ufrag+pwd, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }):
		return fail("ice-ufrag and ice-pwd may hold letters, digits, \"+\" and \"/\" only")
	}
	return nil
}
