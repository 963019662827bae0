package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Outcome is what became of a check.
type Outcome string

// The outcomes. A check that does not apply to the server is skipped, and says
// why; it counts as neither passed nor failed.
const (
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	Skip Outcome = "skip"
)

// Room is where a check does its work: both endpoints of one room.
type Room struct{ WHIP, WHEP string }

// T is a check under way. Its methods are for the check's goroutine, except
// Errorf and Context.
type T struct {
	Room   Room // "" where the target has no such endpoint
	check  *Check
	suite  *suite
	ctx    context.Context //nolint:containedctx // as testing.T: a check is one call
	client *http.Client

	cleanups []func()
	over     map[string]bool // URLs of sessions that were ended
	parting  context.Context //nolint:containedctx // of the clean-ups: the check's own time may be up by then

	mu       sync.Mutex // guards what follows
	outcome  Outcome
	messages []string
}

// Context ends when the check's time is up.
func (t *T) Context() context.Context { return t.ctx }

// Strict tells whether choices that the standard leaves open are judged by
// Sluice's own.
func (t *T) Strict() bool { return t.suite.target.Strict }

// Token is the bearer token that the target takes; "" when it needs none.
func (t *T) Token() string { return t.suite.target.Token }

// Cleanup runs f when the check is over, the last one first.
func (t *T) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// Errorf says what was expected and what came instead, and goes on.
func (t *T) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outcome = Fail
	t.messages = append(t.messages, fmt.Sprintf(format, args...))
}

// Fatalf is Errorf and the end of the check.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Skipf ends a check that does not apply to this server, unless it has failed
// already.
func (t *T) Skipf(format string, args ...any) {
	t.mu.Lock()
	if t.outcome != Fail {
		t.outcome = Skip
		t.messages = append(t.messages, fmt.Sprintf(format, args...))
	}
	t.mu.Unlock()
	runtime.Goexit()
}

// Sleep waits for the passing of time that is itself what a check is about.
func (t *T) Sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
		t.Fatalf("the check's time ran out")
	}
}

// Until polls ok until it holds or d has passed, and returns which.
func (t *T) Until(d time.Duration, ok func() bool) bool {
	limit := time.Now().Add(d)
	for !ok() {
		if time.Now().After(limit) || t.ctx.Err() != nil {
			return false
		}
		t.Sleep(20 * time.Millisecond)
	}
	return true
}

// run runs the check and its clean-ups and returns the result.
func (t *T) run() Result {
	began := time.Now()
	done := make(chan struct{})
	go func() { // waited for just below; Goexit ends it
		defer close(done)
		defer t.clean()
		defer t.recover()
		t.check.Run(t)
	}()
	<-done
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.outcome == "" {
		t.outcome = Pass
	}
	c := t.check
	return Result{
		ID: c.ID, Section: c.Section, Level: c.Level, What: c.What,
		Result: t.outcome, Detail: strings.Join(t.messages, "; "), Duration: time.Since(began).Milliseconds(),
	}
}

// recover makes a failure of a check that panicked: what a server sends must
// not end the suite.
func (t *T) recover() {
	if v := recover(); v != nil {
		t.Errorf("the check itself broke: %v at %s", v, firstFrames(debug.Stack()))
	}
}

// partingLimit bounds the clean-ups of a check together.
const partingLimit = 20 * time.Second

func (t *T) clean() {
	parting, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), partingLimit)
	defer cancel()
	t.parting = parting
	for len(t.cleanups) > 0 {
		last := len(t.cleanups) - 1
		f := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		func() {
			defer t.recover()
			f()
		}()
	}
}

func firstFrames(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	return strings.Join(lines[:min(len(lines), 12)], " | ")
}

// errNoAnswer is a connection that ended without a response.
var errNoAnswer = errors.New("the connection ended without a response")
