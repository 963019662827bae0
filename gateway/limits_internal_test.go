package gateway

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemedia/sluice/session"
)

func wantProblem(t *testing.T, err error, name string) {
	t.Helper()
	var p *problemError
	if !errors.As(err, &p) || p.name != name {
		t.Errorf("got %v, want %s", err, name)
	}
}

func TestPasswordsAreTriedSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gateway{limits: newLimits()}
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
		r.RemoteAddr = "192.0.2.1:1000"
		for i := range passwordBurst {
			ended, err := g.tryPassword(r, "a")
			if err != nil {
				t.Fatalf("try %d: %v", i+1, err)
			}
			for range 20 { // those who know it are not counted
				ended(true)
				if ended, err = g.tryPassword(r, "a"); err != nil {
					t.Fatalf("after a right one: %v", err)
				}
			}
			ended(false)
		}
		_, err := g.tryPassword(r, "a")
		wantProblem(t, err, "too-many-passwords")
		if _, err := g.tryPassword(r, "b"); err != nil {
			t.Errorf("another room: %v", err)
		}
		r.RemoteAddr = "192.0.2.2:1000"
		if _, err := g.tryPassword(r, "a"); err != nil {
			t.Errorf("another address: %v", err)
		}
		r.RemoteAddr = "192.0.2.1:2000"
		time.Sleep(time.Minute/passwordBurst + time.Millisecond)
		ended, err := g.tryPassword(r, "a")
		if err != nil {
			t.Fatalf("a while later: %v", err)
		}
		ended(false)
		_, err = g.tryPassword(r, "a")
		wantProblem(t, err, "too-many-passwords")
	})
}

// TestAClassComesAtOnce: thirty who know the password are let in from one address
// at once; of thirty who do not, five are heard.
func TestAClassComesAtOnce(t *testing.T) {
	for _, right := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			g := &Gateway{limits: newLimits()}
			var heard, refused, most, now atomic.Int64
			var class sync.WaitGroup
			for range 30 {
				class.Go(func() {
					r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
					r.RemoteAddr = "192.0.2.1:1000"
					ended, err := g.tryPassword(r, "a")
					if err != nil {
						wantProblem(t, err, "too-many-passwords")
						refused.Add(1)
						return
					}
					heard.Add(1)
					most.Store(max(most.Load(), now.Add(1)))
					time.Sleep(60 * time.Millisecond) // what a hash takes
					now.Add(-1)
					ended(right)
				})
			}
			class.Wait()
			want := int64(30)
			if !right {
				want = passwordBurst
			}
			if heard.Load() != want || heard.Load()+refused.Load() != 30 || most.Load() > passwordBurst {
				t.Errorf("right %t: %d heard, %d at once, %d refused; want %d heard, %d at once", right, heard.Load(), most.Load(), refused.Load(), want, passwordBurst)
			}
			if len(g.limits.trying.by) != 0 {
				t.Errorf("right %t: %d tries are left over", right, len(g.limits.trying.by))
			}
		})
	}
}

// TestWhoWaitsMayLeave: a request that ends gives its place up.
func TestWhoWaitsMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gateway{limits: newLimits()}
		ctx, leave := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(ctx, "POST", "/", nil)
		r.RemoteAddr = "192.0.2.1:1000"
		var ends []func(bool)
		for range passwordBurst {
			ended, err := g.tryPassword(r, "a")
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, ended)
		}
		time.AfterFunc(time.Second, leave)
		if _, err := g.tryPassword(r, "a"); !errors.Is(err, context.Canceled) || !errors.Is(err, session.ErrTimeout) {
			t.Errorf("got %v, want the end of the request", err)
		}
		for _, ended := range ends {
			ended(false)
		}
	})
}

