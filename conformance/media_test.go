package conformance_test

import (
	"context"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/conformance"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// poll waits until ok holds.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(limit) {
			t.Fatalf("not within 10 s: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestViewerSeesPublisher plays the suite's own publishers with its own viewer.
func TestViewerSeesPublisher(t *testing.T) {
	for name, publish := range map[string]func(context.Context, string, *conformance.Target) (*conformance.Publisher, error){
		"plain": conformance.Publish, "simulcast": conformance.PublishSimulcast,
	} {
		t.Run(name, func(t *testing.T) {
			n := gatewaytest.Start(t)
			target := targetOf(n)
			p, err := publish(t.Context(), target.WHIP, &target)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			var v *conformance.Viewer
			poll(t, "somebody is on air", func() bool {
				v, err = conformance.Play(t.Context(), target.WHEP, &target)
				return err == nil
			})
			t.Cleanup(v.Close)
			for _, kind := range []string{"audio", "video"} {
				poll(t, kind, func() bool { return len(v.Packets(kind)) > 10 })
				poll(t, kind+" reports", func() bool { return len(v.Reports(kind)) > 0 })
			}
			if err := v.RequestKeyframe(); err != nil {
				t.Error(err)
			}
		})
	}
}
