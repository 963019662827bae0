package cluster

import (
	"errors"
	"testing"
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
