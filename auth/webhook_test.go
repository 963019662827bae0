package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicemedia/sluice/auth"
)

const (
	webhookSecret = "webhook-secret-of-32-bytes------"
	oldSecret     = "older-secret-of-24-bytes"
	annsAnswer    = `{"identity":"ann","name":"Ann","rooms":["studio"],"can":["publish"]}`
)

// authority answers questions about tokens, over a network or without one.
type authority struct {
	mu      sync.Mutex
	answers map[string]answer // by token
	any     answer
	asked   []string
	most    int // questions at once
	now     int
	hold    chan struct{} // closed: answers come
}

type answer struct {
	status int
	body   string
	err    error
}

func (a *authority) answer(body []byte) answer {
	var q struct {
		Type string
		Data struct{ Token string }
	}
	if json.Unmarshal(body, &q) != nil || q.Type != "token.verify" {
		return answer{status: 400}
	}
	a.mu.Lock()
	a.asked = append(a.asked, q.Data.Token)
	a.now++
	a.most = max(a.most, a.now)
	found, ok := a.answers[q.Data.Token]
	if !ok {
		found = a.any
	}
	a.mu.Unlock()
	if a.hold != nil {
		<-a.hold
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now--
	return found
}

func (a *authority) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func (a *authority) say(found answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.any = found
}

func (a *authority) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	found := make(chan answer, 1)
	go func() { found <- a.answer(body) }()
	select {
	case f := <-found:
		if f.err != nil {
			return nil, f.err
		}
		return &http.Response{StatusCode: f.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(f.body)), Request: req}, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

func webhook(t *testing.T, cfg auth.WebhookConfig) *auth.Webhook {
	t.Helper()
	if cfg.Secrets == nil {
		cfg.Secrets = [][]byte{[]byte(webhookSecret)}
	}
	w, err := auth.NewWebhook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// TestWebhook asks a real server, which verifies the signature with the library of those who wrote
// the specification.
func TestWebhook(t *testing.T) {
	a := &authority{
		answers: map[string]answer{
			"ann-token":   {status: 200, body: annsAnswer},
			"short-token": {status: 200, body: `{"rooms":"studio","can":"subscribe","id":"7","issued":"2026-01-02T03:04:05Z"}`},
		},
		any: answer{status: 404},
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s, %v, %v", r.Method, r.Header, err)
		}
		for _, s := range []string{webhookSecret, oldSecret} {
			verifier, err := standardwebhooks.NewWebhookRaw([]byte(s))
			if err == nil {
				err = verifier.Verify(body, r.Header)
			}
			if err != nil {
				t.Error(err)
			}
		}
		if other, err := standardwebhooks.NewWebhookRaw([]byte(secret)); err != nil || other.Verify(body, r.Header) == nil {
			t.Errorf("another secret verifies the signature (%v)", err)
		}
		found := a.answer(body)
		w.WriteHeader(found.status)
		w.Write([]byte(found.body))
	}))
	defer server.Close()
	w := webhook(t, auth.WebhookConfig{
		URL: server.URL + "/verify?a=b", Transport: server.Client().Transport, Secrets: [][]byte{[]byte(webhookSecret), []byte(oldSecret)},
	})
	g, err := w.Verify(t.Context(), "ann-token")
	if err != nil || g.Identity != "ann" || g.Name != "Ann" || !g.Allows("studio", auth.Publish) || g.Allows("studio", auth.Subscribe) ||
		!g.Expires.IsZero() || g.TokenID == "" || strings.Contains(g.TokenID, "ann") {
		t.Errorf("got %+v, %v", g, err)
	}
	g, err = w.Verify(t.Context(), "short-token")
	if err != nil || !strings.HasPrefix(g.Identity, "key-") || g.TokenID != "7" || g.Issued.Year() != 2026 || !g.Allows("studio", auth.Subscribe) {
		t.Errorf("got %+v, %v", g, err)
	}
	if _, err := w.Verify(t.Context(), "unknown-token"); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	for _, token := range []string{"", "two words", strings.Repeat("x", 4097), "t\x00"} {
		if _, err := w.Verify(t.Context(), token); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%.10q: got %v, want ErrInvalid", token, err)
		}
	}
	if n := a.count(); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestWebhookAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer
		want error
		open bool // whether this lets everybody in where an operator wants that
	}{
		"401":                 {answer{status: 401}, auth.ErrInvalid, false},
		"403":                 {answer{status: 403}, auth.ErrInvalid, false},
		"404":                 {answer{status: 404}, auth.ErrInvalid, false},
		"expired":             {answer{status: 200, body: `{"rooms":["a"],"can":["publish"],"expires":"1999-01-01T00:00:00Z"}`}, auth.ErrExpired, false},
		"nothing":             {answer{status: 200, body: `{}`}, nil, false},
		"one more field":      {answer{status: 200, body: `{"color":"red"}`}, nil, false},
		"301":                 {answer{status: 301}, auth.ErrUnavailable, false},
		"400":                 {answer{status: 400}, auth.ErrUnavailable, false},
		"204":                 {answer{status: 204}, auth.ErrUnavailable, false},
		"429":                 {answer{status: 429}, auth.ErrUnavailable, true},
		"500":                 {answer{status: 500}, auth.ErrUnavailable, true},
		"503":                 {answer{status: 503}, auth.ErrUnavailable, true},
		"no route":            {answer{err: errors.New("no route")}, auth.ErrUnavailable, true},
		"empty":               {answer{status: 200}, auth.ErrUnavailable, false},
		"HTML":                {answer{status: 200, body: `<html>`}, auth.ErrUnavailable, false},
		"a list":              {answer{status: 200, body: `[]`}, auth.ErrUnavailable, false},
		"cut":                 {answer{status: 200, body: annsAnswer[:20]}, auth.ErrUnavailable, false},
		"twice":               {answer{status: 200, body: annsAnswer + annsAnswer}, auth.ErrUnavailable, false},
		"unknown grant":       {answer{status: 200, body: `{"rooms":["a"],"can":["fly"]}`}, auth.ErrUnavailable, false},
		"bad room":            {answer{status: 200, body: `{"rooms":["a/b"],"can":["publish"]}`}, auth.ErrUnavailable, false},
		"expires as a number": {answer{status: 200, body: `{"expires":7}`}, auth.ErrUnavailable, false},
		"long identity":       {answer{status: 200, body: `{"identity":"` + strings.Repeat("a", 129) + `"}`}, auth.ErrUnavailable, false},
		"too large":           {answer{status: 200, body: `{"name":"` + strings.Repeat(" ", 64<<10) + `"}`}, auth.ErrUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				cfg := auth.WebhookConfig{URL: "https://auth.test/?key=s3cr3t", Transport: &authority{any: tc.answer}, Log: slog.New(slog.NewTextHandler(&log, nil))}
				g, err := webhook(t, cfg).Verify(t.Context(), "ann-token")
				check(t, "ann-token", g, err, tc.want)
				if err == nil && g.AllowsSomewhere(auth.Publish) {
					t.Errorf("an answer without grants allows something: %+v", g)
				}
				cfg.FailOpen = true
				g, err = webhook(t, cfg).Verify(t.Context(), "ann-token")
				if !tc.open {
					check(t, "ann-token", g, err, tc.want)
				} else if err != nil || !g.Allows("any", auth.Publish) || !g.Allows("any", auth.Subscribe) ||
					g.AllowsSomewhere(auth.Admin) || g.AllowsSomewhere(auth.Moderate) || g.AllowsSomewhere(auth.Record) || !strings.HasPrefix(g.Identity, "key-") {
					t.Errorf("open: got %+v, %v", g, err)
				}
				if text := log.String(); strings.Contains(text, "s3cr3t") || strings.Contains(text, "ann-token") || strings.Contains(text, "fly") ||
					(text == "") == errors.Is(tc.want, auth.ErrUnavailable) {
					t.Errorf("the log is %q", text)
				}
			})
		})
	}
}

