package sfu

import (
	"testing"
	"time"
)

// crowd is a room on air whose viewers watch one of two sizes, and of each
// kind of viewer one.
func crowd(b *testing.B, viewers int) (room *room, tracks []*Track, subs []*Subscription) {
	b.Helper()
	rs := NewRooms(Config{}, nopLog())
	b.Cleanup(rs.Close)
	c, err := rs.Publish("r", "", ClaimConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	for _, rid := range []string{"h", "l"} {
		t, err := newTrack(c, TrackConfig{Kind: "video", Codec: vp8, SSRC: 7, RID: rid}, nil)
		if err != nil {
			b.Fatal(err)
		}
		t.src = newSource(b)
		tracks = append(tracks, t)
	}
	room = c.room
	room.mu.Lock()
	for _, t := range tracks {
		c.addLayer(t)
	}
	room.mu.Unlock()
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	for _, t := range tracks {
		t.receive(datagram(0, 0, vp8Key), time.Now())
	}
	for range viewers {
		subs = append(subs, join(b, rs))
	}
	return room, tracks, subs
}

func join(tb testing.TB, rs *Rooms) *Subscription {
	tb.Helper()
	s, err := rs.Subscribe("r", "", SubscriptionConfig{OnAir: func(bool) {}, LayersChanged: func() {}})
	if err != nil {
		tb.Fatal(err)
	}
	s.start([kinds]sink{video: {out: &discard{}, format: plays("video/VP8")}})
	return s
}

const manyViewers = 2000

// BenchmarkRefresh is what a change costs that may be one for every viewer.
func BenchmarkRefresh(b *testing.B) {
	room, _, _ := crowd(b, manyViewers)
	b.ReportAllocs()
	for b.Loop() {
		room.mu.Lock()
		room.refresh(time.Now())
		room.leave()
	}
}

// BenchmarkJoinLeave is the coming and going of one viewer among many.
func BenchmarkJoinLeave(b *testing.B) {
	room, _, _ := crowd(b, manyViewers)
	b.ReportAllocs()
	for b.Loop() {
		join(b, room.rooms).Close()
	}
}

// BenchmarkSelect is one of many viewers who wants another layer, and then not.
func BenchmarkSelect(b *testing.B) {
	_, _, subs := crowd(b, manyViewers)
	b.ReportAllocs()
	for b.Loop() {
		for _, want := range []Selection{{RID: "l"}, {}} {
			if err := subs[0].Select(want); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkAwaitedKeyframe is a keyframe that one of many viewers waits for.
func BenchmarkAwaitedKeyframe(b *testing.B) {
	_, tracks, _ := crowd(b, manyViewers)
	c := tracks[0].claim
	c.surveyAt = time.Now().Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		c.keyed.Store(true)
		c.watch(time.Now())
	}
}

// BenchmarkDiagnose is what the sweeper asks for each viewer.
func BenchmarkDiagnose(b *testing.B) {
	_, _, subs := crowd(b, manyViewers)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		subs[0].Diagnose(now)
	}
}

// BenchmarkInfo is a snapshot of a room with many viewers.
func BenchmarkInfo(b *testing.B) {
	room, _, _ := crowd(b, manyViewers)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := room.rooms.Info("r"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEmptyRoom is the end of a room with many viewers.
func BenchmarkEmptyRoom(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		room, _, _ := crowd(b, manyViewers)
		b.StartTimer()
		room.mu.Lock()
		room.end(true)
		room.leave()
	}
}

// BenchmarkReceive is what a packet costs by itself, without viewers.
func BenchmarkReceive(b *testing.B) {
	for _, mimeType := range sampled {
		b.Run(mimeType, func(b *testing.B) {
			f := newFeed(b, mimeType, 0, sample(b, mimeType))
			b.ReportAllocs()
			for b.Loop() {
				f.step()
			}
		})
	}
}
