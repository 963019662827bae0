package session_test

import (
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// A viewer that waits for a publisher is kept alive (RFC 8445 section 11), once
// for each interval, and an answered check counts as something sent.
func TestWaitingViewerIsKeptAlive(t *testing.T) {
	r := openRaw(t, newTable(t, nil))
	r.join()
	now := time.Now()
	r.session.KeepAlive(now) // the check of join was answered just now
	r.session.KeepAlive(now.Add(11 * time.Second))
	r.session.KeepAlive(now.Add(12 * time.Second)) // just sent
	select {
	case m := <-r.responses:
		if want := stun.NewType(stun.MethodBinding, stun.ClassIndication); m.Type != want {
			t.Errorf("got %v, want %v", m.Type, want)
		}
	case <-time.After(patience):
		t.Fatal("nothing was sent")
	}
	if m := r.check(checkOption{}); m.Type != stun.BindingSuccess { // the next is the response, not a second indication
		t.Errorf("got %v, want a response", m.Type)
	}
}