// TestWebhookKept: an answer is good for 30 s at most, a no for 2 s.
func TestWebhookKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{any: answer{status: 200, body: annsAnswer}}
		w := webhook(t, auth.WebhookConfig{URL: "https://auth.test/", Transport: a})
		verify := func(want error, asked int) {
			t.Helper()
			_, err := w.Verify(t.Context(), "ann-token")
			if !errors.Is(err, want) || want == nil && err != nil || a.count() != asked {
				t.Errorf("got %v after %d questions, want %v after %d", err, a.count(), want, asked)
			}
		}
		verify(nil, 1)
		a.say(answer{status: 401})
		time.Sleep(30*time.Second - 1)
		verify(nil, 1)
		time.Sleep(time.Nanosecond)
		verify(auth.ErrInvalid, 2)
		a.say(answer{status: 200, body: annsAnswer[:len(annsAnswer)-1] + `,"expires":"` + time.Now().Add(10*time.Second).Format(time.RFC3339Nano) + `"}`})
		time.Sleep(2*time.Second - 1)
		verify(auth.ErrInvalid, 2)
		time.Sleep(time.Nanosecond)
		verify(nil, 3)
		time.Sleep(8*time.Second - 1)
		verify(nil, 3)
		time.Sleep(time.Nanosecond)
		verify(auth.ErrExpired, 4)
		a.say(answer{status: 500})
		time.Sleep(2 * time.Second)
		verify(auth.ErrUnavailable, 5)
		a.say(answer{status: 200, body: annsAnswer})
		verify(nil, 6) // a failure is not kept
	})
}

