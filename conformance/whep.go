package conformance

import (
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
)

// watch opens a session of a viewer that the room must take: somebody is on air.
func (t *T) watch(offer string, change ...func(*Request)) *Session {
	resp := t.PostOffer(t.Room.WHEP, offer, change...)
	if t.Room.WHIP == "" && (resp.Status == http.StatusConflict || resp.Status == http.StatusNotFound) {
		t.Skipf("nobody is on air, and no WHIP endpoint was named to change that")
	}
	return t.opened(resp, offer)
}

// differsf tells of what the standard leaves to the server: a failure where the
// check is strict, and otherwise no verdict, which ends the check.
func (t *T) differsf(format string, args ...any) {
	if !t.Strict() {
		t.Skipf("the standard leaves this to the server: "+format, args...)
	}
	t.Errorf(format, args...)
}

// options asks for a resource's options.
func (t *T) options(url string, change ...func(*Request)) *Response {
	r := Request{Method: http.MethodOptions, URL: url}
	for _, c := range change {
		c(&r)
	}
	return t.Do(r)
}

// problemType is the last element of the type of a problem document; "" when the
// response has none.
func problemType(r *Response) string {
	p, ok := problemOf(r)
	if !ok || p.Type == nil {
		return ""
	}
	return path.Base(*p.Type)
}

// mediaType is a Content-Type without its parameters, "" when it is none.
func mediaType(value string) string {
	name, _, err := mime.ParseMediaType(value)
	if err != nil {
		return ""
	}
	return name
}

// wantListed wants all of some names in a header field that holds a list.
func (t *T) wantListed(r *Response, name string, all ...string) {
	list := listed(r, name)
	for _, want := range all {
		if !slices.Contains(list, strings.ToLower(want)) {
			t.Errorf("expected %s to list %s, got %q", name, want, strings.Join(r.Header.Values(name), ", "))
		}
	}
}
