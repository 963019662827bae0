package gateway

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// What one address may get wrong: far more than clients and their users do, far
// less than guessing takes (RFC 9725 section 5). Requests that succeed take
// nothing and are not held up, so that nobody is locked out by whoever shares
// their address.
const (
	failureBurst = 300
	failureRate  = 50 // a second
	// maxPrefix6 is how much of an IPv6 address tells subscribers apart.
	maxPrefix6 = 64
)

// subscriber is the part of an address that one party holds.
func subscriber(from netip.Addr) netip.Addr {
	from = from.Unmap().WithZone("")
	if !from.Is6() {
		return from
	}
	prefix, err := from.Prefix(maxPrefix6)
	if err != nil { // not of an IPv6 address
		return from
	}
	return prefix.Addr()
}

// limitFailure turns the error of a request into too-many-failures when its
// address has had too many of them.
func (g *Gateway) limitFailure(r *http.Request, pattern string, err error) error {
	p, _ := problemOf(err)
	if !guarded(pattern) || !p.failure() || g.limits.failures.take(subscriber(addressOf(r)), time.Now()) {
		return err
	}
	g.stats.limited.Add(1)
	return &problemError{name: "too-many-failures"}
}

// guarded are the routes that strangers may guess at: all but the pages, whose
// answers are the same for everybody.
func guarded(pattern string) bool {
	return isEndpoint(pattern) || strings.HasPrefix(pattern, "/s/") || strings.HasPrefix(pattern, "/v1/")
}

// failure tells the mistakes of a client from states of the node and from
// what a session bounds by itself.
func (p problem) failure() bool {
	switch p.status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	default:
		return false
	}
}

// addressOf is where a request came from; the zero Addr when that is not known.
func addressOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr()
}
