//go:build e2e && linux

package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// The operator's page shows two rooms with ffmpeg in them and a viewer on a bad
// line, says why that one suffers, kicks it, and mutes a publication.
func TestE2EAdmin(t *testing.T) {
	l := newLossyLab(t)
	for _, room := range []string{"demo", "studio"} {
		gatewaytest.StartFFmpeg(t, l.node.URL+"/whip/"+room, gatewaytest.FFmpegOptions{Namespace: l.srv})
	}
	viewer := l.browser.Open(l.node.URL+"/play/demo", gatewaytest.PageOptions{})
	viewer.WaitFrames(60, joinLimit)
	near := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{Namespace: l.srv})
	admin := near.Open(l.node.URL+"/admin", gatewaytest.PageOptions{})
	truly(t, admin, "both rooms are live", `document.querySelectorAll('.admin-room .room-head .pill.live[data-tone=live]').length === 2`)
	truly(t, admin, "the viewer is well", `line('demo', 'watches')?.querySelector('.pill.state').innerText === 'Live'`)
	admin.Screenshot("admin-well")

	l.link.BA.Set(gatewaytest.Impairment{Delay: 10 * time.Millisecond, Loss: 0.15})
	truly(t, admin, "the cause is shown", `line('demo', 'watches')?.querySelector('.pill.state').innerText === 'Poor link'`)
	truly(t, admin, "the room tells of it", `room('demo').querySelector('.trouble').innerText.includes('1 in trouble')`)
	truly(t, admin, "what to do is said", `line('demo', 'watches').querySelector('.why').innerText.includes('lost on the way') && line('demo', 'watches').querySelector('.more').href.endsWith('/problems/poor-link')`)
	admin.Screenshot("admin-poor-link")

	act(t, admin, `room('studio').querySelector('.publications .audio')`)
	truly(t, admin, "the sound is muted", `room('studio').querySelector('.publications .audio').getAttribute('aria-pressed') === 'true'`)
	if p := publicationsOf(t, l.srv.Client(), l.node.URL, "studio"); len(p) != 1 || !p[0].Muted.Audio || p[0].Muted.Video {
		t.Errorf("the publications of studio are %+v, want one whose sound is muted", p)
	}

	before := sessionOf(t, admin)
	act(t, admin, `line('demo', 'watches').querySelector('.kick')`)
	truly(t, admin, "it asks first", `document.getElementById('sure').open`)
	admin.Screenshot("admin-kick")
	act(t, admin, `document.getElementById('sure-yes')`)
	truly(t, admin, "the viewer has gone", fmt.Sprintf(`!document.querySelector('[data-session="%s"]')`, before))
	act(t, admin, `room('demo').querySelector('.lock')`)
	truly(t, admin, "the room is locked", `room('demo').querySelector('.lock').innerText === 'Locked'`)
	admin.Resize(390, 844)
	admin.Screenshot("admin-phone")
	truly(t, admin, "nothing is wider than a phone", `document.documentElement.scrollWidth <= 390`)
}

// adminHelpers find parts of the page.
const adminHelpers = `
	const room = (name) => document.querySelector('.admin-room[data-room="' + name + '"]');
	const line = (name, text) => [...room(name).querySelectorAll('.sessions .line')].find((l) => l.innerText.includes(text));
`

// truly waits until an expression is true in a page.
func truly(t *testing.T, p *gatewaytest.Page, what, expression string) {
	t.Helper()
	eventually(t, what, func() (ok bool) {
		p.Eval(fmt.Sprintf(`(() => { %s try { return Boolean(%s); } catch { return false; } })()`, adminHelpers, expression), &ok)
		return ok
	})
}

// act clicks on an element.
func act(t *testing.T, p *gatewaytest.Page, element string) {
	t.Helper()
	truly(t, p, "click "+element, fmt.Sprintf(`(%s.click(), true)`, element))
}

// sessionOf is the id of the viewer's session on the page.
func sessionOf(t *testing.T, p *gatewaytest.Page) (id string) {
	t.Helper()
	p.Eval(fmt.Sprintf(`(() => { %s return line('demo', 'watches').dataset.session; })()`, adminHelpers), &id)
	return id
}

func publicationsOf(t *testing.T, client *http.Client, base, room string) []publicationShown {
	t.Helper()
	resp, err := client.Get(base + "/v1/rooms/" + room + "/publications")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	var list struct{ Items []publicationShown }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// publicationShown is what the test looks at of a publication.
type publicationShown struct {
	Name  string
	Muted struct{ Audio, Video bool }
}
