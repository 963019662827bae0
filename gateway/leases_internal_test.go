package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/session"
)

// ends is what became of leases, in order.
type ends struct {
	mu   sync.Mutex
	list []string
}

func (e *ends) of(name string) func(session.Cause) {
	return func(c session.Cause) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.list = append(e.list, name+" "+string(c))
	}
}

func (e *ends) want(t *testing.T, want ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	slices.Sort(e.list)
	if !slices.Equal(e.list, want) {
		t.Errorf("got the ends %q, want %q", e.list, want)
	}
	e.list = nil
}

// underClock runs a test in a bubble where leases are watched.
func underClock(t *testing.T, test func(t *testing.T, l *leases, e *ends)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLeases(&revocations{})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.run(ctx) })
		test(t, l, &ends{})
		stop()
		running.Wait()
	})
}

func inSeconds(n float64) time.Time { return time.Now().Add(time.Duration(n * float64(time.Second))) }

func TestLeasesEndWithTheirTokens(t *testing.T) {
	underClock(t, func(t *testing.T, l *leases, e *ends) {
		t.Helper()
		l.open("late", "r", bearer{tokenID: "1", expires: inSeconds(90)}, e.of("late"))
		l.open("soon", "r", bearer{tokenID: "2", expires: inSeconds(10)}, e.of("soon"))
		l.open("never", "r", bearer{tokenID: "3"}, e.of("never"))
		l.open("over", "r", bearer{tokenID: "4", expires: inSeconds(-1)}, e.of("over"))
		gone := l.open("gone", "r", bearer{tokenID: "5", expires: inSeconds(5)}, e.of("gone"))
		l.close(gone)
		l.close(gone)
		synctest.Wait()
		e.want(t, "over token-expired")
		time.Sleep(10*time.Second - time.Millisecond)
		synctest.Wait()
		e.want(t)
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		e.want(t, "soon token-expired")
		time.Sleep(time.Hour)
		synctest.Wait()
		e.want(t, "late token-expired")
		if len(l.sessions) != 1 || len(l.due) != 0 || len(l.by) != 2 {
			t.Errorf("%d sessions, %d ends and %d keys are left, want 1, 0 and 2", len(l.sessions), len(l.due), len(l.by))
		}
	})
}

func TestRenewedLeasesGoOn(t *testing.T) {
	underClock(t, func(t *testing.T, l *leases, e *ends) {
		t.Helper()
		taken := func(bearer) error { return nil }
		l.open("s", "r", bearer{tokenID: "1", expires: inSeconds(10)}, e.of("s"))
		time.Sleep(9 * time.Second)
		refused := fmt.Errorf("no")
		if known, err := l.renew("s", bearer{tokenID: "x"}, func(bearer) error { return refused }); !known || err != refused { //nolint:errorlint // the same one
			t.Errorf("got %t, %v, want the refusal", known, err)
		}
		if b, _ := l.of("s"); b.tokenID != "1" {
			t.Errorf("a refused token has replaced the old one: %+v", b)
		}
		if known, err := l.renew("s", bearer{tokenID: "2", expires: inSeconds(10)}, taken); !known || err != nil {
			t.Fatalf("got %t, %v", known, err)
		}
		time.Sleep(9 * time.Second)
		l.revoke(cluster.Revocation{ID: "a", TokenID: "1"}) // it has the other one now
		synctest.Wait()
		e.want(t)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		e.want(t, "s token-expired")
		if known, _ := l.renew("s", bearer{tokenID: "3"}, taken); known {
			t.Error("a session that has ended was renewed")
		}
	})
}

