package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forwarded puts the address of the client in the place of that of a proxy, where
// the proxy is trusted: limits by address would else lock out everybody behind
// it. What it returns is next itself when no proxy is.
func (g *Gateway) forwarded(next http.Handler) http.Handler {
	if len(g.cfg.TrustedProxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := clientOf(r, g.cfg.TrustedProxies); ok {
			told := new(http.Request)
			*told = *r
			told.RemoteAddr = netip.AddrPortFrom(client, 0).String()
			r = told
		}
		next.ServeHTTP(w, r)
	})
}

// clientOf reads X-Forwarded-For from its end: each proxy adds whom it was
// asked by, so the first address from there that is no proxy of ours is the
// last that one of ours has seen. What stands before it anybody can write.
func clientOf(r *http.Request, trusted []netip.Prefix) (client netip.Addr, ok bool) {
	if !within(addressOf(r), trusted) {
		return client, false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(hops) {
		hop, err := parseHop(strings.TrimSpace(text))
		if err != nil {
			break
		}
		client, ok = hop, true
		if !within(hop, trusted) {
			break
		}
	}
	return client, ok
}

// parseHop reads an address with or without a port.
func parseHop(text string) (netip.Addr, error) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	return netip.ParseAddr(strings.Trim(text, "[]"))
}

func within(a netip.Addr, ranges []netip.Prefix) bool {
	a = a.Unmap().WithZone("")
	for _, p := range ranges {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
