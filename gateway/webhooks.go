package gateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/auth"
	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/events/webhook"
)

// everywhere is no room's name: only the pattern * matches it.
const everywhere = "*"

func (c *Config) checkWebhooks() error {
	var errs []error
	for i, text := range c.WebhookURL {
		errs = append(errs, setting("webhook-url", webhook.CheckURL(text)))
		if slices.Contains(c.WebhookURL[:i], text) {
			errs = append(errs, errors.New("webhook-url: one is there twice"))
		}
	}
	for _, name := range c.WebhookEvents {
		if !slices.Contains(webhook.KnownTypes(), events.Type(name)) {
			errs = append(errs, fmt.Errorf("webhook-events: %q is not the type of an event", name))
		}
	}
	if len(c.WebhookURL) > 0 && c.WebhookSecretFile == "" {
		errs = append(errs, errors.New("webhook-url: does not work without webhook-secret-file, by which receivers know that it is us"))
	}
	if c.WebhookMaxAge <= 0 {
		errs = append(errs, errors.New("webhook-max-age: must be positive"))
	}
	return errors.Join(errs...)
}

// loadSecrets reads the file of secrets; none without endpoints.
func loadSecrets(cfg *Config) ([]webhook.Secret, error) {
	if cfg.WebhookSecretFile == "" {
		return nil, nil
	}
	f, err := os.Open(cfg.WebhookSecretFile)
	if err != nil {
		return nil, fmt.Errorf("webhook-secret-file: %w", err)
	}
	secrets, err := webhook.ParseSecrets(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("webhook-secret-file: %s: %w", cfg.WebhookSecretFile, err)
	}
	return secrets, nil
}

// openWebhooks opens the outbox; nil when no endpoint is configured.
func openWebhooks(cfg *Config, log *slog.Logger) (*webhook.Outbox, error) {
	if len(cfg.WebhookURL) == 0 {
		return nil, nil
	}
	secrets, err := loadSecrets(cfg)
	if err != nil {
		return nil, err
	}
	out := webhook.DefaultConfig()
	out.Path, out.URLs, out.Secrets, out.MaxAge, out.Log = filepath.Join(cfg.Data, "webhooks.db"), cfg.WebhookURL, secrets, cfg.WebhookMaxAge, log
	for _, name := range cfg.WebhookEvents {
		out.Types = append(out.Types, events.Type(name))
	}
	for _, text := range cfg.WebhookURL {
		if u, err := url.Parse(text); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			log.Warn("a webhook goes over plain HTTP: what happens in rooms can be read on its way", "host", u.Host)
		}
	}
	return webhook.Open(out)
}

// tellWebhooks hands an event of a room to the outbox. It does not wait.
func (g *Gateway) tellWebhooks(e events.Event) {
	if g.webhooks != nil {
		g.webhooks.Put(e)
	}
}

// closeWebhooks stops sending. What was not sent is sent after the next start.
func (g *Gateway) closeWebhooks() error {
	if g.webhooks == nil {
		return nil
	}
	return g.webhooks.Close()
}

// administersAll lets pass who has admin on every room: webhooks are of them all.
func (g *Gateway) administersAll(r *http.Request) error {
	_, err := g.authorize(r, everywhere, auth.Admin)
	return err
}

// webhookView is an endpoint as the API shows it.
type webhookView struct {
	ID          string            `json:"id"`
	URL         string            `json:"url"`
	State       webhook.State     `json:"state"`
	NextTry     *stamp            `json:"next_try"`
	Backlog     int               `json:"backlog"`
	Bytes       int64             `json:"backlog_bytes"`
	Oldest      *stamp            `json:"oldest"`
	InFlight    int               `json:"in_flight"`
	Sent        uint64            `json:"sent"`
	Failed      map[string]uint64 `json:"failed"`
	LastSuccess *stamp            `json:"last_success"`
	LastFailure *stamp            `json:"last_failure"`
	LastError   *string           `json:"last_error"`
	Dead        int               `json:"dead"`
}