// TestWebhookOnce: many who ask the same at once ask once, and one who gives up does not take the answer
// from the others.
func TestWebhookOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{any: answer{status: 200, body: annsAnswer}, hold: make(chan struct{})}
		w := webhook(t, auth.WebhookConfig{URL: "https://auth.test/", Transport: a})
		hasty, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := w.Verify(hasty, "ann-token"); !errors.Is(err, auth.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the hasty one: got %v", err)
			}
		})
		synctest.Wait()
		for range 1000 {
			all.Go(func() {
				if g, err := w.Verify(t.Context(), "ann-token"); err != nil || g.Identity != "ann" {
					t.Errorf("got %+v, %v", g, err)
				}
			})
		}
		time.Sleep(time.Second)
		close(a.hold)
		all.Wait()
		if n := a.count(); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
	})
}

func TestWebhookConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		url     string
		secrets []string
		want    bool
	}{
		"right":        {"https://auth.test/", []string{webhookSecret}, true},
		"this machine": {"http://127.0.0.1:1/", []string{webhookSecret, oldSecret}, true},
		"plain":        {"http://auth.test/", []string{webhookSecret}, false},
		"no secret":    {"https://auth.test/", nil, false},
		"empty secret": {"https://auth.test/", []string{""}, false},
		"short secret": {"https://auth.test/", []string{webhookSecret, webhookSecret[:23]}, false},
	} {
		cfg := auth.WebhookConfig{URL: tc.url}
		for _, s := range tc.secrets {
			cfg.Secrets = append(cfg.Secrets, []byte(s))
		}
		w, err := auth.NewWebhook(cfg)
		if (err == nil) != tc.want || err != nil && strings.Contains(err.Error(), webhookSecret[:10]) {
			t.Errorf("%s: got %v", name, err)
		}
		if err == nil {
			w.Close()
		}
	}
}

// TestWebhookSecretsChange: questions are signed with the secrets of now; nothing else of the webhook changes.
func TestWebhookSecretsChange(t *testing.T) {
	var mu sync.Mutex
	var headers http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		headers = r.Header.Clone()
		w.Write([]byte(annsAnswer))
	}))
	defer server.Close()
	w := webhook(t, auth.WebhookConfig{URL: server.URL, Secrets: [][]byte{[]byte(oldSecret)}})
	signatures := func(token string) int {
		t.Helper()
		if _, err := w.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return len(strings.Fields(headers.Get("Webhook-Signature")))
	}
	if n := signatures("token-1"); n != 1 {
		t.Errorf("%d signatures, want 1", n)
	}
	for _, bad := range [][][]byte{nil, {[]byte("short")}, {[]byte(webhookSecret), nil}} {
		if err := auth.CheckWebhookSecrets(bad); err == nil || strings.Contains(err.Error(), "short") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	both := [][]byte{[]byte(webhookSecret), []byte(oldSecret)}
	if err := auth.CheckWebhookSecrets(both); err != nil {
		t.Error(err)
	}
	w.SetSecrets(both)
	if n := signatures("token-2"); n != 2 {
		t.Errorf("%d signatures, want 2", n)
	}
}