// TestTokensOfASession: those that it had before are remembered as long as they
// are good, and no more than so many.
func TestTokensOfASession(t *testing.T) {
	underClock(t, func(t *testing.T, l *leases, e *ends) {
		t.Helper()
		is := func(when string, want ...string) {
			t.Helper()
			var got []string
			for _, b := range l.tokens("s", time.Now()) {
				got = append(got, b.tokenID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", when, got, want)
			}
		}
		is("no session")
		l.open("s", "r", bearer{tokenID: "t0", expires: inSeconds(10)}, e.of("s"))
		is("at first", "t0")
		all := []string{"t0"}
		for i := 1; i <= 2*maxBefore; i++ {
			to := bearer{tokenID: fmt.Sprint("t", i), expires: inSeconds(10 + float64(i))}
			for range 2 { // the second time it is the same one
				if known, err := l.renew("s", to, func(bearer) error { return nil }); !known || err != nil {
					t.Fatalf("got %t, %v", known, err)
				}
			}
			all = append(all, to.tokenID)
			if i == 2 {
				is("after two", "t0", "t1", "t2")
			}
		}
		is("after many", all[len(all)-maxBefore-1:]...)
		time.Sleep(40 * time.Second) // t30 and those before are over
		is("later", "t31", "t32")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		is("after its end")
		e.want(t, "s token-expired")
	})
}

func TestLeasesOfRevokedTokensEnd(t *testing.T) {
	old, young := time.Unix(1000, 0), time.Unix(2000, 0)
	all := map[string]struct {
		room string
		b    bearer
	}{
		"ann1":   {"a", bearer{tokenID: "t1", identity: "ann", issued: old}},
		"ann2":   {"b", bearer{tokenID: "t2", identity: "ann", issued: young}},
		"bob":    {"a", bearer{tokenID: "t3", identity: "bob", issued: young}},
		"key":    {"a", bearer{identity: "key-1"}}, // of a token that says nothing
		"nobody": {"b", bearer{}},
	}
	for name, tc := range map[string]struct {
		r    cluster.Revocation
		want string
	}{
		"a token":                  {cluster.Revocation{TokenID: "t1"}, "ann1"},
		"a token elsewhere":        {cluster.Revocation{TokenID: "t1", Room: "b"}, ""},
		"a token of somebody else": {cluster.Revocation{TokenID: "t1", Identity: "bob"}, ""},
		"somebody":                 {cluster.Revocation{Identity: "ann"}, "ann1 ann2"},
		"somebody in a room":       {cluster.Revocation{Identity: "ann", Room: "b"}, "ann2"},
		"somebody's old tokens":    {cluster.Revocation{Identity: "ann", Before: young}, "ann1"},
		"a room":                   {cluster.Revocation{Room: "a"}, "ann1 bob"},
		"old tokens in a room":     {cluster.Revocation{Room: "a", Before: young}, "ann1"},
		"all old tokens":           {cluster.Revocation{Before: young}, "ann1"},
		"a key":                    {cluster.Revocation{Identity: "key-1", Before: young}, "key"},
		"nobody there":             {cluster.Revocation{Identity: "eve"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.r.ID = "x"
			var want []string
			for n := range strings.FieldsSeq(tc.want) {
				want = append(want, n+" token-revoked")
			}
			// Those who are there when it comes, and those who come afterwards.
			l, e := newLeases(&revocations{}), &ends{}
			for n, s := range all {
				l.open(n, s.room, s.b, e.of(n))
			}
			l.revoke(tc.r)
			e.want(t, want...)
			l.revoke(tc.r)
			e.want(t)
			l, e = newLeases(&revocations{}), &ends{}
			l.revoked.add(tc.r)
			for n, s := range all {
				l.open(n, s.room, s.b, e.of(n))
			}
			e.want(t, want...)
			if got := len(all) - len(l.sessions); got != len(want) {
				t.Errorf("%d leases were forgotten, want %d", got, len(want))
			}
		})
	}
}

func TestRevocationsAreTakenBack(t *testing.T) {
	var s revocations
	now := time.Unix(5000, 0)
	b := bearer{tokenID: "t1", identity: "ann"}
	if s.covers(b, "a", now) {
		t.Error("a token is revoked by nothing")
	}
	s.add(cluster.Revocation{ID: "1", TokenID: "t1"})
	s.add(cluster.Revocation{ID: "2", Identity: "ann", Room: "a", Expires: now.Add(time.Minute)})
	s.add(cluster.Revocation{ID: "2", Identity: "ann", Room: "b", Expires: now.Add(time.Minute)}) // the same, changed
	if !s.covers(b, "", now) || !s.covers(b, "a", now) {
		t.Error("a revoked token is not revoked everywhere")
	}
	s.remove("1")
	s.remove("1")
	for room, want := range map[string]bool{"": false, "a": false, "b": true} {
		if got := s.covers(b, room, now); got != want {
			t.Errorf("room %q: revoked %t, want %t", room, got, want)
		}
	}
	if s.covers(b, "b", now.Add(time.Minute)) {
		t.Error("a revocation counts after its end")
	}
	s.remove("2")
	if len(s.by)+len(s.keys) != 0 {
		t.Errorf("something is left: %v %v", s.by, s.keys)
	}
}

// TestLeasesUnderFire lets everything happen at once: every lease ends once, or
// is closed.
func TestLeasesUnderFire(t *testing.T) {
	l := newLeases(&revocations{})
	ctx, stop := context.WithCancel(t.Context())
	var running, workers sync.WaitGroup
	running.Go(func() { l.run(ctx) })
	var mu sync.Mutex
	ended := map[string]int{}
	for w := range 8 {
		workers.Go(func() {
			for i := range 200 {
				id := fmt.Sprint(w, "-", i)
				b := bearer{tokenID: id, identity: fmt.Sprint("who", i%10), expires: time.Now().Add(time.Duration(i%20) * time.Millisecond)}
				l.open(id, "r", b, func(session.Cause) { mu.Lock(); ended[id]++; mu.Unlock() })
				switch i % 4 {
				case 0:
					l.revoke(cluster.Revocation{ID: id, TokenID: id})
				case 1:
					l.revoke(cluster.Revocation{ID: id, Identity: b.identity})
				case 2:
					_, _ = l.renew(id, bearer{tokenID: "n" + id}, func(bearer) error { return nil })
					l.revoke(cluster.Revocation{ID: id, TokenID: "n" + id})
				}
			}
		})
	}
	workers.Wait()
	for deadline := time.Now().Add(10 * time.Second); ; {
		l.mu.Lock()
		left := len(l.by)
		l.mu.Unlock()
		if left == 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	running.Wait()
	if len(ended) != 8*200 || len(l.sessions)+len(l.due)+len(l.by) != 0 {
		t.Errorf("%d of %d leases have ended; %d, %d and %d are left", len(ended), 8*200, len(l.sessions), len(l.due), len(l.by))
	}
	for id, n := range ended {
		if n != 1 {
			t.Errorf("%s ended %d times", id, n)
		}
	}
}
