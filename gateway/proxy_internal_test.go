package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestClientBehindProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		name, from string
		headers    []string
		want       string
	}{
		{"no proxy", "192.0.2.1:1", nil, "192.0.2.1:1"},
		{"a stranger says he is a proxy", "192.0.2.1:1", []string{"198.51.100.1"}, "192.0.2.1:1"},
		{"one proxy", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"one proxy, IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"two proxies", "10.0.0.1:1", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1:0"},
		{"two headers", "10.0.0.1:1", []string{"198.51.100.1", "10.0.0.2"}, "198.51.100.1:0"},
		{"the client lies", "10.0.0.1:1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1:0"},
		{"the client writes nonsense", "10.0.0.1:1", []string{"me, 198.51.100.1"}, "198.51.100.1:0"},
		{"nonsense alone", "10.0.0.1:1", []string{"me"}, "10.0.0.1:1"},
		{"nonsense behind a proxy", "10.0.0.1:1", []string{"198.51.100.1, me, 10.0.0.2"}, "10.0.0.2:0"},
		{"all of them proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1:1"},
		{"empty header", "10.0.0.1:1", []string{""}, "10.0.0.1:1"},
		{"with a port", "10.0.0.1:1", []string{"198.51.100.1:4711"}, "198.51.100.1:0"},
		{"IPv6", "[fd00::1]:1", []string{"2001:db8::7"}, "[2001:db8::7]:0"},
		{"IPv6 with a port", "[fd00::1]:1", []string{"[2001:db8::7]:4711"}, "[2001:db8::7]:0"},
		{"IPv6 in brackets", "[fd00::1]:1", []string{"[2001:db8::7]"}, "[2001:db8::7]:0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			g := &Gateway{cfg: Config{TrustedProxies: trusted}}
			h := g.forwarded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.RemoteAddr = tt.from
			for _, value := range tt.headers {
				r.Header.Add("X-Forwarded-For", value)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if r.RemoteAddr != tt.from {
				t.Errorf("the request itself was changed to %s", r.RemoteAddr)
			}
		})
	}
}

// TestNobodyIsTrusted: without the setting the header means nothing.
func TestNobodyIsTrusted(t *testing.T) {
	got := ""
	h := (&Gateway{}).forwarded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.RemoteAddr = "127.0.0.1:9"
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	if h.ServeHTTP(httptest.NewRecorder(), r); got != "127.0.0.1:9" {
		t.Errorf("got %s, want the address of the connection", got)
	}
}
