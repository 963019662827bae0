package bench

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// answer is what a viewer needs of a server's answer.
type answer struct {
	ufrag, pwd  string
	fingerprint fingerprint
	passive     bool // the server waits for our ClientHello
	candidates  []netip.AddrPort
	video       [2]uint64 // a bit for each payload type of a video section
}

// fingerprint is a hash function and a digest (RFC 8122 section 5).
type fingerprint struct {
	hash string
	sum  []byte
}

// isVideo tells whether packets of a payload type are video.
func (a *answer) isVideo(payloadType uint8) bool {
	return a.video[payloadType>>6&1]>>(payloadType&63)&1 == 1
}

// maxCandidates bounds how many addresses of an answer are tried in turn.
const maxCandidates = 16

// parseAnswer reads an answer. All sections are one bundle, so what the first
// accepted section says of the transport, or the part before it, holds for all
// (RFC 9143 section 7.3).
func parseAnswer(sdp string) (*answer, error) {
	a := &answer{}
	var setup string
	media, accepted := 0, 0
	refused := false // the section that is being read
	for line := range strings.SplitSeq(sdp, "\n") {
		line = strings.TrimRight(line, "\r")
		if m, ok := strings.CutPrefix(line, "m="); ok {
			media++
			refused = !a.addSection(strings.Fields(m))
			if !refused {
				accepted++
			}
			continue
		}
		if refused {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "a=ice-ufrag":
			setOnce(&a.ufrag, value)
		case "a=ice-pwd":
			setOnce(&a.pwd, value)
		case "a=setup":
			setOnce(&setup, value)
		case "a=fingerprint":
			if f, ok := parseFingerprint(value); ok && a.fingerprint.hash == "" {
				a.fingerprint = f
			}
		case "a=candidate":
			if c, ok := parseCandidate(value); ok && len(a.candidates) < maxCandidates && !slices.Contains(a.candidates, c) {
				a.candidates = append(a.candidates, c)
			}
		}
	}
	a.passive = setup == "passive"
	switch {
	case media == 0:
		return nil, errors.New("the answer has no media section")
	case accepted == 0:
		return nil, errors.New("the answer refuses every media section")
	case a.ufrag == "" || a.pwd == "":
		return nil, errors.New("the answer has no ICE credentials")
	case setup != "passive" && setup != "active":
		return nil, errors.New("the answer does not choose a DTLS role")
	case a.fingerprint.hash == "":
		return nil, errors.New("the answer has no fingerprint of a known hash")
	}
	return a, nil
}

// addSection notes the payload types of a media section and tells whether the
// section is accepted.
func (a *answer) addSection(m []string) bool {
	if len(m) < 4 || m[1] == "0" {
		return false
	}
	if m[0] != "video" {
		return true
	}
	for _, f := range m[3:] {
		if pt, err := strconv.ParseUint(f, 10, 7); err == nil {
			a.video[pt>>6] |= 1 << (pt & 63)
		}
	}
	return true
}

func setOnce(to *string, value string) {
	if *to == "" {
		*to = value
	}
}

func parseFingerprint(value string) (f fingerprint, ok bool) {
	hash, digits, _ := strings.Cut(value, " ")
	sum, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), ":", ""))
	if _, known := digests[strings.ToLower(hash)]; !known || err != nil {
		return f, false
	}
	return fingerprint{strings.ToLower(hash), sum}, true
}

// parseCandidate takes UDP candidates with an address (RFC 8839 section 5.1). Host
// names are for browsers on the same link.
func parseCandidate(value string) (c netip.AddrPort, ok bool) {
	f := strings.Fields(value)
	if len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
		return c, false
	}
	ip, err := netip.ParseAddr(f[4])
	port, portErr := strconv.ParseUint(f[5], 10, 16)
	if err != nil || portErr != nil || port == 0 || ip.Zone() != "" {
		return c, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), true
}

// reachable is the candidates that a socket bound to an address can send to, in
// the order in which to try them: those most like it first.
func (a *answer) reachable(bind netip.Addr) []netip.AddrPort {
	likeness := func(c netip.AddrPort) int {
		switch {
		case c.Addr() == bind:
			return 0
		case c.Addr().IsLoopback() == bind.IsLoopback():
			return 1
		}
		return 2
	}
	fit := slices.DeleteFunc(slices.Clone(a.candidates), func(c netip.AddrPort) bool { return c.Addr().Is4() != bind.Is4() })
	slices.SortStableFunc(fit, func(x, y netip.AddrPort) int { return likeness(x) - likeness(y) })
	return fit
}
