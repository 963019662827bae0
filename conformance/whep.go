package conformance

import (
	"encoding/json"
	"mime"
	"net/http"
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

// opened is the session of a 201.
func (t *T) opened(resp *Response, offer string) *Session {
	if resp.Status != http.StatusCreated {
		t.Fatalf("expected 201, got %v", resp)
	}
	s := &Session{URL: resp.Location(), ETag: resp.Header.Get("ETag"), Offer: offer, Answer: resp.Body, Created: resp}
	if s.URL == "" {
		t.Fatalf("expected a Location in the 201, got none")
	}
	return s
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
	if mediaType(r.Header.Get("Content-Type")) != "application/problem+json" {
		return ""
	}
	var document struct {
		Type string `json:"type"`
	}
	if json.Unmarshal([]byte(r.Body), &document) != nil {
		return ""
	}
	return document.Type[strings.LastIndexByte(document.Type, '/')+1:]
}

// mediaType is a Content-Type without its parameters, "" when it is none.
func mediaType(value string) string {
	name, _, err := mime.ParseMediaType(value)
	if err != nil {
		return ""
	}
	return name
}

// fieldList is a header field that holds a list, in lower case.
func fieldList(h http.Header, name string) []string {
	var list []string
	for _, v := range h.Values(name) {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.ToLower(strings.TrimSpace(part)); part != "" {
				list = append(list, part)
			}
		}
	}
	return list
}

// wantListed wants all of some names in a header field that holds a list.
func (t *T) wantListed(r *Response, name string, all ...string) {
	list := fieldList(r.Header, name)
	for _, want := range all {
		if !slices.Contains(list, strings.ToLower(want)) {
			t.Errorf("expected %s to list %s, got %q", name, want, strings.Join(r.Header.Values(name), ", "))
		}
	}
}
