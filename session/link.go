package session

import (
	"net/http"
	"strings"
)

// SessionURL is the absolute URL of a session. Absolute, because clients resolve
// a relative one against the URL they were given, not the one that a redirect
// led them to.
func (t *Table) SessionURL(id string) string {
	return strings.TrimSuffix(t.cfg.URL, "/") + "/s/" + id
}

// AddLink adds a Link header (RFC 8288) in a line of its own: real clients take
// lines with several links apart at every comma. Parameters are pairs of name
// and value; values must not hold quotes.
func AddLink(h http.Header, url, rel string, parameters ...string) {
	var b strings.Builder
	b.WriteString("<" + url + `>; rel="` + rel + `"`)
	for i := 0; i+1 < len(parameters); i += 2 {
		b.WriteString("; " + parameters[i] + `="` + parameters[i+1] + `"`)
	}
	h.Add("Link", b.String())
}
