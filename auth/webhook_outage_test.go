package auth_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemedia/sluice/auth"
)

// TestWebhookOut: after five failures nobody is asked for five seconds, then one question at a time. Who is known
// gets in meanwhile.
func TestWebhookOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{any: answer{status: 503}, answers: map[string]answer{"ann-token": {status: 200, body: annsAnswer}}}
		var log bytes.Buffer
		w := webhook(t, auth.WebhookConfig{URL: "https://auth.test/", Transport: a, Log: slog.New(slog.NewTextHandler(&log, nil))})
		is := func(when string, want auth.WebhookStats) {
			t.Helper()
			if got := w.Stats(); got != want {
				t.Errorf("%s: got %+v, want %+v", when, got, want)
			}
		}
		if _, err := w.Verify(t.Context(), "ann-token"); err != nil {
			t.Fatal(err)
		}
		flood := func() {
			t.Helper()
			for i := range 100 {
				if _, err := w.Verify(t.Context(), fmt.Sprintf("token-%d", i)); !errors.Is(err, auth.ErrUnavailable) {
					t.Fatalf("got %v, want ErrUnavailable", err)
				}
			}
		}
		flood()
		if n := a.count(); n != 1+5 {
			t.Errorf("asked %d times, want 6", n)
		}
		is("after five failures", auth.WebhookStats{Questions: 6, Failures: 5, Out: true})
		if _, err := w.Verify(t.Context(), "ann-token"); err != nil {
			t.Errorf("who is known: %v", err)
		}
		time.Sleep(5 * time.Second)
		flood()
		if n := a.count(); n != 1+5+1 {
			t.Errorf("asked %d times, want 7", n)
		}
		time.Sleep(5 * time.Second)
		a.say(answer{status: 200, body: annsAnswer})
		for i := range 100 {
			if _, err := w.Verify(t.Context(), fmt.Sprintf("token-%d", i)); err != nil {
				t.Fatalf("when it is back: %v", err)
			}
		}
		is("when it is back", auth.WebhookStats{Questions: 7 + 100, Failures: 6})
		if n := strings.Count(log.String(), "auth webhook failed"); n != 1 {
			t.Errorf("six failures in five seconds are %d lines in the log, want one", n)
		}
	})
}

// TestWebhookNonsense: a service that answers what it should not is asked all the same, and nobody gets in by that.
func TestWebhookNonsense(t *testing.T) {
	for name, nonsense := range map[string]answer{
		"a status": {status: 400}, "no JSON": {status: 200, body: "<html>"}, "too much": {status: 200, body: strings.Repeat(" ", 65<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			a := &authority{any: nonsense, answers: map[string]answer{"ann-token": {status: 200, body: annsAnswer}}}
			w := webhook(t, auth.WebhookConfig{URL: "https://auth.test/", Transport: a, FailOpen: true})
			for i := range 20 {
				if grants, err := w.Verify(t.Context(), fmt.Sprintf("token-%d", i)); !errors.Is(err, auth.ErrUnavailable) {
					t.Fatalf("token %d: got %v, %v, want ErrUnavailable", i, grants, err)
				}
			}
			if grants, err := w.Verify(t.Context(), "ann-token"); err != nil || grants.Identity != "ann" {
				t.Errorf("a good token afterwards: got %+v, %v", grants, err)
			}
		})
	}
}

// TestWebhookSlow: an answer takes two seconds at most; a token more than there may be questions is told so
// at once; Close ends what is under way.
func TestWebhookSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{any: answer{status: 200, body: annsAnswer}, hold: make(chan struct{})}
		defer close(a.hold)
		cfg := auth.WebhookConfig{URL: "https://auth.test/", Transport: a, FailOpen: true}
		w := webhook(t, cfg)
		var all sync.WaitGroup
		for i := range 256 {
			all.Go(func() {
				began := time.Now()
				if _, err := w.Verify(t.Context(), fmt.Sprintf("token-%d", i)); err != nil {
					t.Errorf("open, and nobody answers: %v", err)
				}
				if waited := time.Since(began); waited != 2*time.Second {
					t.Errorf("waited %v, want 2 s", waited)
				}
			})
		}
		synctest.Wait()
		began := time.Now()
		// Not even where it fails open: any number of questions is easily asked.
		if _, err := w.Verify(t.Context(), "one-more"); !errors.Is(err, auth.ErrUnavailable) || time.Since(began) != 0 {
			t.Errorf("got %v after %v, want ErrUnavailable at once", err, time.Since(began))
		}
		all.Wait()
		if a.most != 256 {
			t.Errorf("%d questions at once, want 256", a.most)
		}

		w = webhook(t, cfg)
		all.Go(func() {
			if _, err := w.Verify(t.Context(), "ann-token"); !errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
		})
		synctest.Wait()
		began = time.Now()
		if err := w.Close(); err != nil || time.Since(began) != 0 {
			t.Errorf("Close took %v (%v)", time.Since(began), err)
		}
		all.Wait()
		if _, err := w.Verify(t.Context(), "ann-token"); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("after its end: got %v, want ErrUnavailable", err)
		}
	})
}

// TestWebhookBounded: what is kept of tokens has an end, and unknown ones do not push out those that are known.
func TestWebhookBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{any: answer{status: 401}, answers: map[string]answer{"ann-token": {status: 200, body: annsAnswer}}}
		w := webhook(t, auth.WebhookConfig{URL: "https://auth.test/", Transport: a})
		const many = 8192 + 100
		if _, err := w.Verify(t.Context(), "ann-token"); err != nil {
			t.Fatal(err)
		}
		for i := range many {
			if _, err := w.Verify(t.Context(), fmt.Sprintf("token-%d", i)); !errors.Is(err, auth.ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
		}
		for _, tc := range []struct {
			token string
			asked int
		}{{"ann-token", 0}, {fmt.Sprintf("token-%d", many-1), 0}, {"token-100", 0}, {"token-99", 1}, {"token-100", 1}, {"token-102", 0}} {
			before := a.count()
			_, err := w.Verify(t.Context(), tc.token)
			if n := a.count() - before; n != tc.asked || errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("%s: asked %d times (%v), want %d", tc.token, n, err, tc.asked)
			}
		}
	})
}
