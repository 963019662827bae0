//go:build e2e && linux

package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

const (
	meetRoom     = "salon"
	meetPassword = "open sesame"
)

// guest is a participant of a call, in a browser context of their own.
type guest struct {
	*gatewaytest.Page
	name string
}

// TestE2EMeet holds a call of five in browsers, from the password to the end of
// the room.
func TestE2EMeet(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	callAPI(t, "POST", node.URL+"/v1/rooms", map[string]any{"name": meetRoom, "password": meetPassword}, http.StatusCreated, nil)
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})

	var guests []*guest
	for _, name := range []string{"Ann", "Ben Blue", "Cléo", "Dan", "Eve"} {
		g := arrive(t, b, node.URL, name)
		if len(guests) == 0 {
			g.tryWrongPassword()
		}
		pressed := g.join()
		guests = append(guests, g)
		checkPictures(t, guests, pressed)
	}
	shoot(guests[0], "meet-five")
	checkTalk(t, guests)
	checkMutes(t, node.URL, guests)
	checkScreen(t, guests)
	guests = checkClosedTab(t, guests, 3)
	guests = checkKick(t, node.URL, guests, len(guests)-1)
	for _, g := range guests {
		checkQuiet(t, g.Page)
	}

	callAPI(t, "DELETE", node.URL+"/v1/rooms/"+meetRoom, nil, http.StatusNoContent, nil)
	for _, g := range guests {
		g.WaitFor(`document.querySelector('#over-title').textContent === 'The room was ended.' && !document.querySelector('#over').hidden`, joinLimit)
	}
	shoot(guests[0], "meet-over")
}

// arrive opens the lobby and waits for the preview.
func arrive(t *testing.T, b *gatewaytest.Browser, url, name string) *guest {
	t.Helper()
	p := b.Open(url+"/meet/"+meetRoom+"?width=320&height=180&fps=15", gatewaytest.PageOptions{Private: true, Light: true})
	g := &guest{p, name}
	g.small()
	g.WaitFor(`document.querySelector('#preview').videoWidth > 0 && document.querySelector('#placeholder').hidden`, joinLimit)
	g.fill("name", name)
	return g
}

func (g *guest) fill(id, text string) {
	g.Eval(fmt.Sprintf(`document.querySelector('#%s').value = %s`, id, quoted(text)), nil)
}

func (g *guest) click(id string) {
	g.Eval(fmt.Sprintf(`document.querySelector('#%s').click()`, id), nil)
}

// tryWrongPassword joins without a password and with a wrong one.
func (g *guest) tryWrongPassword() {
	shoot(g, "meet-lobby")
	refused := func(title string) {
		g.WaitFor(fmt.Sprintf(`!document.querySelector('#password-field').hidden && document.activeElement.id === 'password' &&
			document.querySelector('#refusal-title').textContent === %s && !document.querySelector('#join').disabled`, quoted(title)), joinLimit)
	}
	g.click("join")
	refused("A password is needed here.")
	g.fill("password", "not it")
	g.click("join")
	refused("You cannot enter with this.")
	shoot(g, "meet-password")
}

// join enters the call with the right password and returns when the button was
// pressed, in Unix milliseconds.
func (g *guest) join() float64 {
	g.fill("password", meetPassword)
	var pressed float64
	g.Eval(`(() => { const now = performance.timeOrigin + performance.now(); document.querySelector('#join').click(); return now; })()`, &pressed)
	return pressed
}

// checkPictures waits until everybody sees everybody else move, and logs how
// long that took since the last one joined.
func checkPictures(t *testing.T, guests []*guest, pressed float64) {
	t.Helper()
	others := len(guests) - 1
	var took []time.Duration
	for _, g := range guests {
		g.WaitFor(fmt.Sprintf(`(all => all.length === %d && all.every((one) => one.moving > 0))(window.__probe.pictures())`, others), joinLimit)
		for _, picture := range g.Pictures() {
			if picture.Moving > pressed {
				took = append(took, milliseconds(picture.Moving-pressed))
			}
		}
	}
	if others == 0 {
		return
	}
	if want := 2 * others; len(took) != want {
		t.Errorf("%d pictures began with the newcomer, want %d: theirs at the others and the others' at theirs", len(took), want)
	}
	slices.Sort(took)
	t.Logf("%d in the call: pictures move after a join: median %v, worst %v", len(guests), took[len(took)/2], took[len(took)-1])
	// They move on: a second look has more frames.
	for _, g := range guests {
		before := g.Pictures()
		g.WaitFor(fmt.Sprintf(`((before) => window.__probe.pictures().every((one, i) => one.frames > before[i] + 5))(%s)`, frameCounts(before)), joinLimit)
	}
}

func frameCounts(pictures []gatewaytest.Picture) string {
	counts := make([]string, len(pictures))
	for i, p := range pictures {
		counts[i] = fmt.Sprint(p.Frames)
	}
	return "[" + strings.Join(counts, ",") + "]"
}

