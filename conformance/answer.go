package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// This file compares an answer with its offer. Each function judges one matter
// and returns what is wrong with it; nil when nothing is. Both protocols' checks
// are made of them.

// wrong fails the check with each of the faults.
func (t *T) wrong(faults []string) {
	for _, f := range faults {
		t.Errorf("%s", f)
	}
}

// sectionFaults wants the offer's sections back: number, order, kind, protocol and mid.
func sectionFaults(offer, answer *description) []string {
	if len(offer.sections) != len(answer.sections) {
		return []string{fmt.Sprintf("expected %d media sections as in the offer, got %d", len(offer.sections), len(answer.sections))}
	}
	var faults []string
	for i := range offer.sections {
		o, a := &offer.sections[i], &answer.sections[i]
		if o.kind != a.kind || o.proto != a.proto {
			faults = append(faults, fmt.Sprintf("section %d: expected %s %s, got %s %s", i, o.kind, o.proto, a.kind, a.proto))
		}
		if o.mid() != a.mid() || len(a.values("mid")) > 1 {
			faults = append(faults, fmt.Sprintf("section %d: expected mid %q, got %q", i, o.mid(), strings.Join(a.values("mid"), " and ")))
		}
	}
	return faults
}

// directionFaults wants one direction in each section of sound or picture that
// was accepted.
func directionFaults(answer *description, want string) []string {
	var faults []string
	for i := range answer.sections {
		s := &answer.sections[i]
		if s.rejected() || s.kind != "audio" && s.kind != "video" {
			continue
		}
		if got := answer.directions(s); len(got) != 1 || got[0] != want {
			faults = append(faults, fmt.Sprintf("section %d (%s): expected %s, got %s", i, s.kind, want, strings.Join(got, " and ")))
		}
	}
	return faults
}

// rejectionFaults wants no section refused.
func rejectionFaults(answer *description) []string {
	var faults []string
	for i := range answer.sections {
		if s := &answer.sections[i]; s.rejected() {
			faults = append(faults, fmt.Sprintf("section %d (%s): expected it to be accepted, got port 0 without bundle-only", i, s.kind))
		}
	}
	return faults
}

// bundleFaults wants one group of all sections that were offered in one and accepted.
func bundleFaults(offer, answer *description) []string {
	groups, offered := answer.bundles(), offer.bundles()
	if len(offered) == 0 {
		if len(groups) > 0 {
			return []string{fmt.Sprintf("expected no BUNDLE group, since none was offered, got %v", groups)}
		}
		return nil
	}
	var want []string
	for _, mid := range offered[0] {
		if s := answer.byMID(mid); s != nil && !s.rejected() {
			want = append(want, mid)
		}
	}
	if len(groups) != 1 || !slices.Equal(groups[0], want) {
		return []string{fmt.Sprintf("expected one BUNDLE group of %v, got %v", want, groups)}
	}
	return nil
}

// bundled are the sections that share one transport: those of the group, else all.
func (d *description) bundled() []*section {
	var list []*section
	groups := d.bundles()
	for i := range d.sections {
		s := &d.sections[i]
		if s.rejected() || len(groups) > 0 && !slices.Contains(groups[0], s.mid()) {
			continue
		}
		list = append(list, s)
	}
	return list
}

// muxFaults wants rtcp-mux in the tagged section; everywhere when all is set.
func muxFaults(answer *description, all bool) []string { return flagFaults(answer, "rtcp-mux", all) }

// flagFaults wants an attribute without a value in the tagged section, or in all.
func flagFaults(answer *description, name string, all bool) []string {
	var faults []string
	tagged := answer.tagged()
	for _, s := range answer.bundled() {
		if (all || s == tagged) && !s.has(name) {
			faults = append(faults, fmt.Sprintf("section with mid %q: expected a=%s, got none", s.mid(), name))
		}
	}
	return faults
}

// setupFaults wants the DTLS role that fits the offer's.
func setupFaults(offer, answer *description) []string {
	allowed := []string{"active", "passive"}
	switch offer.icePart("setup") {
	case "active":
		allowed = []string{"passive"}
	case "passive":
		allowed = []string{"active"}
	}
	var faults []string
	tagged := answer.tagged()
	for _, s := range answer.bundled() {
		got := answer.inherited(s, "setup")
		if len(got) == 0 && s != tagged { // the tagged one speaks for all
			continue
		}
		if len(got) != 1 || !slices.Contains(allowed, got[0]) {
			faults = append(faults, fmt.Sprintf("section with mid %q: expected setup %s to an offer of %q, got %q",
				s.mid(), strings.Join(allowed, " or "), offer.icePart("setup"), strings.Join(got, " ")))
		}
	}
	return faults
}

// fingerprintFaults wants a fingerprint that a client may trust.
func fingerprintFaults(answer *description) []string {
	if f := answer.icePart("fingerprint"); !fingerprintForm.MatchString(f) {
		return []string{fmt.Sprintf("expected a fingerprint of sha-256 or longer, got %q", f)}
	}
	return nil
}

// credentialFaults wants ICE credentials of at least the length of RFC 8839
// section 5.4.
func credentialFaults(d *description) []string {
	var faults []string
	ufrag, pwd := d.icePart("ice-ufrag"), d.icePart("ice-pwd")
	if len(ufrag) < 4 || len(ufrag) > 256 || !iceChars.MatchString(ufrag) {
		faults = append(faults, fmt.Sprintf("expected an ice-ufrag of 4 to 256 ICE characters, got %q", ufrag))
	}
	if len(pwd) < 22 || len(pwd) > 256 || !iceChars.MatchString(pwd) {
		faults = append(faults, fmt.Sprintf("expected an ice-pwd of 22 to 256 ICE characters, got %d of them", len(pwd)))
	}
	return faults
}

// sizeFaults wants an answer that the smallest known buffer holds.
func sizeFaults(answer *description) []string {
	if n := len(answer.text); n > 8<<10 {
		return []string{fmt.Sprintf("expected at most 8192 bytes, got %d", n)}
	}
	return nil
}
