package gateway

import (
	"log/slog"
	"testing"

	"github.com/sluicemedia/sluice/cluster"
	"github.com/sluicemedia/sluice/events"
	"github.com/sluicemedia/sluice/sfu"
)

// keeping is as much of a gateway as keeps rooms.
func keeping(t *testing.T) *Gateway {
	t.Helper()
	g := &Gateway{keeper: newRoomKeeper(), log: slog.New(slog.DiscardHandler), rooms: sfu.NewRooms(sfu.Config{}, slog.New(slog.DiscardHandler)), hub: events.NewHub(events.Config{})}
	var err error
	g.registry, err = cluster.Open(t.Context(), cluster.Config{Node: "n1", Dir: t.TempDir(), Log: g.log, OnChange: g.keeper.changes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.rooms.Close()
		g.hub.Close()
		if err := g.registry.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// TestUnmadeRoomThatIsMade: between the look at a room that nobody made and its
// end somebody makes it.
func TestUnmadeRoomThatIsMade(t *testing.T) {
	g := keeping(t)
	if _, err := g.rooms.Create("demo", sfu.Settings{}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.registry.CreateRoom(t.Context(), cluster.Request{}, cluster.Room{Name: "demo", Wait: true}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // before and after the keeper knows
		if ended, err := g.endUnmade("demo"); ended || err != nil {
			t.Errorf("got %t, %v, want it left to the registry", ended, err)
		}
		if err := g.keepRoom("demo"); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := g.rooms.Info("demo"); err != nil || !info.Settings.Wait {
		t.Errorf("media has %+v, %v", info.Settings, err)
	}
	if err := g.registry.DeleteRoom(t.Context(), cluster.Request{}, "demo", 0); err != nil {
		t.Fatal(err)
	}
	if ended, err := g.endUnmade("demo"); !ended || err != nil {
		t.Errorf("got %t, %v, want it ended", ended, err)
	}
	if err := g.keepRoom("demo"); err != nil {
		t.Errorf("what is gone already: %v", err)
	}
}
