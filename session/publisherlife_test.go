package session_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/session"
)

// Publishers who come and go leave no goroutine behind.
func TestPublisherRounds(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 5
	}
	table := newTable(t, nil)
	round := func(n int) {
		p := publish(t, table, publisherOptions{}).up()
		p.track("video")
		switch n % 3 {
		case 0:
			p.session.Close(session.CauseDeleted)
			p.ended(session.CauseDeleted)
		case 1:
			if err := p.pc.Close(); err != nil {
				t.Fatal(err)
			}
			p.ended(session.CausePeerClosed)
		case 2: // in the middle of an ICE restart
			p.restart()
			p.session.Close(session.CauseKicked)
			p.ended(session.CauseKicked)
		}
		_ = p.pc.GracefulClose() // closed already in most rounds
	}
	for n := range 3 {
		round(n)
	}
	runtime.GC()
	before := runtime.NumGoroutine()
	for n := range rounds {
		round(n)
	}
	poll(t, "the goroutines of before", func() bool { return runtime.NumGoroutine() <= before })
}

// A stop says goodbye to all publishers at once.
func TestPublishersAreSentAwayTogether(t *testing.T) {
	table := newTable(t, nil)
	var all []*publishing
	for range 10 {
		all = append(all, publish(t, table, publisherOptions{}).up())
	}
	began := time.Now()
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	} else {
		t.Logf("it took %v", took)
	}
	for _, p := range all {
		poll(t, "close_notify", func() bool { return p.pc.ConnectionState() == webrtc.PeerConnectionStateClosed })
	}
}
