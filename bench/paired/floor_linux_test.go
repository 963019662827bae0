package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFloorSendsTheStream has bursts arrive as the packets they stand for,
// sealed with the viewer's key, each under a number of its own.
func TestFloorSendsTheStream(t *testing.T) {
	r, err := openReceivers(3)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := newFloorSender(r.addresses)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s.fd)
	if err := errors.Join(s.send(keyframe), s.send(deltaFrame), s.send(audioPacket)); err != nil {
		t.Fatal(err)
	}
	const around = rtpHeader + gcmTag
	want := append(slices.Repeat([]int{around + 1200}, 48), around+188)
	want = append(append(want, slices.Repeat([]int{around + 1200}, 8)...), around+33, around+160)
	if s.packets != 3*len(want) {
		t.Errorf("sent %d packets, want %d", s.packets, 3*len(want))
	}
	used := map[string]bool{}
	for v, fd := range r.fds {
		var got []int
		buf := make([]byte, 2000)
		for {
			n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
			if used[string(buf[:n])] {
				t.Fatalf("viewer %d: the same packet twice", v)
			}
			used[string(buf[:n])] = true
		}
		if !slices.Equal(got, want) {
			t.Errorf("viewer %d got packets of %v bytes, want %v", v, got, want)
		}
	}
	// The last packet of the last viewer opens with its key.
	nonce := s.nonce
	sealed := s.arena[:rtpHeader+audioPacket.last+gcmTag]
	// The burst of audio put one message per viewer, on cache lines.
	at := 2 * ((len(sealed) + 63) &^ 63)
	last := s.arena[at : at+len(sealed)]
	plain, err := s.seal[2].Open(nil, nonce[:], last[rtpHeader:], last[:rtpHeader])
	if err != nil || !bytes.Equal(plain, s.payload[:audioPacket.last]) {
		t.Errorf("the last packet does not open: %v", err)
	}
}

func TestFloorAllocatesNothing(t *testing.T) {
	r, err := openReceivers(2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.close() }() // TestFloorSendsTheStream looks at it
	s, err := newFloorSender(r.addresses)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s.fd)
	var failed error
	if n := testing.AllocsPerRun(50, func() { failed = errors.Join(failed, s.send(deltaFrame)) }); n != 0 || failed != nil {
		t.Errorf("got %v allocations a burst, %v; want none", n, failed)
	}
}

func TestMeasureFloor(t *testing.T) {
	f, err := measureFloor(t.Context(), 2, 200*time.Millisecond, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	// 200 ms of the stream are 6 frames, the first a keyframe, and 10 of audio.
	if least := 2 * (keyframe.packets() + 4*deltaFrame.packets() + 8); f.PacedNanos <= 0 || f.BusyNanos <= 0 || f.Packets < least {
		t.Errorf("got %+v, want times, and %d packets or more", f, least)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if f, err := measureFloor(ctx, 1, time.Minute, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %+v, %v", f, err)
	}
	if f, err := measureFloor(t.Context(), 1, time.Second, 1000, 0); err == nil {
		t.Errorf("a core that is not there: got %+v, want an error", f)
	}
}