func viewOf(s webhook.Status) webhookView {
	return webhookView{
		ID: s.ID, URL: s.URL, State: s.State, NextTry: stampOf(s.Next), Backlog: s.Backlog, Bytes: s.BacklogBytes, Oldest: stampOf(s.Oldest),
		InFlight: s.InFlight, Sent: s.Sent, Failed: s.Failed, LastSuccess: stampOf(s.LastSuccess), LastFailure: stampOf(s.LastFailure),
		LastError: said(s.LastError), Dead: s.Dead,
	}
}

// stampOf is a time that the API shows, or null.
func stampOf(t time.Time) *stamp {
	if t.IsZero() {
		return nil
	}
	s := stamp(t)
	return &s
}

// said is a text that the API shows, or null.
func said(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (g *Gateway) listWebhooks(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	if err := g.administersAll(r); err != nil {
		return err
	}
	items := []webhookView{}
	if g.webhooks != nil {
		list, err := g.webhooks.Endpoints()
		if err != nil {
			return err
		}
		for _, s := range list {
			items = append(items, viewOf(s))
		}
	}
	return writeList(w, r, items, func(v webhookView) string { return v.ID })
}

// deadLetterView is an event that was given up, as the API shows it.
type deadLetterView struct {
	ID        string          `json:"id"`
	MessageID string          `json:"webhook_id"`
	Webhook   string          `json:"webhook"`
	Room      string          `json:"room"`
	Event     json.RawMessage `json:"event"`
	Died      stamp           `json:"died"`
	Reason    string          `json:"reason"`
	Error     *string         `json:"error"`
	Tries     int             `json:"tries"`
}

// listDeadLetters pages by itself: there may be more than fit into memory.
func (g *Gateway) listDeadLetters(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	if err := g.administersAll(r); err != nil {
		return err
	}
	limit, after, err := pageOf(r)
	if err != nil {
		return err
	}
	page := list[deadLetterView]{Items: []deadLetterView{}}
	if g.webhooks == nil {
		return writeJSON(w, http.StatusOK, page)
	}
	letters, more, err := g.webhooks.Dead(after, limit)
	if err != nil {
		return err
	}
	for _, l := range letters {
		page.Items = append(page.Items, deadLetterView{
			l.ID, l.MessageID, l.Endpoint, l.Room, l.Event, stamp(l.Died), l.Reason, said(l.Failure), l.Tries,
		})
	}
	if more {
		next := base64.RawURLEncoding.EncodeToString([]byte(letters[len(letters)-1].ID))
		page.Next = &next
	}
	return writeJSON(w, http.StatusOK, page)
}

// replayed is the answer to a replay.
type replayed struct {
	Replayed int `json:"replayed"`
}

func (g *Gateway) replayDeadLetter(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	if err := g.administersAll(r); err != nil {
		return err
	}
	if g.webhooks == nil {
		return webhook.ErrNotFound
	}
	if err := g.webhooks.Replay(p.ByName("letter")); err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, replayed{1})
}

func (g *Gateway) replayDeadLetters(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	if err := g.administersAll(r); err != nil {
		return err
	}
	var done replayed
	if g.webhooks != nil {
		var err error
		if done.Replayed, err = g.webhooks.ReplayAll(); err != nil {
			return err
		}
	}
	return writeJSON(w, http.StatusAccepted, done)
}

// pongView is what an endpoint did with a test.
type pongView struct {
	Webhook string  `json:"webhook"`
	URL     string  `json:"url"`
	OK      bool    `json:"ok"`
	Took    int64   `json:"took_ms"`
	Class   *string `json:"class"`
	Error   *string `json:"error"`
}

func (g *Gateway) testWebhooks(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	if err := g.administersAll(r); err != nil {
		return err
	}
	page := list[pongView]{Items: []pongView{}}
	if g.webhooks == nil {
		return writeJSON(w, http.StatusOK, page)
	}
	// On a node without authentication everybody may ask, and each asking is
	// a request to somebody else.
	if !g.webhookTests.Allow() {
		return &problemError{name: "too-many-tests"}
	}
	pongs, err := g.webhooks.Ping(r.Context())
	if err != nil {
		return err
	}
	for _, p := range pongs {
		page.Items = append(page.Items, pongView{p.Endpoint, p.URL, p.OK, p.Took.Milliseconds(), said(p.Class), said(p.Failure)})
	}
	return writeJSON(w, http.StatusOK, page)
}
