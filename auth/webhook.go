package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// What is asked of a webhook, and how often.
const (
	webhookTimeout  = 2 * time.Second
	webhookAnswer   = 64 << 10 // bytes
	webhookQueue    = 256      // questions under way
	webhookKnown    = 30 * time.Second
	webhookUnknown  = 2 * time.Second
	webhookCache    = 8192 // tokens of either kind
	webhookFailures = 5    // to answer, one after the other, until it is left alone
	webhookPause    = 5 * time.Second
	webhookLogEvery = 10 * time.Second // failures may be somebody's doing, and many

	minWebhookSecret = 24 // bytes: what the Standard Webhooks specification asks for
)

// WebhookConfig says who is asked about tokens.
type WebhookConfig struct {
	URL       string            // https, or http on this machine
	Secrets   [][]byte          // each signs: while they are changed there are two
	FailOpen  bool              // while it is out of order, every token may publish and subscribe everywhere
	Transport http.RoundTripper // nil: straight to the URL, judged by the certificates that the system trusts
	Log       *slog.Logger      // nil: silent
}

// Webhook asks a service of the operator's about tokens. Questions are signed as the Standard Webhooks
// specification has it. Answers are kept for a short time; the same question is not asked twice at once, and
// none while the service is out of order.
type Webhook struct {
	cfg    WebhookConfig
	url    *url.URL
	client *http.Client
	log    *slog.Logger
	asking sync.WaitGroup

	mu             sync.Mutex
	known, unknown *verdicts
	flights        map[digest]*flight
	breaker        breaker
	closed         bool
	logged         time.Time // when a failure was

	questions, failures uint64
}

// flight is a question under way.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when verdict is there
	verdict
}

// NewWebhook checks the configuration. Nothing is asked before there is a token.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	u, err := checkURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if err := CheckWebhookSecrets(cfg.Secrets); err != nil {
		return nil, err
	}
	return &Webhook{
		cfg: cfg, url: u, client: newClient(cfg.Transport, webhookTimeout), log: orSilent(cfg.Log),
		known: newVerdicts(webhookCache), unknown: newVerdicts(webhookCache), flights: map[digest]*flight{},
		breaker: breaker{limit: webhookFailures, pause: webhookPause},
	}, nil
}

// CheckWebhookSecrets tells whether a webhook can do with these secrets.
func CheckWebhookSecrets(secrets [][]byte) error {
	if len(secrets) == 0 || slices.ContainsFunc(secrets, func(s []byte) bool { return len(s) < minWebhookSecret }) {
		return fmt.Errorf("auth: a webhook needs a secret, and each has %d bytes at least", minWebhookSecret)
	}
	return nil
}

// SetSecrets replaces the secrets by others that CheckWebhookSecrets has seen.
func (w *Webhook) SetSecrets(secrets [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg.Secrets = secrets
}

// secrets are those that sign now.
func (w *Webhook) secrets() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg.Secrets
}

// Close ends the questions that are under way. Nothing is known afterwards but what is kept.
func (w *Webhook) Close() error {
	w.mu.Lock()
	w.closed = true
	for _, f := range w.flights {
		f.cancel()
	}
	w.mu.Unlock()
	w.asking.Wait()
	w.client.CloseIdleConnections()
	return nil
}

// Verify tells what the service says that a token allows.
func (w *Webhook) Verify(ctx context.Context, token string) (Grants, error) {
	if !legalToken(token) {
		return Grants{}, ErrInvalid
	}
	v, f := w.join(ctx, token)
	if f == nil {
		return v.grants, v.err
	}
	select {
	case <-f.done:
		return f.grants, f.err
	case <-ctx.Done():
		return Grants{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// join returns a verdict, or else the question that will have one.
func (w *Webhook) join(ctx context.Context, token string) (verdict, *flight) {
	sum, now := digest(sha256.Sum256([]byte(token))), time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if v, ok := w.known.get(sum, now); ok {
		return v, nil
	}
	if v, ok := w.unknown.get(sum, now); ok {
		return v, nil
	}
	if f, ok := w.flights[sum]; ok {
		return verdict{}, f
	}
	switch {
	case w.closed, len(w.flights) >= webhookQueue: // that is no outage: whoever sends many tokens could make one
		return verdict{err: ErrUnavailable}, nil
	case !w.breaker.allow(now):
		return w.outage(token), nil
	}
	// Others may wait for the answer that have more patience than who asks first.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), webhookTimeout)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	w.flights[sum] = f
	w.questions++
	w.asking.Go(func() {
		defer cancel()
		v, err := w.ask(asking, token)
		if err != nil {
			w.fail(err)
		}
		w.land(sum, token, f, v, err)
	})
	return verdict{}, f
}

// fail counts a question without an answer, and tells the log now and then.
func (w *Webhook) fail(failure error) {
	now := time.Now()
	w.mu.Lock()
	w.failures++
	failures, tell := w.failures, now.Sub(w.logged) >= webhookLogEvery
	if tell {
		w.logged = now
	}
	w.mu.Unlock()
	if tell {
		w.log.Warn("auth webhook failed", "host", w.url.Host, "failures", failures, "err", failure)
	}
}

// land gives the answer to all who wait for it.
func (w *Webhook) land(sum digest, token string, f *flight, v verdict, failure error) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := errors.Is(failure, errOutage)
	// Who answers what it should not is not out of order: otherwise some token that a service
	// chokes on would keep all others from being asked about, or let them in.
	w.breaker.record(now, !out)
	switch {
	case out && !w.closed:
		v = w.outage(token)
	case failure != nil:
		v = verdict{err: ErrUnavailable}
	case v.err != nil:
		w.unknown.put(sum, v, now, now.Add(webhookUnknown))
	default:
		until := now.Add(webhookKnown)
		if end := v.grants.Expires; !end.IsZero() && end.Before(until) {
			until = end
		}
		w.known.put(sum, v, now, until)
	}
	f.verdict = v
	delete(w.flights, sum)
	close(f.done)
}

// outage is the verdict while nobody can be asked. Failing open is for media alone: nobody becomes an
// operator by it.
func (w *Webhook) outage(token string) verdict {
	if !w.cfg.FailOpen {
		return verdict{err: ErrUnavailable}
	}
	c := Claims{Identity: identity(token), Rooms: []Pattern{"*"}, Can: []Grant{Publish, Subscribe}}
	return verdict{grants: c.grants(tokenID(token))}
}
