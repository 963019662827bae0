package sfu

import (
	"errors"
	"sync"
	"testing"
)

func TestPut(t *testing.T) {
	rs := newRooms(t, Config{MaxRooms: 1})
	for _, name := range []string{"a", "b"} { // the limit is the caller's
		if err := rs.Put(name, Settings{Wait: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := rs.Put("a", Settings{Replace: true, Program: "cam"}); err != nil {
		t.Fatal(err)
	}
	info, err := rs.Info("a")
	if err != nil || !info.Explicit || info.Settings != (Settings{Replace: true, Program: "cam"}) {
		t.Errorf("got %+v, %v", info, err)
	}
	if n := rs.Len(); n != 2 {
		t.Errorf("got %d rooms, want 2", n)
	}
	if err := rs.Put(".a", Settings{}); !errors.Is(err, ErrName) {
		t.Errorf("an illegal name: got %v", err)
	}
	if err := rs.Delete("a"); err != nil {
		t.Fatal(err)
	}
	if n := rs.Len(); n != 1 {
		t.Errorf("got %d rooms after the end of one, want 1", n)
	}
}

// TestPutKeepsAnImplicitRoom: a room that came into being with its publisher
// stays when that goes, once it was put.
func TestPutKeepsAnImplicitRoom(t *testing.T) {
	rs := newRooms(t, Config{})
	c, err := rs.Publish("demo", "main", ClaimConfig{Session: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if err := rs.Put("demo", Settings{}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := rs.Info("demo"); err != nil {
		t.Errorf("the room went with its publisher: %v", err)
	}
}

func TestPutAfterClose(t *testing.T) {
	rs := newRooms(t, Config{})
	rs.Close()
	if err := rs.Put("demo", Settings{}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// TestPutAndDeleteAtOnce: whoever wins, a room is there as it was put, or not at all.
func TestPutAndDeleteAtOnce(t *testing.T) {
	rs := newRooms(t, Config{})
	for range 200 {
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := rs.Put("demo", Settings{Wait: true}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := rs.Delete("demo"); err != nil && !errors.Is(err, ErrRoomNotFound) {
				t.Error(err)
			}
		})
		wg.Wait()
		info, err := rs.Info("demo")
		if err == nil && !info.Settings.Wait || err != nil && !errors.Is(err, ErrRoomNotFound) {
			t.Fatalf("got %+v, %v", info, err)
		}
	}
}
