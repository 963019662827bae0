package conformance

import (
	"net/http"
	"path"
	"time"
)

// whipConcurrentChecks judge what happens to a second publisher as far as HTTP
// shows it.
func whipConcurrentChecks() []Check {
	return []Check{{
		ID: "WHIP-CONC-02", Section: "Sluice", Level: Choice, Stage: Alone,
		What: "a second publisher who is refused gets 409 and is told when to come back", Run: checkBusy,
	}}
}

// checkBusy asks again until the first publisher's media has been seen.
func checkBusy(t *T) {
	p, err := Publish(t.ctx, t.Room.WHIP, t.suite.target)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	t.Cleanup(p.Close)
	var r *Response
	if !t.Until(5*time.Second, func() bool {
		r = t.PostOffer(t.Room.WHIP, PublishOffer())
		return r.Status != http.StatusCreated
	}) {
		t.Skipf("the server lets a newcomer take over")
	}
	t.Want(r, "409 to a second publisher", Is(http.StatusConflict))
	t.wantRetryAfter(r)
	if problem, ok := problemOf(r); t.Strict() && (!ok || problem.Type == nil || path.Base(*problem.Type) != "publication-busy") {
		t.Errorf("expected the problem publication-busy, got %.200s", r.Body)
	}
}
