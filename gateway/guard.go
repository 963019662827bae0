package gateway

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// What one address may get wrong on WHIP, WHEP and session URLs: far more than
// clients and their users do, far less than guessing takes.
const (
	failureBurst = 300
	failureRate  = 50   // a second
	maxFailing   = 8192 // addresses of one generation
	// maxPrefix6 is how much of an IPv6 address tells subscribers apart.
	maxPrefix6 = 64
)

// guard bounds failed requests by address, one token bucket each (RFC 9725
// section 5). Requests that succeed take nothing and are not held up, so that
// nobody is locked out by whoever shares their address.
//
// Addresses are kept in two generations. The older one is dropped when the
// younger has lasted until every bucket in it would be full again, or is full
// itself: then so many addresses fail at once that no bound by address helps.
type guard struct {
	mu     sync.Mutex // guards what follows
	young  map[netip.Addr]bucket
	old    map[netip.Addr]bucket
	turned time.Time // when young began
}

// bucket is what was left at some time.
type bucket struct {
	tokens float64
	at     time.Time
}

// allow takes a token of an address; false when there is none.
func (g *guard) allow(from netip.Addr, now time.Time) bool {
	from = subscriber(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	b, known := g.young[from]
	if !known {
		if b, known = g.old[from]; !known {
			b = bucket{failureBurst, now}
		}
		if g.young == nil || len(g.young) >= maxFailing || now.Sub(g.turned).Seconds() > failureBurst/failureRate {
			g.young, g.old, g.turned = make(map[netip.Addr]bucket), g.young, now
		}
	}
	b.tokens = min(failureBurst, b.tokens+now.Sub(b.at).Seconds()*failureRate)
	b.at = now
	if allowed := b.tokens >= 1; !allowed {
		g.young[from] = b
		return false
	}
	b.tokens--
	g.young[from] = b
	return true
}

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
	if !guarded(pattern) || !p.failure() || g.guard.allow(addressOf(r), time.Now()) {
		return err
	}
	g.stats.limited.Add(1)
	return &problemError{name: "too-many-failures"}
}

// guarded are the routes that strangers may guess at: the media routes.
func guarded(pattern string) bool {
	return isEndpoint(pattern) || strings.HasPrefix(pattern, "/s/")
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
