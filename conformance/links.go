package conformance

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Link is one link of a Link header (RFC 8288 section 3).
type Link struct {
	URL    string            // resolved against that of the request
	Target string            // as it was written
	Params map[string]string // names in lower case, without rel
	Rel    []string          // relation types, in lower case where they are no URIs
}

// Has tells whether a link is of a relation type.
func (l *Link) Has(rel string) bool { return slices.Contains(l.Rel, rel) }

// Links reads all Link fields of a response; what follows the first thing in a
// field that is no link is left out.
func (r *Response) Links() []Link {
	base, err := url.Parse(r.Request.URL)
	if err != nil {
		return nil
	}
	var list []Link
	for _, l := range parseLinks(r.Header) {
		if at, err := base.Parse(l.Target); err == nil {
			l.URL = at.String()
		}
		list = append(list, l)
	}
	return list
}

// linksOf are the links of one relation type.
func (r *Response) linksOf(rel string) []Link {
	var list []Link
	for _, l := range r.Links() {
		if l.Has(rel) {
			list = append(list, l)
		}
	}
	return list
}

func parseLinks(h http.Header) []Link {
	var list []Link
	for _, field := range h.Values("Link") {
		for field != "" {
			var l Link
			var ok bool
			if l, field, ok = parseLink(field); !ok {
				break
			}
			list = append(list, l)
			if field, ok = strings.CutPrefix(field, ","); !ok {
				break
			}
			field = strings.TrimLeft(field, " \t,")
		}
	}
	return list
}

// parseLink reads one link and returns what follows it.
func parseLink(s string) (l Link, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	s, ok = strings.CutPrefix(s, "<")
	if !ok {
		return l, s, false
	}
	if l.Target, s, ok = strings.Cut(s, ">"); !ok {
		return l, s, false
	}
	l.Params = map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t")
		after, more := strings.CutPrefix(s, ";")
		if !more {
			return l, s, true
		}
		var name, value string
		if name, value, s, ok = parseParam(strings.TrimLeft(after, " \t")); !ok {
			return l, s, false
		}
		_, known := l.Params[name]
		switch {
		case name == "rel" && l.Rel == nil: // the first one counts
			l.Rel = relations(value)
		case name != "" && name != "rel" && !known:
			l.Params[name] = value
		}
	}
}

// relations are the types of a rel parameter. Registered names compare without
// case, and so do these URIs.
func relations(value string) []string { return strings.Fields(strings.ToLower(value)) }

// parseParam reads a parameter, whose value may be a token, a quoted string or
// missing.
func parseParam(s string) (name, value, rest string, ok bool) {
	end := strings.IndexAny(s, "=;,")
	if end < 0 {
		end = len(s)
	}
	name = strings.ToLower(strings.TrimSpace(s[:end]))
	s, ok = strings.CutPrefix(s[end:], "=")
	if !ok {
		return name, "", s, true
	}
	s = strings.TrimLeft(s, " \t")
	quoted, isQuoted := strings.CutPrefix(s, `"`)
	if !isQuoted {
		end := strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return name, strings.TrimSpace(s[:end]), s[end:], true
	}
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"':
			return name, b.String(), quoted[i+1:], true
		case c == '\\' && i+1 < len(quoted):
			i++
			b.WriteByte(quoted[i])
		default:
			b.WriteByte(c)
		}
	}
	return name, "", "", false // the string has no end
}
