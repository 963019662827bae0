package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
		// It outlives the check that happens to need it first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		if l.room.WHIP != "" {
			l.publisher, l.err = Publish(ctx, l.room.WHIP, s.target)
		}
		if l.err == nil {
			l.err = awaitOnAir(ctx, s.target, l.room)
		}
		if l.err != nil {
			l.err = fmt.Errorf("conformance: publish for those who watch: %w", l.err)
		}
	})
	return l.err
}

// awaitOnAir returns when a room takes viewers: the publisher's first packets may
// still be on their way when its handshake is done.
func awaitOnAir(ctx context.Context, target *Target, room Room) error {
	if room.WHEP == "" {
		return nil
	}
	client := target.newClient()
	defer client.CloseIdleConnections()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		r, err := send(ctx, client, Request{Method: http.MethodPost, URL: room.WHEP, Type: typeSDP, Body: PlayOffer()}, target.Token)
		switch {
		case err != nil:
			return fmt.Errorf("conformance: ask whether somebody is on air: %w", err)
		case r.Status != http.StatusConflict && r.Status != http.StatusNotFound:
			if r.Location() != "" {
				_, err = send(ctx, client, Request{Method: http.MethodDelete, URL: r.Location()}, target.Token)
			}
			return err // other refusals are for the checks to judge
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("conformance: the publisher did not come on air: %w; viewers got %v", ctx.Err(), r)
		}
	}
}

func (l *liveRoom) close() {
	l.once.Do(func() { l.err = errors.New("conformance: the suite is over") })
	if l.publisher != nil {
		l.publisher.Close()
		l.publisher = nil
	}
}
