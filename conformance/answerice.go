package conformance

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// candidate is one candidate line (RFC 8839 section 5.1).
type candidate struct {
	component, transport, address, kind string
	port                                int
}

// parseCandidate reads the value of a candidate attribute.
func parseCandidate(value string) (c candidate, ok bool) {
	f := strings.Fields(value)
	if len(f) < 8 || f[6] != "typ" {
		return c, false
	}
	port, err := strconv.Atoi(f[5])
	if _, prioErr := strconv.ParseUint(f[3], 10, 31); err != nil || prioErr != nil || port < 0 || port > 65535 {
		return c, false
	}
	return candidate{component: f[1], transport: strings.ToLower(f[2]), address: f[4], port: port, kind: f[7]}, true
}

// rank is where a candidate stands in the order that the simplest clients want.
func (c candidate) rank() int {
	ip, err := netip.ParseAddr(c.address)
	switch {
	case c.kind == "host" && c.transport == "udp" && err == nil && ip.Is4():
		return 0
	case c.kind == "host" && c.transport == "udp":
		return 1
	case c.kind == "host":
		return 2
	}
	return 3
}

// candidateFaults wants at least one candidate, each of them legal, and never the
// same one twice.
func candidateFaults(answer *description) []string {
	all := answer.candidates()
	if len(all) == 0 {
		return []string{"expected the full list of candidates, got none"}
	}
	var faults []string
	for _, v := range all {
		if _, ok := parseCandidate(v); !ok {
			faults = append(faults, fmt.Sprintf("expected a candidate in the form of RFC 8839, got %q", v))
		}
	}
	return faults
}

// orderOfCandidatesFaults wants UDP host candidates first, IPv4 before IPv6.
func orderOfCandidatesFaults(answer *description) []string {
	last := 0
	for i, v := range answer.candidates() {
		c, ok := parseCandidate(v)
		if !ok {
			continue
		}
		if i == 0 && c.rank() > 1 {
			return []string{fmt.Sprintf("expected a UDP host candidate first, got %q", v)}
		}
		if c.rank() < last {
			return []string{fmt.Sprintf("expected UDP IPv4, UDP IPv6, TCP, then reflexive and relayed candidates, got %q late", v)}
		}
		last = c.rank()
	}
	return nil
}

// componentFaults wants nothing for a component that multiplexing does away with.
func componentFaults(answer *description) []string {
	for _, v := range answer.candidates() {
		if c, ok := parseCandidate(v); ok && c.component != "1" {
			return []string{fmt.Sprintf("expected candidates of component 1 alone, got %q", v)}
		}
	}
	return nil
}

// endFaults wants the list of candidates closed.
func endFaults(answer *description) []string {
	if answer.has("end-of-candidates") {
		return nil
	}
	if s := answer.tagged(); s != nil && s.has("end-of-candidates") {
		return nil
	}
	return []string{"expected a=end-of-candidates, got none"}
}

// optionFaults wants trickle ICE announced.
func optionFaults(d *description) []string {
	options := strings.Fields(d.icePart("ice-options"))
	var faults []string
	for _, want := range []string{"trickle", "ice2"} {
		if !slices.Contains(options, want) {
			faults = append(faults, fmt.Sprintf("expected ice-options with %s, got %q", want, strings.Join(options, " ")))
		}
	}
	return faults
}

// liteFaults wants ice-lite at session level or nowhere (RFC 8839 section 5.3).
func liteFaults(answer *description) []string {
	for i := range answer.sections {
		if answer.sections[i].has("ice-lite") {
			return []string{fmt.Sprintf("expected ice-lite at session level alone, got it in section %d", i)}
		}
	}
	return nil
}
