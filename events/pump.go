package events

import "time"

// pump takes from a listener what there is to send, and sees to it that
// something is sent now and then.
type pump struct {
	listener *Listener
	gone     <-chan struct{} // the reader is
	over     <-chan struct{} // the reader's time is; nil: it never is
	replies  <-chan []byte   // what else there is to send; nil: nothing

	// They return false when the reader cannot be reached.
	send  func([]*frame) bool
	reply func([]byte) bool
	alive func() bool // gives a sign of life
}

// ending is why a pump stopped.
type ending int

const (
	endLost   ending = iota // the reader left, or cannot be reached
	endRoom                 // the log has ended
	endOver                 // the reader's time is over
	endClosed               // the hub is closed
)

// run sends until there is a reason to end. When the hub is closed, what was
// said before is sent as well: it tells how everything ended.
func (p *pump) run() ending {
	why := p.follow()
	for more := why == endClosed; more; {
		batch, err := p.listener.Take()
		if err != nil || len(batch.frames) > 0 && !p.send(batch.frames) {
			return endLost
		}
		if batch.Ended {
			return endRoom
		}
		more = batch.More == nil
	}
	return why
}

// follow sends until there is a reason to end.
func (p *pump) follow() ending {
	quiet := time.NewTicker(keepaliveGap)
	defer quiet.Stop()
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	var sentAt time.Time
	for {
		batch, err := p.listener.Take()
		if err != nil {
			return endLost
		}
		if len(batch.frames) > 0 {
			quiet.Reset(keepaliveGap)
			if !p.send(batch.frames) {
				return endLost
			}
			sentAt = time.Now()
		}
		if batch.Ended {
			return endRoom
		}
		if batch.More != nil {
			if why, on := wait(p, batch.More, quiet.C); !on {
				return why
			}
		}
		// Only who has something to send waits for the gap to be over: most events
		// come alone, and then nobody is woken in vain.
		if gap := time.Until(sentAt.Add(writeGap)); gap > 0 {
			pause.Reset(gap)
			if why, on := wait(p, pause.C, quiet.C); !on {
				return why
			}
		}
	}
}

// wait returns true when it is time to look for events again.
func wait[T any](p *pump, next <-chan T, quiet <-chan time.Time) (why ending, on bool) {
	for {
		select {
		case <-next:
			return 0, true
		case text := <-p.replies:
			if !p.reply(text) {
				return endLost, false
			}
		case <-quiet:
			if !p.alive() {
				return endLost, false
			}
		case <-p.over:
			return endOver, false
		case <-p.listener.Closing():
			return endClosed, false
		case <-p.gone:
			return endLost, false
		}
	}
}
