package session

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"
	"time"
)

// turned is how often each session is taken in one turn of a wheel.
func turned(w *wheel, between func()) map[*Session]int {
	taken := map[*Session]int{}
	for range w.slots {
		slot := w.turn()
		var batch [4]*Session
		for from := len(w.slots[slot]); from > 0; {
			var n int
			n, from = w.take(slot, from, batch[:])
			for _, s := range batch[:n] {
				taken[s]++
			}
			between()
		}
	}
	return taken
}

func TestWheel(t *testing.T) {
	w := newWheel(time.Second)
	if len(w.slots) != 50 || w.step != 20*time.Millisecond {
		t.Fatalf("%d slots, %v apart, want 50 and 20ms", len(w.slots), w.step)
	}
	if narrow := newWheel(5 * time.Millisecond); len(narrow.slots) != 1 || narrow.step != 5*time.Millisecond {
		t.Errorf("%d slots, %v apart, want one of the whole time", len(narrow.slots), narrow.step)
	}
	var all []*Session
	enter := func() {
		s := &Session{}
		w.enter(s)
		all = append(all, s)
	}
	for range 1000 {
		enter()
	}
	for i, slot := range w.slots {
		if len(slot) != 20 {
			t.Errorf("slot %d has %d sessions, want 20", i, len(slot))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	leave := func() {
		i := random.IntN(len(all))
		w.leave(all[i])
		all[i] = all[len(all)-1]
		all = all[:len(all)-1]
	}
	for range 300 {
		leave()
	}
	for range 200 {
		enter()
	}
	taken := turned(&w, func() {})
	if len(taken) != 900 {
		t.Errorf("%d sessions taken, want 900", len(taken))
	}
	for _, s := range all {
		if taken[s] != 1 {
			t.Fatalf("a session was taken %d times, want once", taken[s])
		}
	}
	// Whoever is there all the time is taken, whoever leaves meanwhile.
	taken = turned(&w, func() { leave(); leave() })
	for _, s := range all {
		if taken[s] == 0 {
			t.Fatal("a session was left out")
		}
	}
	for len(all) > 0 {
		leave()
	}
	if taken := turned(&w, func() {}); len(taken) != 0 {
		t.Errorf("%d sessions in an empty wheel", len(taken))
	}
}

// Ended sessions are forgotten a minute later, the oldest first and some at a
// time.
func TestForget(t *testing.T) {
	table, err := NewTable(Config{Node: "n1", Media: netip.MustParseAddrPort("127.0.0.1:0")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	now := time.Now()
	left := func() int {
		table.mu.Lock()
		defer table.mu.Unlock()
		if len(table.order) != len(table.ended) {
			t.Fatalf("%d in order, %d in all", len(table.order), len(table.ended))
		}
		return len(table.ended)
	}
	table.mu.Lock()
	for i := range 2*forgetBatch + 1 {
		id := strconv.Itoa(i)
		table.ended[id] = departed{at: now.Add(time.Duration(i))}
		table.order = append(table.order, id)
	}
	table.mu.Unlock()
	for _, c := range []struct {
		after time.Duration
		want  int
	}{
		{0, 2*forgetBatch + 1},
		{remember + 9, 2*forgetBatch + 1 - 10},
		{2 * remember, forgetBatch + 1 - 10},
		{2 * remember, 0},
		{2 * remember, 0},
	} {
		table.forget(now.Add(c.after))
		if got := left(); got != c.want {
			t.Errorf("%d left after %v, want %d", got, c.after, c.want)
		}
	}
}
