package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// When a key set is fetched.
const (
	jwksTimeout    = 5 * time.Second
	jwksKept       = 24 * time.Hour   // keys are used, while no newer ones can be had
	jwksUnknown    = 30 * time.Second // between fetches that an unknown kid asks for
	jwksRefresh    = 10 * time.Minute // where the server does not say
	jwksRefreshMin = time.Minute
	jwksRefreshMax = time.Hour
	jwksRetryMin   = time.Second
	jwksRetryMax   = time.Minute
)

// JWKSConfig says where a key set is.
type JWKSConfig struct {
	URL       string // https, or http on this machine
	Policy    Policy
	Transport http.RoundTripper // nil: straight to the URL, judged by the certificates that the system trusts
	Log       *slog.Logger      // nil: silent
}

// JWKS verifies JWTs by the keys that a URL serves. They are fetched ahead, again before they are
// old, and when a token names one that is not known: but that not more than once in 30 s, whoever sends
// such tokens. They are kept for a day while the URL does not answer.
type JWKS struct {
	cfg    JWKSConfig
	url    *url.URL
	client *http.Client
	log    *slog.Logger
	stop   context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	wanted chan struct{} // holds one while a fetch is asked for that has not begun

	mu      sync.Mutex
	keys    []jwk
	until   time.Time     // keys are good until then
	begun   time.Time     // when the last fetch began
	pending chan struct{} // closed at the end of the fetch that goes on or is asked for; nil: none
	closed  bool

	fetches, failures uint64
}

// NewJWKS begins to fetch the keys. Close ends it, and so does ctx.
func NewJWKS(ctx context.Context, cfg JWKSConfig) (*JWKS, error) {
	u, err := checkURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	j := &JWKS{
		cfg: cfg, url: u, client: newClient(cfg.Transport, jwksTimeout), log: orSilent(cfg.Log), stop: stop,
		done: make(chan struct{}), wanted: make(chan struct{}, 1), pending: make(chan struct{}),
	}
	go j.run(ctx)
	return j, nil
}

func orSilent(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// Close waits until nothing is fetched any more. The keys that are there stay in use.
func (j *JWKS) Close() error {
	j.stop()
	<-j.done
	j.client.CloseIdleConnections()
	return nil
}

// Verify tells what a JWT allows that one of the keys signed. It waits for a fetch that can tell.
func (j *JWKS) Verify(ctx context.Context, token string) (Grants, error) {
	return verifyJWT(token, &j.cfg.Policy, func(kid, alg string) ([]jwt.VerificationKey, error) {
		if alg == hs256 {
			return nil, ErrInvalid // there are no secrets at a URL
		}
		return j.find(ctx, kid, alg)
	})
}

func (j *JWKS) find(ctx context.Context, kid, alg string) ([]jwt.VerificationKey, error) {
	keys, pending, err := j.lookup(kid, alg)
	if pending == nil {
		return keys, err
	}
	select {
	case <-pending:
		keys, _, err = j.lookup(kid, alg)
		return keys, err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// lookup finds the keys that a token names. Where there is none and a fetch could help, it returns
// what is closed at the end of that.
func (j *JWKS) lookup(kid, alg string) (fit []jwt.VerificationKey, pending <-chan struct{}, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now, named := time.Now(), false
	j.forget()
	for _, k := range j.keys {
		if k.kid != kid && kid != "" { // a token without a kid may be of any of them
			continue
		}
		if named = true; k.alg == alg {
			fit = append(fit, k.public)
		}
	}
	switch {
	case named:
		return fit, nil, nil
	case j.pending == nil && !j.closed && now.Sub(j.begun) >= jwksUnknown:
		j.pending = make(chan struct{})
		j.wanted <- struct{}{} // there is room: see begin
	}
	if j.pending != nil {
		pending = j.pending
	}
	if len(j.keys) == 0 {
		return nil, pending, ErrUnavailable
	}
	return nil, pending, ErrInvalid
}

// forget lets go of keys that are too old. j.mu is held.
func (j *JWKS) forget() {
	if !time.Now().Before(j.until) {
		j.keys = nil
	}
}

func (j *JWKS) run(ctx context.Context) {
	defer close(j.done)
	defer j.end(true)
	for failures := 0; ; {
		j.begin()
		keys, wait, err := j.fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = min(jwksRetryMin<<min(failures, 10), jwksRetryMax)
			failures++
			j.fail()
			j.log.Warn("keys could not be fetched", "host", j.url.Host, "again_in", wait.String(), "err", err)
		default:
			failures = 0
			j.install(keys)
		}
		j.end(false)
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-j.wanted:
		case <-ctx.Done():
		}
		again.Stop()
	}
}

// begin turns what was asked for into the fetch that goes on: nobody asks for another meanwhile.
func (j *JWKS) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begun = time.Now()
	j.fetches++
	if j.pending == nil {
		j.pending = make(chan struct{})
	}
	select {
	case <-j.wanted: // asked for while the timer fired
	default:
	}
}

func (j *JWKS) end(closed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pending != nil {
		close(j.pending)
	}
	j.pending, j.closed = nil, closed
}

func (j *JWKS) fail() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failures++
}

func (j *JWKS) install(keys []jwk) {
	j.mu.Lock()
	first := len(j.keys) == 0
	j.keys, j.until = keys, time.Now().Add(jwksKept)
	j.mu.Unlock()
	if first {
		j.log.Info("keys fetched", "host", j.url.Host, "keys", len(keys))
	}
}

// fetch returns the keys and for how long they need not be fetched again.
func (j *JWKS) fetch(ctx context.Context) ([]jwk, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url.String(), http.NoBody)
	if err != nil {
		return nil, 0, withoutURL(err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", "sluice")
	resp, err := j.client.Do(req)
	if err != nil {
		return nil, 0, withoutURL(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the answer is %d", resp.StatusCode)
	}
	body, err := readBody(resp, maxJWKSet)
	if err != nil {
		return nil, 0, err
	}
	keys, err := parseJWKSet(body)
	return keys, freshFor(resp.Header), err
}

// freshFor is how long an answer may be used without a question (RFC 9111 section 5.2.2), within
// bounds: no key set is asked for without end, or never again.
func freshFor(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return jwksRefreshMin
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				return jwksRefreshMin
			}
			return min(max(time.Duration(seconds)*time.Second, jwksRefreshMin), jwksRefreshMax)
		}
	}
	return jwksRefresh
}
