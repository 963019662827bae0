package session_test

import (
	"cmp"
	"strconv"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/session"
)

// occupied is a table with room for one handshake, and a viewer that has it and
// says no more. Stuck is after which time it would lose that, 0: never.
func occupied(t *testing.T, stuck time.Duration) (*session.Table, *raw) {
	t.Helper()
	table := newTable(t, nil)
	table.Limits(1, cmp.Or(stuck, time.Hour), 0)
	r := openRaw(t, table)
	r.check(checkOption{nominate: true})
	r.write([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
	poll(t, "first handshake", func() bool { return r.session.Phase() == "joining" })
	return table, r
}

// Handshakes beyond the limit wait, and begin in order of arrival once there is
// room: nobody has to say a ClientHello twice for it.
func TestHandshakesWaitInOrder(t *testing.T) {
	t.Parallel()
	const waiting = 5
	table, first := occupied(t, 0)
	shaken, order := make(chan error, waiting), make(chan int, waiting)
	for i := range waiting {
		r := openRaw(t, table)
		r.repeat = time.Hour
		r.check(checkOption{nominate: true})
		go func() { shaken <- r.shake(r.cert) }()
		poll(t, "viewer "+strconv.Itoa(i)+" waits", func() bool { return table.Stats().Handshakes.Waiting == i+1 })
		go func() { <-r.connected; order <- i }()
	}
	if st := table.Stats(); st.Handshakes.UnderWay != 1 || st.Drops["too_many_handshakes"] != 0 {
		t.Errorf("got %+v, %v", st.Handshakes, st.Drops)
	}
	first.session.Close(session.CauseKicked)
	for range waiting {
		if err := <-shaken; err != nil {
			t.Error(err)
		}
	}
	for i := range waiting {
		if got := <-order; got != i {
			t.Errorf("viewer %d came in as number %d", got, i)
		}
	}
}

// The gateway's own ClientHello waits likewise.
func TestActiveHandshakeWaits(t *testing.T) {
	t.Parallel()
	table, first := occupied(t, 0)
	w := view(t, table, viewerOptions{offer: passive})
	poll(t, "it waits", func() bool { return w.session.Phase() == "waiting" })
	first.session.Close(session.CauseKicked)
	w.up()
}

// A viewer that leaves while it waits makes no difference to the next.
func TestWaitingViewerLeaves(t *testing.T) {
	t.Parallel()
	table, first := occupied(t, 0)
	var waiting [2]*raw
	shaken := make(chan error, len(waiting))
	for i := range waiting {
		r := openRaw(t, table)
		waiting[i] = r
		r.check(checkOption{nominate: true})
		go func() { shaken <- r.shake(r.cert) }()
		poll(t, "it waits", func() bool { return table.Stats().Handshakes.Waiting == i+1 })
	}
	waiting[0].session.Close(session.CauseKicked)
	waiting[0].ended(session.CauseKicked)
	poll(t, "forgotten", func() bool { return table.Stats().Handshakes.Waiting == 1 })
	first.session.Close(session.CauseKicked)
	poll(t, "the next is in", func() bool { return len(waiting[1].connected) == 1 })
	_ = waiting[0].pipe.Close()
	if a, b := <-shaken, <-shaken; a != nil && b != nil {
		t.Error(a, b)
	}
}

// Who holds a place without getting on loses it to who waits for one.
func TestStuckHandshakeMakesRoom(t *testing.T) {
	t.Parallel()
	table, first := occupied(t, 10*time.Millisecond)
	next := openRaw(t, table)
	next.join()
	first.ended(session.CauseDTLSTimeout)
}

// While it waits a viewer can make the gateway keep one datagram's worth.
func TestWaitingViewerIsBounded(t *testing.T) {
	t.Parallel()
	table, _ := occupied(t, 0)
	r := openRaw(t, table)
	r.check(checkOption{nominate: true})
	fragment := append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 1015)...)
	r.write(fragment)
	r.write(fragment)
	poll(t, "too much", func() bool { return table.Stats().Drops["too_many_handshakes"] == 1 })
}

// Application data has no place in a handshake: the DTLS stack would stop for it.
func TestDataInHandshake(t *testing.T) {
	t.Parallel()
	table, r := occupied(t, 0)
	r.write([]byte{23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0})
	poll(t, "refused", func() bool { return table.Stats().Drops["dtls_refused"] == 1 })
	if p := r.session.Phase(); p != "joining" {
		t.Errorf("phase %q", p)
	}
}
