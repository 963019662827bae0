package session_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/session"
)

// TestAdmit fills every turn there is.
func TestAdmit(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	table.Admission(20*time.Millisecond, 0)
	var releases []func()
	for {
		release, err := table.Admit(t.Context(), session.RoleViewer)
		if err != nil {
			if !errors.Is(err, session.ErrTooMany) {
				t.Errorf("got %v, want ErrTooMany", err)
			}
			break
		}
		if releases = append(releases, release); len(releases) > 1000 {
			t.Fatal("there is no bound")
		}
	}
	table.Admission(patience, 0)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := table.Admit(gone, session.RoleViewer); !errors.Is(err, session.ErrTooMany) {
		t.Errorf("a client who is gone: got %v, want ErrTooMany", err)
	}
	// Whoever waits is next.
	admitted := make(chan error)
	go func() {
		release, err := table.Admit(t.Context(), session.RolePublisher)
		if err == nil {
			release()
		}
		admitted <- err
	}()
	releases[0]()
	if err := <-admitted; err != nil {
		t.Errorf("after a turn ended: %v", err)
	}
	for _, release := range releases[1:] {
		release()
	}
}

// Nobody waits for a turn that will not come in time.
func TestAdmitRefusesAtOnce(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	table.Admission(time.Hour, 0)
	var releases []func()
	for range 2 * runtime.GOMAXPROCS(0) {
		release, err := table.Admit(t.Context(), session.RoleViewer)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	table.Turn(100 * time.Hour)
	began := time.Now()
	if _, err := table.Admit(t.Context(), session.RoleViewer); !errors.Is(err, session.ErrTooMany) {
		t.Errorf("got %v, want ErrTooMany", err)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v to see that", took)
	}
	// Turns that turn out to be short are waited for again.
	for range 200 {
		releases[0]()
		var err error
		if releases[0], err = table.Admit(t.Context(), session.RoleViewer); err != nil {
			t.Fatal(err)
		}
	}
	admitted := make(chan error)
	go func() {
		release, err := table.Admit(t.Context(), session.RoleViewer)
		if err == nil {
			release()
		}
		admitted <- err
	}()
	releases[0]()
	if err := <-admitted; err != nil {
		t.Errorf("after short turns: %v", err)
	}
	for _, release := range releases[1:] {
		release()
	}
}

// TestAdmitBoundsUnconnected opens sessions that never connect, and connects
// and ends some.
func TestAdmitBoundsUnconnected(t *testing.T) {
	t.Parallel()
	table := newTable(t, nil)
	table.Admission(0, 3)
	admit := func() error {
		release, err := table.Admit(t.Context(), session.RoleViewer)
		if err == nil {
			release()
		}
		return err
	}
	var raws []*raw
	for range 3 {
		if err := admit(); err != nil {
			t.Fatal(err)
		}
		raws = append(raws, openRaw(t, table))
	}
	if err := admit(); !errors.Is(err, session.ErrTooMany) {
		t.Errorf("above the bound: got %v, want ErrTooMany", err)
	}
	if release, err := table.Admit(t.Context(), session.RolePublisher); err != nil {
		t.Errorf("publishers are bounded by viewers: %v", err)
	} else {
		release()
	}
	raws[0].join()
	if got, want := table.Census(session.RoleViewer), (session.Census{Connecting: 2, Connected: 1, Joined: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := admit(); err != nil {
		t.Errorf("after one connected: %v", err)
	}
	raws = append(raws, openRaw(t, table))
	if err := admit(); !errors.Is(err, session.ErrTooMany) {
		t.Errorf("at the bound again: got %v, want ErrTooMany", err)
	}
	for _, i := range []int{0, 1} { // one that was connected, one that was not
		raws[i].session.Close(session.CauseDeleted)
		<-raws[i].session.Done()
	}
	if got, want := table.Census(session.RoleViewer), (session.Census{Connecting: 2, Connected: 0, Joined: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := admit(); err != nil {
		t.Errorf("after one ended: %v", err)
	}
}
