package mutant

import (
	"slices"
	"strings"
)

// description is the lines of an SDP, or of a fragment, without their ends: the
// session's and those of each section, the m-line first. It is text on purpose:
// what the proxy does not change passes unread.
type description struct {
	session []string
	media   [][]string
}

func parse(text string) *description {
	d := &description{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
		case strings.HasPrefix(line, "m="):
			d.media = append(d.media, []string{line})
		case len(d.media) == 0:
			d.session = append(d.session, line)
		default:
			last := len(d.media) - 1
			d.media[last] = append(d.media[last], line)
		}
	}
	return d
}

func (d *description) String() string {
	var b strings.Builder
	for _, part := range d.parts() {
		for _, line := range *part {
			b.WriteString(line + "\r\n")
		}
	}
	return b.String()
}

// parts are the session and the sections, to be changed in place.
func (d *description) parts() []*[]string {
	list := []*[]string{&d.session}
	for i := range d.media {
		list = append(list, &d.media[i])
	}
	return list
}

// edit replaces every line by what f makes of it; "" drops it. It tells
// whether a line changed.
func (d *description) edit(f func(line string) string) bool {
	changed := false
	for _, part := range d.parts() {
		for i, line := range *part {
			(*part)[i] = f(line)
			changed = changed || (*part)[i] != line
		}
		*part = slices.DeleteFunc(*part, func(line string) bool { return line == "" })
	}
	return changed
}

// drop removes the lines that begin with one of the prefixes, or are one.
func (d *description) drop(prefixes ...string) {
	d.edit(func(line string) string {
		if slices.ContainsFunc(prefixes, func(p string) bool {
			return line == p || strings.HasPrefix(line, p) && (strings.HasSuffix(p, ":") || strings.HasSuffix(p, " "))
		}) {
			return ""
		}
		return line
	})
}

// swap replaces lines that are old.
func (d *description) swap(old, replacement string) bool {
	return d.edit(func(line string) string {
		if line == old {
			return replacement
		}
		return line
	})
}

// set replaces the value of every line that begins with prefix.
func (d *description) set(prefix, value string) bool {
	return d.edit(func(line string) string {
		if strings.HasPrefix(line, prefix) {
			return prefix + value
		}
		return line
	})
}

// add puts lines at the end of every section.
func (d *description) add(lines ...string) {
	for i := range d.media {
		d.media[i] = append(d.media[i], lines...)
	}
}

// first is the value of the first line that begins with prefix, "" without one.
func (d *description) first(prefix string) string {
	for _, part := range d.parts() {
		if v := valueOf(*part, prefix); v != "" {
			return v
		}
	}
	return ""
}

// has tells whether a line stands anywhere.
func (d *description) has(line string) bool {
	return slices.ContainsFunc(d.parts(), func(part *[]string) bool { return slices.Contains(*part, line) })
}

// mids are those of the sections, in their order.
func (d *description) mids() []string {
	var list []string
	for _, m := range d.media {
		list = append(list, valueOf(m, "a=mid:"))
	}
	return list
}

// bundle makes one group of all sections.
func (d *description) bundle() {
	d.drop("a=group:BUNDLE ", "a=group:BUNDLE")
	d.session = append(d.session, "a=group:BUNDLE "+strings.Join(d.mids(), " "))
}

// take removes section i, from the group too, and returns it.
func (d *description) take(i int) []string {
	section := d.media[i]
	d.media = slices.Delete(d.media, i, i+1)
	if d.first("a=group:BUNDLE ") != "" {
		d.bundle()
	}
	return section
}

// insert adds a section at i, and to the group.
func (d *description) insert(i int, section []string) {
	d.media = slices.Insert(d.media, min(i, len(d.media)), section)
	if d.first("a=group:BUNDLE ") != "" {
		d.bundle()
	}
}

// kindOf is the first word of an m-line.
func kindOf(section []string) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(section[0], "m="), " ")
	return kind
}

// formats are the payload types of an m-line.
func formats(section []string) []string {
	fields := strings.Fields(section[0])
	if len(fields) < 4 {
		return nil
	}
	return fields[3:]
}

func valueOf(lines []string, prefix string) string {
	for _, line := range lines {
		if v, ok := strings.CutPrefix(line, prefix); ok {
			return v
		}
	}
	return ""
}
