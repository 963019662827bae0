package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/gateway"
)

const (
	webhookSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newWebhookSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// hook is a receiver of webhooks that verifies them.
type hook struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex // guards what follows
	status int
	secret string
	ids    map[events.Type]string // of what it took
	wrong  int                    // signatures that it refused
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{t: t, status: http.StatusNoContent, secret: webhookSecret, ids: map[events.Type]string{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var e events.Event
	if err != nil || json.Unmarshal(body, &e) != nil {
		h.t.Errorf("got %s, %v", body, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	verifier, err := standardwebhooks.NewWebhook(h.secret)
	if err == nil {
		err = verifier.Verify(body, r.Header)
	}
	switch {
	case err != nil:
		h.wrong++
		w.WriteHeader(http.StatusUnauthorized)
	case h.status/100 == 2:
		h.ids[e.Type] = r.Header.Get("Webhook-Id")
		fallthrough
	default:
		w.WriteHeader(h.status)
	}
}

func (h *hook) set(status int, secret string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status, h.secret = status, secret
}

// took is the id under which an event of a type was taken last.
func (h *hook) took(kind events.Type) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ids[kind]
}

// withHook configures one endpoint, with a query that nobody may see.
func withHook(t *testing.T, h *hook) func(*gateway.Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secrets")
	write(t, file, "# one\n"+webhookSecret+"\n")
	return func(c *gateway.Config) {
		c.WebhookURL, c.WebhookSecretFile = []string{h.URL + "/in?key=hidden"}, file
	}
}

func roomEvent(n int, kind events.Type) events.Event {
	return events.Event{Seq: uint64(n), Time: events.Time(time.Now()), Room: "garden", Type: kind, Data: json.RawMessage(`{}`)}
}

// lists reads one page of a list.
func lists[T any](t *testing.T, n node, method, path string) (items []T, next *string) {
	t.Helper()
	a := n.do(t, method, path, nil, "")
	var page struct {
		Items []T
		Next  *string
	}
	if err := json.Unmarshal([]byte(a.Body), &page); err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%s: got %d %s, %v", path, a.StatusCode, a.Body, err)
	}
	return page.Items, page.Next
}

type webhookItem struct {
	ID, URL, State string
	Backlog        int
	Sent           uint64
	Failed         map[string]int
	Dead           int
	LastError      *string `json:"last_error"`
	NextTry        *string `json:"next_try"`
	Oldest         *string
}

func webhookNow(t *testing.T, n node) webhookItem {
	t.Helper()
	items, _ := lists[webhookItem](t, n, "GET", "/v1/webhooks")
	if len(items) != 1 {
		t.Fatalf("got %d endpoints, want 1", len(items))
	}
	return items[0]
}

func TestWebhooksAreShown(t *testing.T) {
	h := newHook(t)
	n := start(t, withHook(t, h))
	n.TellWebhooks(roomEvent(1, events.SessionJoined))
	eventually(t, "the event arrives and is counted", func() bool {
		return h.took(events.SessionJoined) != "" && webhookNow(t, n).Sent == 1 && webhookNow(t, n).Backlog == 0
	})
	if w := webhookNow(t, n); w.State != "well" || w.URL != h.URL+"/in" || w.NextTry != nil || w.Oldest != nil || w.LastError != nil {
		t.Errorf("got %+v", w)
	}
	h.set(http.StatusServiceUnavailable, webhookSecret)
	n.TellWebhooks(roomEvent(2, events.SessionLeft))
	eventually(t, "the endpoint is away", func() bool { return webhookNow(t, n).State == "away" })
	w := webhookNow(t, n)
	if w.Backlog != 1 || w.NextTry == nil || w.Oldest == nil || w.LastError == nil || *w.LastError != "the receiver answered 503" || w.Failed["busy"] == 0 {
		t.Errorf("got %+v", w)
	}
	for _, want := range []string{
		`sluice_webhook_sent_total{endpoint="` + w.ID + `"} 1`, `sluice_webhook_backlog{endpoint="` + w.ID + `"} 1`,
		`sluice_webhook_failed_total{class="busy",endpoint="` + w.ID + `"}`, `sluice_webhook_oldest_seconds{`, `sluice_webhook_dead{`, "sluice_webhook_lost_total 0",
	} {
		if text := scrape(t, n); !strings.Contains(text, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	if strings.Contains(scrape(t, n), "hidden") {
		t.Error("the metrics tell the query of the endpoint")
	}
}

func scrape(t *testing.T, n node) string {
	t.Helper()
	resp, err := http.Get(n.AdminURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return string(text)
}

type letterItem struct {
	ID, Webhook, Room, Reason string
	WebhookID                 string `json:"webhook_id"`
	Event                     events.Event
	Error                     *string
	Tries                     int
}

// TestDeadLetters: what was too old at the start is listed, page by page, and is replayed
// alone and with all others, under its old id.
func TestDeadLetters(t *testing.T) {
	h := newHook(t)
	h.set(http.StatusServiceUnavailable, webhookSecret)
	option, data := withHook(t, h), t.TempDir()
	n := start(t, option, func(c *gateway.Config) { c.Data = data })
	kinds := []events.Type{events.SessionJoined, events.PublicationStarted, events.PublicationStopped, events.SessionLeft}
	for i, kind := range kinds {
		n.TellWebhooks(roomEvent(i+1, kind))
	}
	eventually(t, "all wait", func() bool { return webhookNow(t, n).Backlog == len(kinds) })
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n = start(t, option, func(c *gateway.Config) { c.Data, c.WebhookMaxAge = data, time.Nanosecond })
	first, next := lists[letterItem](t, n, "GET", "/v1/webhooks/dead?limit=3")
	if len(first) != 3 || next == nil {
		t.Fatalf("the first page has %d, next %v", len(first), next)
	}
	rest, end := lists[letterItem](t, n, "GET", "/v1/webhooks/dead?cursor="+*next)
	letters := append(first, rest...)
	if len(letters) != len(kinds) || end != nil {
		t.Fatalf("got %d letters, next %v", len(letters), end)
	}
	for i, l := range letters {
		if l.Event.Type != kinds[i] || l.Room != "garden" || l.Reason != "expired" || l.Error != nil || l.Webhook != webhookNow(t, n).ID {
			t.Errorf("%d: got %+v", i, l)
		}
	}
	if a := n.do(t, "POST", "/v1/webhooks/dead/"+letters[2].ID+"/replay", nil, ""); a.StatusCode != http.StatusAccepted || a.Body != `{"replayed":1}` {
		t.Errorf("replay: got %d %s", a.StatusCode, a.Body)
	}
	if a := n.do(t, "POST", "/v1/webhooks/dead/"+letters[2].ID+"/replay", nil, ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("replayed twice: got %d %s", a.StatusCode, a.Body)
	}
	if w := webhookNow(t, n); w.Dead != 3 || w.Backlog != 1 {
		t.Errorf("got %+v", w)
	}
	if a := n.do(t, "POST", "/v1/webhooks/replay", nil, ""); a.StatusCode != http.StatusAccepted || a.Body != `{"replayed":3}` {
		t.Errorf("replay all: got %d %s", a.StatusCode, a.Body)
	}
	h.set(http.StatusNoContent, webhookSecret)
	eventually(t, "all arrive", func() bool { return webhookNow(t, n).Backlog == 0 })
	for _, l := range letters {
		if got := h.took(l.Event.Type); got != l.WebhookID {
			t.Errorf("%s: the id is %q, was %q", l.Event.Type, got, l.WebhookID)
		}
	}
}

func TestWebhookTest(t *testing.T) {
	h := newHook(t)
	n := start(t, withHook(t, h))
	type pong struct {
		URL          string
		OK           bool
		Class, Error *string
	}
	pongs, _ := lists[pong](t, n, "POST", "/v1/webhooks/test")
	if len(pongs) != 1 || !pongs[0].OK || pongs[0].Error != nil || h.took("ping") == "" || pongs[0].URL != h.URL+"/in" {
		t.Errorf("got %+v", pongs)
	}
	h.set(http.StatusNotFound, webhookSecret)
	pongs, _ = lists[pong](t, n, "POST", "/v1/webhooks/test")
	if len(pongs) != 1 || pongs[0].OK || pongs[0].Class == nil || *pongs[0].Class != "4xx" {
		t.Errorf("got %+v", pongs)
	}
	eventually(t, "too many tests are refused", func() bool {
		a := n.do(t, "POST", "/v1/webhooks/test", nil, "")
		return a.StatusCode == http.StatusTooManyRequests && a.Header.Get("Retry-After") != ""
	})
}

func TestWebhooksOfANodeWithout(t *testing.T) {
	n := start(t)
	n.TellWebhooks(roomEvent(1, events.SessionJoined)) // goes nowhere
	for _, path := range []string{"GET /v1/webhooks", "GET /v1/webhooks/dead", "POST /v1/webhooks/test"} {
		method, path, _ := strings.Cut(path, " ")
		if items, next := lists[any](t, n, method, path); len(items) != 0 || next != nil {
			t.Errorf("%s: got %v, %v", path, items, next)
		}
	}
	if a := n.do(t, "POST", "/v1/webhooks/replay", nil, ""); a.StatusCode != http.StatusAccepted || a.Body != `{"replayed":0}` {
		t.Errorf("replay all: got %d %s", a.StatusCode, a.Body)
	}
	if a := n.do(t, "POST", "/v1/webhooks/dead/x-1/replay", nil, ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("replay: got %d %s", a.StatusCode, a.Body)
	}
	if a := n.do(t, "GET", "/v1/webhooks/dead?limit=0", nil, ""); a.StatusCode != http.StatusBadRequest {
		t.Errorf("no limit: got %d %s", a.StatusCode, a.Body)
	}
}

// TestWebhooksNeedAdminOfAll: they show what happens in every room.
func TestWebhooksNeedAdminOfAll(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	write(t, tokens, "admin-of-all * admin\nadmin-of-some ga* admin\nnot-an-admin * publish,subscribe,record,moderate\n")
	n := start(t, withHook(t, newHook(t)), func(c *gateway.Config) { c.AuthTokenFile = tokens })
	for _, route := range []string{
		"GET /v1/webhooks", "HEAD /v1/webhooks", "GET /v1/webhooks/dead", "HEAD /v1/webhooks/dead",
		"POST /v1/webhooks/dead/x-1/replay", "POST /v1/webhooks/replay", "POST /v1/webhooks/test",
	} {
		method, path, _ := strings.Cut(route, " ")
		for token, want := range map[string]int{"": 401, "wrong-token": 401, "admin-of-some": 403, "not-an-admin": 403, "admin-of-all": 0} {
			headers := []string{}
			if token != "" {
				headers = append(headers, "Authorization", "Bearer "+token)
			}
			got := n.do(t, method, path, headers, "").StatusCode
			if want != 0 && got != want || want == 0 && (got == 401 || got == 403) {
				t.Errorf("%s with %q: got %d, want %d", route, token, got, want)
			}
		}
	}
}

// TestWebhookSecretsAreFollowed: a rotation needs no restart.
func TestWebhookSecretsAreFollowed(t *testing.T) {
	h := newHook(t)
	cfg := onLoopback(t)
	withHook(t, h)(&cfg)
	n, log, hangup, _ := reloading(t, cfg)
	h.set(http.StatusNoContent, newWebhookSecret)
	write(t, cfg.WebhookSecretFile, newWebhookSecret+"\n"+webhookSecret+"\n")
	hangup <- syscall.SIGHUP
	eventually(t, "the reload", func() bool { return log.count("configuration reloaded") > 0 })
	n.TellWebhooks(roomEvent(1, events.SessionJoined))
	eventually(t, "it is signed by the new secret", func() bool { return h.took(events.SessionJoined) != "" })
	write(t, cfg.WebhookSecretFile, "whsec_short\n")
	hangup <- syscall.SIGHUP
	eventually(t, "the broken file is told of", func() bool { return log.count("configuration not reloaded") > 0 })
	n.TellWebhooks(roomEvent(2, events.SessionLeft))
	eventually(t, "the secret stays", func() bool { return h.took(events.SessionLeft) != "" })
	for _, secret := range []string{"C2FVsBQ", "MfKQ9r8", "whsec_short", "key=hidden"} {
		if log.count(secret) > 0 {
			t.Errorf("the log has %s in it", secret)
		}
	}
}

func TestWebhookSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*gateway.Config)
		want   string
	}{
		"no secret":      {func(c *gateway.Config) { c.WebhookURL = []string{"https://example.com"} }, "webhook-secret-file"},
		"no URL":         {func(c *gateway.Config) { c.WebhookURL = []string{"example.com"} }, "webhook-url: "},
		"a user":         {func(c *gateway.Config) { c.WebhookURL = []string{"https://a:hidden@example.com"} }, "webhook-url: https://example.com: a user"},
		"twice":          {func(c *gateway.Config) { c.WebhookURL = []string{"https://example.com", "https://example.com"} }, "twice"},
		"unknown type":   {func(c *gateway.Config) { c.WebhookEvents = []string{"session.danced"} }, `"session.danced" is not the type`},
		"the snapshot":   {func(c *gateway.Config) { c.WebhookEvents = []string{"snapshot"} }, "snapshot"},
		"negative age":   {func(c *gateway.Config) { c.WebhookMaxAge = -1 }, "webhook-max-age"},
		"nothing is odd": {func(c *gateway.Config) { c.WebhookEvents = []string{"session.joined", "message"} }, ""},
	} {
		cfg := defaults(t)
		tc.change(&cfg)
		err := cfg.Check()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
		if strings.Contains(fmt.Sprint(err), "hidden") {
			t.Errorf("%s: %v tells a secret", name, err)
		}
	}
}