// tile finds somebody's tile on a page.
func tile(name, kind string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('.tile[data-kind=%s]')].find((tile) => tile.querySelector('.tile-name').textContent.startsWith(%s))`, kind, quoted(name))
}

// checkTalk writes a message, which everybody gets under the writer's name.
func checkTalk(t *testing.T, guests []*guest) {
	t.Helper()
	text := "Good morning <b>everybody</b>"
	writer := guests[1]
	writer.click("open-chat")
	writer.fill("text", text)
	writer.Eval(`document.querySelector('#write').requestSubmit()`, nil)
	for _, g := range guests {
		author := writer.name
		if g == writer {
			author = "You"
		}
		g.WaitFor(fmt.Sprintf(`[...document.querySelectorAll('.message')].some((one) => one.querySelector('strong').textContent === %s && one.querySelector('.message-text').textContent === %s)`,
			quoted(author), quoted(text)), joinLimit)
	}
	guests[0].WaitFor(`document.querySelector('#unread').textContent === '1' && !document.querySelector('#unread').hidden`, joinLimit)
	shoot(writer, "meet-chat")
	writer.click("panel-close")
	writer.click("open-people")
	writer.WaitFor(`document.querySelectorAll('#people-list li').length === 5`, joinLimit)
	shoot(writer, "meet-people")
	writer.click("panel-close")
}

// checkMutes switches a microphone off, and has another one silenced by the API.
func checkMutes(t *testing.T, url string, guests []*guest) {
	t.Helper()
	quiet, silenced := guests[2], guests[3]
	quiet.click("switch-microphone")
	for _, g := range guests {
		if g != quiet {
			g.WaitFor(fmt.Sprintf(`!%s.querySelector('.tile-muted').hasAttribute('hidden')`, tile(quiet.name, "camera")), joinLimit)
		}
	}
	publication := publicationNamed(t, url, silenced.name)
	callAPI(t, "PATCH", url+"/v1/rooms/"+meetRoom+"/publications/"+publication, map[string]any{"muted": map[string]bool{"audio": true}}, http.StatusOK, nil)
	for _, g := range guests {
		name := silenced.name
		if g == silenced {
			name = "You"
		}
		g.WaitFor(fmt.Sprintf(`%s.querySelector('.tile-note').textContent === 'silenced by a moderator'`, tile(name, "camera")), joinLimit)
	}
	silenced.WaitFor(`document.querySelector('#switch-microphone .label').textContent === 'Silenced'`, joinLimit)
	shoot(guests[0], "meet-muted")
}

// publicationNamed finds the publication of somebody by what it is called.
func publicationNamed(t *testing.T, url, name string) string {
	t.Helper()
	var list struct {
		Items []struct{ Name, Session string }
	}
	callAPI(t, "GET", url+"/v1/rooms/"+meetRoom+"/publications", nil, http.StatusOK, &list)
	for _, p := range list.Items {
		if strings.HasPrefix(p.Name, strings.ToLower(name)+"-") {
			return p.Name
		}
	}
	t.Fatalf("no publication of %s among %+v", name, list.Items)
	return ""
}

// checkScreen shares a screen, which takes the stage on the others' pages.
func checkScreen(t *testing.T, guests []*guest) {
	t.Helper()
	sharer := guests[2]
	sharer.click("share")
	for _, g := range guests {
		if g == sharer {
			continue
		}
		screen := tile(sharer.name, "screen")
		g.WaitFor(fmt.Sprintf(`(%s)?.dataset.stage === 'true' && (%s).querySelector('video').videoWidth > 0`, screen, screen), joinLimit)
	}
	sharer.WaitFor(`document.querySelector('#share .label').textContent === 'Stop sharing'`, joinLimit)
	shoot(guests[0], "meet-screen")
	shoot(sharer, "meet-sharing")
	sharer.click("share")
	for _, g := range guests {
		g.WaitFor(`document.querySelectorAll('.tile[data-kind=screen]').length === 0`, joinLimit)
	}
}

// checkClosedTab closes a tab and returns who is left.
func checkClosedTab(t *testing.T, guests []*guest, which int) []*guest {
	t.Helper()
	gone := guests[which]
	left := slices.Delete(slices.Clone(guests), which, which+1)
	began := time.Now()
	gone.CloseTab()
	for _, g := range left {
		g.WaitFor(fmt.Sprintf(`document.querySelectorAll('.tile').length === %d`, len(left)), joinLimit)
	}
	t.Logf("a closed tab is gone for the others after %v", time.Since(began).Round(time.Millisecond))
	left[0].WaitFor(fmt.Sprintf(`document.querySelector('#announce').textContent.includes(%s)`, quoted(gone.name+" left.")), joinLimit)
	return left
}

// checkKick ends somebody's session by the API: they are told and do not come
// back by themselves. It returns who is left.
func checkKick(t *testing.T, url string, guests []*guest, which int) []*guest {
	t.Helper()
	gone := guests[which]
	left := slices.Delete(slices.Clone(guests), which, which+1)
	var session string
	gone.Eval("window.sluice.call.session", &session)
	callAPI(t, "DELETE", url+"/v1/rooms/"+meetRoom+"/sessions/"+session, nil, http.StatusNoContent, nil)
	gone.WaitFor(`document.querySelector('#over-title').textContent === 'You were removed from the call.' && !document.querySelector('#over').hidden`, joinLimit)
	for _, g := range left {
		g.WaitFor(fmt.Sprintf(`document.querySelectorAll('.tile').length === %d`, len(left)), joinLimit)
	}
	return left
}

// shoot takes pictures of a page, as on a desk and as on a phone.
func shoot(g *guest, name string) {
	const settled = "Promise.all(document.getAnimations().map((one) => one.finished.catch(() => {})))"
	g.Resize(390, 844)
	g.Eval(settled, nil)
	g.Screenshot(name + "-phone")
	g.Resize(1280, 800)
	g.Eval(settled, nil)
	g.Screenshot(name)
	g.small()
}

// small is the size that a page has when nobody looks at it: five of them are
// drawn by the processors that all the rest runs on.
func (g *guest) small() { g.Resize(480, 320) }

// callAPI sends JSON and reads JSON.
func callAPI(t *testing.T, method, url string, body any, status int, out any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		text = nil
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s %s: got %d %s, want %d", method, url, resp.StatusCode, answer.String(), status)
	}
	if out != nil {
		if err := json.Unmarshal(answer.Bytes(), out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, url, err, answer.String())
		}
	}
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return `""` // cannot happen with a string
	}
	return string(b)
}
