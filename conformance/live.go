package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// liveRoom is the room in which the suite's own publisher is on air. It is
// opened by the first check that needs it and stays until the end.
type liveRoom struct {
	once      sync.Once
	err       error
	room      Room
	publisher *Publisher
}

// open puts the publisher on air, once. Without a WHIP endpoint somebody else
// has to be on air already.
func (l *liveRoom) open(ctx context.Context, s *suite) error {
	l.once.Do(func() {
		l.room = s.target.own()
		if s.siblings {
			l.room = s.target.room("live" + randomText(4))
		}
		if l.room.WHIP == "" {
			return
		}
		// It outlives the check that happens to need it first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		l.publisher, l.err = Publish(ctx, l.room.WHIP, s.target)
		if l.err != nil {
			l.err = fmt.Errorf("conformance: publish for those who watch: %w", l.err)
		}
	})
	return l.err
}

func (l *liveRoom) close() {
	l.once.Do(func() { l.err = errors.New("conformance: the suite is over") })
	if l.publisher != nil {
		l.publisher.Close()
	}
}
