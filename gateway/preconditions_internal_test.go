package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPreconditions(t *testing.T) {
	shown, other := []byte(`{"live":false}`), []byte(`{"live":true}`)
	tag := entityTag(36, shown)
	for _, tc := range []struct {
		name    string
		ifMatch []string
		want    bool
	}{
		{"none", nil, true},
		{"any", []string{"*"}, true},
		{"the same", []string{tag}, true},
		{"the same settings, shown otherwise", []string{entityTag(36, other)}, true},
		{"one of several", []string{`"1-x", ` + tag}, true},
		{"one of several headers", []string{`"1-x"`, tag}, true},
		{"an older revision", []string{entityTag(35, shown)}, false},
		{"a revision that begins alike", []string{`"1-x"`}, false},
		{"a weak one (RFC 9110 section 13.1.1)", []string{"W/" + tag}, false},
		{"no entity tag", []string{"10"}, false},
		{"an empty one", []string{""}, false},
	} {
		r := httptest.NewRequest(http.MethodPatch, "/", nil)
		r.Header["If-Match"] = tc.ifMatch
		if got := checkPreconditions(r, 36) == nil; got != tc.want {
			t.Errorf("%s: got %t, want %t", tc.name, got, tc.want)
		}
	}
	for _, tc := range []struct {
		name        string
		ifNoneMatch []string
		want        bool
	}{
		{"none", nil, false},
		{"any", []string{"*"}, true},
		{"the same", []string{tag}, true},
		{"a weak one", []string{"W/" + tag}, true},
		{"one of several", []string{`"x", ` + tag}, true},
		{"the same settings, shown otherwise", []string{entityTag(36, other)}, false},
		{"another revision", []string{entityTag(37, shown)}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["If-None-Match"] = tc.ifNoneMatch
		if got := unchanged(r, tag); got != tc.want {
			t.Errorf("If-None-Match, %s: got %t, want %t", tc.name, got, tc.want)
		}
	}
	// With a change the condition is the opposite: what the client has is not to be changed.
	for _, tc := range []struct {
		name        string
		ifNoneMatch []string
		want        bool
	}{
		{"none", nil, true},
		{"any", []string{"*"}, false},
		{"the same", []string{tag}, false},
		{"a weak one", []string{"W/" + tag}, false},
		{"the same settings, shown otherwise", []string{entityTag(36, other)}, false},
		{"another revision", []string{entityTag(37, shown)}, true},
		{"one of several", []string{entityTag(37, shown), tag}, false},
	} {
		r := httptest.NewRequest(http.MethodPatch, "/", nil)
		r.Header["If-None-Match"] = tc.ifNoneMatch
		if got := checkPreconditions(r, 36) == nil; got != tc.want {
			t.Errorf("a change with If-None-Match, %s: got %t, want %t", tc.name, got, tc.want)
		}
	}
}
