package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestAnswered(t *testing.T) {
	n := open(t, t.TempDir())
	made, refused := Request{ID: "a"}, Request{ID: "b"}
	for _, req := range []Request{made, refused, {}} {
		if n.Answered(req) {
			t.Errorf("%q was answered before it was asked", req.ID)
		}
	}
	if _, err := n.CreateRoom(t.Context(), made, Room{Name: "demo"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.CreateRoom(t.Context(), refused, Room{Name: "demo"}); !errors.Is(err, ErrExists) {
		t.Fatalf("got %v, want ErrExists", err)
	}
	if _, err := n.CreateRoom(t.Context(), Request{}, Room{Name: "other"}); err != nil {
		t.Fatal(err)
	}
	for req, want := range map[Request]bool{made: true, refused: true, {}: false, {ID: "c"}: false} {
		if got := n.Answered(req); got != want {
			t.Errorf("%q: got %t, want %t", req.ID, got, want)
		}
	}
}

// TestAnsweredLongAgo: what is forgotten with the next write is not known before
// it either.
func TestAnsweredLongAgo(t *testing.T) {
	for ago, want := range map[time.Duration]bool{requestLife / 2: true, requestLife + time.Second: false} {
		m := newMachine(t, nil)
		applied(t, m, entry(t, 1, time.Since(epoch)-ago, createRoom, Request{ID: "a"}, roomBody{Room: Room{Name: "demo"}}))
		if got := (&Node{machine: m}).Answered(Request{ID: "a"}); got != want {
			t.Errorf("%v ago: got %t, want %t", ago, got, want)
		}
	}
}

// TestForgottenThoughNotTrimmed: more requests have expired than one command
// removes.
func TestForgottenThoughNotTrimmed(t *testing.T) {
	m := newMachine(t, nil)
	last := Request{ID: "last"}
	for i := range 2 * maxTrim {
		applied(t, m, entry(t, uint64(i+1), time.Duration(i), deleteRoom, Request{ID: fmt.Sprint(i)}, nameBody{Name: "a"}))
	}
	applied(t, m, entry(t, 1000, time.Second, deleteRoom, last, nameBody{Name: "a"}))
	again := requestLife + 2*time.Second
	ask := func(index uint64, at time.Duration, want code) {
		t.Helper()
		if got := applied(t, m, entry(t, index, at, createRoom, last, roomBody{Room: Room{Name: "a"}}))[0]; got.Code != want {
			t.Errorf("after %v: got %q, want %q", at, got.Code, want)
		}
	}
	ask(1001, again, done)
	for i := range uint64(5) { // what is trimmed now is not the new one
		applied(t, m, entry(t, 1002+i, again+time.Minute, deleteRoom, Request{}, nameBody{Name: "b"}))
	}
	ask(1010, again+requestLife-time.Second, done)
	ask(1011, again+requestLife+time.Second, exists)
}
