//go:build e2e

package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait of these tests; it is no measure of speed.
const patience = 30 * time.Second

// tab is one page in a browser. Whatever the page complains about fails the test at its end.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	allowed    []string
}

// newBrowser starts Chromium with a camera that blinks and beeps.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	if path == "" {
		path = "/usr/bin/chromium"
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no Chromium: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.Flag("headless", "new"),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("mute-audio", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("use-fake-device-for-media-stream", "fps=30"),
		// A name that is not localhost: pages there are not in a secure context.
		chromedp.Flag("host-resolver-rules", "MAP insecure.test 127.0.0.1"),
		chromedp.WindowSize(1280, 800),
	)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// openTab opens a page in a new tab. Console errors that contain one of allowed are
// expected, such as "409": browsers log every refused request.
func openTab(t *testing.T, browser context.Context, url string, allowed ...string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	p := &tab{t: t, ctx: ctx, allowed: allowed}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, complaint := range p.complaints {
			t.Errorf("the page complained: %s", complaint)
		}
	})
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	return p
}

// listen collects errors, warnings and policy violations.
func (p *tab) listen(event any) {
	var complaint string
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
			complaint = fmt.Sprintf("%s %s", e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		complaint = exceptionText(e.ExceptionDetails)
	}
	if complaint == "" {
		return
	}
	for _, allowed := range p.allowed {
		if strings.Contains(complaint, allowed) {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complaints = append(p.complaints, complaint)
}

// eval runs an expression, awaits it, and decodes its JSON.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	wrapped := "(async () => JSON.stringify((await (" + expression + ")) ?? null))()"
	raw, err := chromedp.Run(ctx, chromedp.Evaluate[string](wrapped, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("evaluate %s: %v", expression, err)
	}
	var value T
	if err := json.Unmarshal([]byte(raw), &value); err != nil {
		p.t.Fatalf("evaluate %s: got %s: %v", expression, raw, err)
	}
	return value
}

// until waits for an expression to be true, and tells the page's history when it does not
// become so. It asks from outside: the page's own policy forbids what chromedp.Poll does inside.
func (p *tab) until(expression string) {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !eval[bool](p, "Boolean("+expression+")") {
		select {
		case <-tick.C:
		case <-deadline.C:
			history := eval[json.RawMessage](p, "window.sluice?.session")
			text := eval[string](p, "document.body.innerText")
			p.t.Fatalf("waited in vain for %s\nhistory %s\npage %s", expression, history, text)
		}
	}
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("drive the page: %v", err)
	}
}

// eventually polls a condition of the test's own side.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func jsNumber(n int) string { return fmt.Sprint(n) }

func jsString(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return `""` // cannot happen with a string
	}
	return string(quoted)
}

func exceptionText(details *runtime.ExceptionDetails) string {
	if details.Exception != nil && details.Exception.Description != "" {
		return details.Exception.Description
	}
	return details.Text
}