// TestPasswordsOfManyRooms: rooms that are made up are no way to keep a node busy.
func TestPasswordsOfManyRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Gateway{limits: newLimits()}
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
		r.RemoteAddr = "192.0.2.1:1000"
		room := 0
		try := func() (func(bool), error) {
			room++
			return g.tryPassword(r, strconv.Itoa(room))
		}
		for i := range hashBurst {
			ended, err := try()
			if err != nil {
				t.Fatalf("try %d: %v", i+1, err)
			}
			for range 20 { // a class behind one address knows its passwords
				ended(true)
				if ended, err = try(); err != nil {
					t.Fatalf("after a right one: %v", err)
				}
			}
			ended(false)
		}
		_, err := try()
		wantProblem(t, err, "too-many-failures")
		r.RemoteAddr = "192.0.2.2:1000"
		if _, err := try(); err != nil {
			t.Errorf("another address: %v", err)
		}
		for range passwordBurst {
			if ended, err := g.tryPassword(r, "one"); err == nil {
				ended(false)
			}
		}
		for range 2 * hashBurst { // refused before anything is computed
			_, err = g.tryPassword(r, "one")
			wantProblem(t, err, "too-many-passwords")
		}
		r.RemoteAddr = "127.0.0.1:1000"
		for range 2 * hashBurst {
			if _, err := try(); err != nil {
				t.Fatalf("from this machine: %v", err)
			}
		}
		r.RemoteAddr = "192.0.2.1:1000"
		time.Sleep(time.Second + time.Millisecond)
		if _, err := try(); err != nil {
			t.Errorf("a while later: %v", err)
		}
	})
}

func TestRoomsAreMadeSlowly(t *testing.T) {
	g := &Gateway{limits: newLimits()}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
	made := func(from, identity string) (n int, err error) {
		r.RemoteAddr = from
		for ; n < 3*roomBurst; n++ {
			if err = g.limitRoom(r, identity); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	for _, who := range [][2]string{{"192.0.2.1:1", ""}, {"192.0.2.1:1", "ann"}, {"127.0.0.1:1", "bob"}} {
		n, err := made(who[0], who[1])
		wantProblem(t, err, "too-many-rooms")
		if n < roomBurst || n > 2*roomBurst {
			t.Errorf("%v made %d rooms, want %d and what comes meanwhile", who, n, roomBurst)
		}
	}
	if _, err := made("127.0.0.1:1", ""); err != nil {
		t.Errorf("this machine: %v", err)
	}
	if _, err := made("192.0.2.9:1", "ann"); err == nil {
		t.Error("somebody known may go on from another address")
	}
}

func TestStreamsAreCounted(t *testing.T) {
	g := &Gateway{limits: newLimits()}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	var open []func()
	listen := func(from, room string) error {
		r.RemoteAddr = from
		closed, err := g.openStream(r, room)
		if err == nil {
			open = append(open, closed)
		}
		return err
	}
	for range streamsByAddress {
		if err := listen("192.0.2.1:1", "a"); err != nil {
			t.Fatal(err)
		}
	}
	wantProblem(t, listen("192.0.2.1:2", "b"), "too-many-listeners")
	for range streamsByRoom - streamsByAddress { // of a machine that has as many as it wants
		if err := listen("127.0.0.1:1", "a"); err != nil {
			t.Fatal(err)
		}
	}
	wantProblem(t, listen("192.0.2.2:1", "a"), "too-many-listeners")
	open[0]()
	open[0]() // counts once
	if err := listen("192.0.2.1:1", "b"); err != nil {
		t.Errorf("after one was closed: %v", err)
	}
	wantProblem(t, listen("192.0.2.1:1", "b"), "too-many-listeners")
	for room := 0; len(open) <= streamsOfNode; room++ { // one of them is closed
		if err := listen("127.0.0.1:1", strconv.Itoa(room)); err != nil {
			t.Fatalf("stream %d: %v", len(open), err)
		}
	}
	wantProblem(t, listen("192.0.2.3:1", "c"), "too-many-listeners")
	for _, closed := range open {
		closed()
	}
	if c := &g.limits.streams; c.all != 0 || len(c.byFrom)+len(c.byRoom) != 0 {
		t.Errorf("%d streams, %d addresses and %d rooms are left", c.all, len(c.byFrom), len(c.byRoom))
	}
}

func TestGivenTokensAreBounded(t *testing.T) {
	b := buckets[netip.Addr]{burst: 2, rate: 1, most: 4}
	now, a := time.Unix(1000, 0), netip.MustParseAddr("192.0.2.1")
	for range 10 {
		b.give(a, now)
	}
	n := 0
	for b.take(a, now) {
		n++
	}
	if n != 2 {
		t.Errorf("%d tokens are there, want 2", n)
	}
}
