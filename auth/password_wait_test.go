package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestPasswordWaits: there is an end to how many are computed at once, and to how long one waits for its turn.
func TestPasswordWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := make(chan struct{}, cap(atOnce)) // of this bubble: durable waits are seen only there
		old := atOnce
		atOnce = turns
		defer func() { atOnce = old }()
		for range cap(turns) {
			turns <- struct{}{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if ok, err := CheckPassword(ctx, "", "password"); ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %t, %v, want the end of the deadline", ok, err)
		}
		if waited := time.Since(began); waited != 3*time.Second {
			t.Errorf("waited %v, want 3 s", waited)
		}
		if _, err := HashPassword(ctx, "password"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a wait: got %v", err)
		}

		done := make(chan error)
		go func() {
			_, err := CheckPassword(t.Context(), "", "password")
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("did not wait for its turn (%v)", err)
		default:
		}
		<-turns // one is ready
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(turns) != cap(turns)-1 {
			t.Errorf("%d turns are taken, want %d", len(turns), cap(turns)-1)
		}
	})
}
