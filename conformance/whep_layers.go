package conformance

import (
	"fmt"
	"net/http"
	"time"
)

// whepLayerChecks are those of layer selection by players.
func whepLayerChecks() []Check {
	return []Check{
		{
			ID: "WHEP-LAY-01", Section: "WHEP layers", Level: Must, Stage: Live,
			What: "the 201 links to the choice of a layer",
			Run: func(t *T) {
				if s := t.watch(PlayOffer()); len(s.Created.linksOf(relLayer)) == 0 {
					t.differsf("expected a Link of the type %s in the 201, got %q", relLayer, s.Created.Header.Values("Link"))
				}
			},
		},
		{
			ID: "WHEP-LAY-02", Section: "WHEP layers", Level: Must, Stage: Live,
			What: "a server that lets players choose a layer tells them of layers by events",
			Run: func(t *T) {
				s := t.watch(PlayOffer())
				if len(s.Created.linksOf(relLayer)) == 0 {
					t.Skipf("the server offers no choice of a layer")
				}
				events := s.Created.linksOf(relEvents)
				if len(events) == 0 || !events[0].sends("layers") {
					t.Errorf("expected a link to events with layers among them, got %q", s.Created.Header.Values("Link"))
				}
			},
		},
		{
			ID: "WHEP-LAY-03", Section: "WHEP layers", Level: Must, Stage: Alone,
			What: "POST of a layer that is there is 200",
			Run: func(t *T) {
				l := t.withLayers()
				for _, rid := range []string{"h", "m", "l"} {
					t.wantChosen(l, fmt.Sprintf(`{"mediaId":"1","rid":%q}`, rid))
				}
			},
		},
		{
			ID: "WHEP-LAY-04", Section: "WHEP layers", Level: Must, Stage: Alone,
			What: "the section is named by its index in the SDP, and is the first one of video where it is not named",
			Run: func(t *T) {
				l := t.withLayers()
				t.wantChosen(l, `{"rid":"l"}`)
				t.wantChosen(l, `{"mediaId":"1","rid":"m"}`)
				t.Want(t.choose(l, `{"mediaId":"0","rid":"l"}`), "4xx to a layer of the audio section", ClientError)
			},
		},
		{
			ID: "WHEP-LAY-05", Section: "WHEP layers", Level: Must, Stage: Alone,
			What: "an object without constraints leaves the choice to the server again",
			Run: func(t *T) {
				l := t.withLayers()
				t.wantChosen(l, `{"mediaId":"1","rid":"l"}`)
				t.wantChosen(l, `{"mediaId":"1"}`)
				t.wantChosen(l, `{}`)
			},
		},
		{
			ID: "WHEP-LAY-07", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "a layer or section that is not there is 422, broken JSON 400, another type 415, and 409 where nobody is on air",
			Run:  whepLayerErrors,
		},
		{
			ID: "WHEP-LAY-08", Section: "Sluice", Level: Choice, Stage: Alone,
			What: "encodingId is taken for rid, as older drafts had it, and DELETE for no constraint",
			Run: func(t *T) {
				l := t.withLayers()
				t.wantChosen(l, `{"mediaId":"1","rid":"l"}`)
				if r := t.choose(l, `{"mediaId":"1","encodingId":"m"}`); r.Status != http.StatusOK {
					t.differsf("encodingId: expected 200, got %v", r)
				}
				if r := t.choose(l, `{"mediaId":"1","encodingId":"nope"}`); r.Status == http.StatusOK {
					t.differsf("an encodingId that is not there: expected 422, got %v", r)
				}
				if r := t.Do(Request{Method: http.MethodDelete, URL: l.URL}); r.Status != http.StatusOK {
					t.differsf("DELETE: expected 200, got %v", r)
				}
			},
		},
	}
}

// withLayers is the link to the choice of a layer in a room where three are on air.
func (t *T) withLayers() *Link {
	_, l := t.inLayers()
	return l
}

func (t *T) inLayers() (*Publisher, *Link) {
	p := t.goOnAirInLayers()
	v := t.viewVP8(func(a *Agent) { a.optional = true }) // connected: before, a server may have nothing to switch
	links := v.Session.Created.linksOf(relLayer)
	if len(links) == 0 {
		t.Skipf("the server offers no choice of a layer")
	}
	return p, &links[0]
}

func (t *T) choose(l *Link, body string) *Response {
	return t.Do(Request{Method: http.MethodPost, URL: l.URL, Type: "application/json", Body: body})
}

// wantChosen wants a choice taken. The layer may not have come yet when the
// publisher has just begun.
func (t *T) wantChosen(l *Link, body string) {
	var r *Response
	t.Until(5*time.Second, func() bool {
		r = t.choose(l, body)
		return r.Status == http.StatusOK
	})
	t.Want(r, "200 to "+body, Is(http.StatusOK))
}

func whepLayerErrors(t *T) {
	p, l := t.inLayers()
	t.wantChosen(l, `{"mediaId":"1","rid":"l"}`)
	for _, c := range []struct {
		name, body, kind string
		code             int
	}{
		{"a rid that is not there", `{"mediaId":"1","rid":"nope"}`, "application/json", http.StatusUnprocessableEntity},
		{"a section that is not there", `{"mediaId":"9","rid":"l"}`, "application/json", http.StatusUnprocessableEntity},
		{"keys without quotes", `{mediaId:"1",rid:"l"}`, "application/json", http.StatusBadRequest},
		{"broken JSON", `{"mediaId":"1"`, "application/json", http.StatusBadRequest},
		{"another type", `{"mediaId":"1","rid":"l"}`, "text/plain", http.StatusUnsupportedMediaType},
	} {
		r := t.Do(Request{Method: http.MethodPost, URL: l.URL, Type: c.kind, Body: c.body})
		t.WantChoice(r, c.code, "4xx to "+c.name, ClientError)
	}
	p.Close()
	var r *Response
	t.Until(5*time.Second, func() bool { // a while may pass before the room is told
		r = t.choose(l, `{"mediaId":"1","rid":"l"}`)
		return r.Status != http.StatusOK
	})
	t.WantChoice(r, http.StatusConflict, "4xx to a choice where nobody is on air", ClientError)
}

// goOnAirInLayers publishes three layers of VP8 into the check's room.
func (t *T) goOnAirInLayers() *Publisher {
	if t.Room.WHIP == "" {
		t.Skipf("nobody can be put on air: no WHIP endpoint was named")
	}
	p, err := PublishSimulcast(t.ctx, t.Room.WHIP, t.suite.target)
	if err != nil {
		t.Skipf("the server does not take a publisher with layers: %v", err)
	}
	t.Cleanup(p.Close)
	t.awaitViewers()
	return p
}
