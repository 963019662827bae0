package session

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
)

// ending is a transport of which nothing matters but how it ends.
type ending struct {
	closing func()
	refuse  func() error
}

func (e ending) restart(*Fragment) (credentials, error) { return credentials{}, e.refuse() }
func (ending) trickle(*Fragment)                        {}
func (ending) sweep(time.Time)                          {}
func (ending) fill(*Info)                               {}
func (ending) diagnose(time.Time) Cause                 { return "" }
func (ending) refine(c Cause, _ time.Time) Cause        { return c }
func (e ending) close() {
	if e.closing != nil {
		e.closing()
	}
}

// openEnding adds a session with this transport to a new table.
func openEnding(t *testing.T, e ending) (*Table, *Session) {
	t.Helper()
	table, err := NewTable(Config{Node: "n1", Media: netip.MustParseAddrPort("127.0.0.1:0")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	s := table.newSession("", RolePublisher, Labels{}, func(Cause) {})
	s.follow(&Offer{})
	if err := table.add(s, e, nil); err != nil {
		t.Fatal(err)
	}
	return table, s
}

func deleted(t *testing.T, ctx context.Context, table *Table, s *Session) {
	t.Helper()
	w := httptest.NewRecorder()
	if err := table.Delete(w, httptest.NewRequestWithContext(ctx, http.MethodDelete, "/", nil), s.ID()); err != nil || w.Code != http.StatusOK {
		t.Errorf("got %d, %v", w.Code, err)
	}
}

// Whoever has had the answer to a DELETE finds the publication free, also when
// the session was ending already: by close_notify, say.
func TestDeleteIsVisibleAtOnce(t *testing.T) {
	for _, before := range []string{"living", "ending"} {
		t.Run(before, func(t *testing.T) {
			released := make(chan struct{})
			table, s := openEnding(t, ending{closing: func() { <-released }})
			table.deleteLimit = time.Hour // no help
			if before == "ending" {
				s.end(CausePeerClosed)
			}
			go func() {
				for !s.hasEnded() {
					time.Sleep(time.Millisecond)
				}
				close(released)
			}()
			deleted(t, t.Context(), table, s)
			select {
			case <-s.Done():
			default:
				t.Error("answered before all was over")
			}
		})
	}
}

// A session that is slow to end, or a client that has gone, does not hold DELETE.
func TestDeleteIsBounded(t *testing.T) {
	released := make(chan struct{})
	table, s := openEnding(t, ending{closing: func() { <-released }})
	defer close(released)
	table.deleteLimit = time.Nanosecond
	deleted(t, t.Context(), table, s)
	table.deleteLimit = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	deleted(t, ctx, table, s)
}

// A restart that fails because the session ended meanwhile finds no session; it
// is not an error of ours.
func TestRestartMeetsEnd(t *testing.T) {
	var s *Session
	failure := errors.New("closed below")
	_, s = openEnding(t, ending{refuse: func() error { s.end(CausePeerClosed); return failure }})
	if _, _, err := s.Restart(&Fragment{UFrag: "abcd", Pwd: "efgh"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want %v", err, ErrNotFound)
	}
	_, s = openEnding(t, ending{refuse: func() error { return failure }})
	if _, _, err := s.Restart(&Fragment{UFrag: "abcd", Pwd: "efgh"}); !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
}

// A farewell that waits for its turn leaves the viewer's own late alert to those
// who have theirs already, or both would wait for ever.
func TestFarewellWaitsWithoutLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &viewer{t: &Table{revivals: make(chan struct{}, 1)}, state: &dtls.State{}}
		v.t.revivals <- struct{}{} // an alert of this viewer
		go v.farewell()
		synctest.Wait()
		if !v.reviving.TryLock() {
			t.Fatal("the farewell holds what the alert needs")
		}
		v.gone = true
		v.reviving.Unlock()
		<-v.t.revivals
		synctest.Wait()
		if len(v.t.revivals) != 0 {
			t.Error("the turn was not given back")
		}
	})
}
