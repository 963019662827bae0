package session

import (
	"testing"
	"testing/synctest"
	"time"
)

func newJoin(l *lobby) *join {
	j := &join{turn: turn{granted: make(chan struct{}, 1)}, began: time.Now(), cancel: func() {}}
	l.mu.Lock()
	l.turns-- // as enter or next
	l.places--
	l.mu.Unlock()
	l.begun(j)
	return j
}

// free is the state of a lobby that nobody is in.
func free(t *testing.T, l *lobby, turns, places int) {
	t.Helper()
	if l.turns != turns || l.places != places || len(l.ready) != 0 || len(l.underWay) != 0 {
		t.Errorf("left behind: %d turns, %d places, %d ready, %d under way", l.turns, l.places, len(l.ready), len(l.underWay))
	}
}

// One handshake at a time makes work, in order of arrival, and one that is over
// gives back what it has.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLobby(8)
		l.turns = 1
		var joins []*join
		for range 4 {
			j := newJoin(l)
			joins = append(joins, j)
			j.turn.rest()
		}
		if !joins[0].turn.take(nil, nil) {
			t.Fatal("no turn when all are free")
		}
		order := make(chan int, len(joins))
		stop := make(chan struct{})
		for i := 1; i < len(joins); i++ {
			go func() {
				if joins[i].turn.take(stop, nil) {
					order <- i
				}
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatal("two at a time")
		}
		l.leave(joins[2]) // while it waits
		joins[0].turn.rest()
		synctest.Wait()
		if got := <-order; got != 1 || len(order) != 0 {
			t.Fatalf("handshake %d first, %d behind it", got, len(order))
		}
		l.leave(joins[1]) // with the turn in hand
		synctest.Wait()
		if got := <-order; got != 3 {
			t.Fatalf("handshake %d second", got)
		}
		close(stop) // of the second, which is over
		l.leave(joins[3])
		l.leave(joins[0])
		synctest.Wait()
		if joins[0].turn.take(nil, nil) {
			t.Error("a turn for a handshake that is over")
		}
		free(t, l, 1, 8)
	})
}

// Whoever stops to wait for a turn leaves it to the others, also when it was
// granted at the same moment.
func TestTurnNotTaken(t *testing.T) {
	t.Parallel()
	l := newLobby(1000)
	l.turns = 1
	for range 200 {
		a := newJoin(l)
		a.turn.rest()
		b := newJoin(l) // holds the turn
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			if a.turn.take(stop, nil) {
				a.turn.rest()
			}
		}()
		go close(stop)
		b.turn.rest()
		<-done
		l.leave(a)
		l.leave(b)
	}
	free(t, l, 1, 1000)
}

// Only when nobody gets in any more is the oldest sent away, and only if it had
// its time.
func TestStuckIsSentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLobby(2)
		l.turns = 2
		gone := make(chan string, 2)
		old := newJoin(l)
		old.cancel = func() { gone <- "old" }
		time.Sleep(l.stuck)
		l.press()
		young := newJoin(l)
		young.cancel = func() { gone <- "young" }
		if len(gone) != 0 {
			t.Fatal("sent away with room left")
		}
		l.press()
		l.press()
		if len(gone) != 1 || <-gone != "old" || !old.stuck.Load() || young.stuck.Load() {
			t.Fatal("not the one that is stuck")
		}
		l.leave(old)
		l.leave(young)
		free(t, l, 2, 2)
	})
}
