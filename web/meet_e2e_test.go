//go:build e2e

package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	inCall  = `document.querySelector('#state').textContent === 'In the call'`
	isOver  = `!document.querySelector('#over').hidden && document.activeElement.id === 'over-title' && document.querySelector('#over-title').textContent === `
	refused = `!document.querySelector('#refusal').hidden && document.querySelector('#refusal-title').textContent === `
	meeting = "/meet/garden?name=Ann&width=320&height=180&fps=15"
)

// inTheCall opens the page and joins.
func inTheCall(t *testing.T, r *fakeRoom, allowed ...string) *tab {
	t.Helper()
	p := openTab(t, newBrowser(t), r.url+meeting+"&auto=1", allowed...)
	p.until(inCall + ` && window.sluice.call.camera.state === 'connected'`)
	return p
}

// identityOf is what the page calls itself.
func identityOf(p *tab) string {
	p.t.Helper()
	return eval[string](p, "window.sluice.call.key")
}

// The keyboard alone gets somebody into a call, through the chat and out again.
func TestMeetByKeyboard(t *testing.T) {
	r := newFakeRoom(t)
	p := openTab(t, newBrowser(t), r.url+"/meet/garden?width=320&height=180&fps=15")
	p.until(`document.activeElement.id === 'name' && document.querySelector('#preview').videoWidth > 0`)
	p.run(chromedp.KeyEvent("Ann Lee" + kb.Enter))
	p.until(inCall)
	if seen := r.joined(t, 1); seen.Name != "Ann Lee" || !strings.HasPrefix(seen.Identity, "ann-lee-") || seen.Password != "" {
		t.Errorf("joined with %+v", seen)
	}
	p.until(`document.activeElement.id === 'switch-microphone'`)
	p.run(chromedp.KeyEvent(" "))
	p.until(`document.querySelector('#switch-microphone .label').textContent === 'Unmute'`)
	eventually(t, "word of the mute", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.messages) == 1 && r.messages[0]["kind"] == "meet.state" && r.messages[0]["body"].(map[string]any)["microphone"] == false
	})
	p.run(chromedp.KeyEvent(strings.Repeat(kb.Tab, 3) + kb.Enter))
	p.until(`!document.querySelector('#panel').hidden && document.activeElement.id === 'text'`)
	p.run(chromedp.KeyEvent("hello" + kb.Enter))
	p.until(`document.querySelector('.message.own .message-text')?.textContent === 'hello'`)
	p.run(chromedp.KeyEvent(kb.Escape))
	p.until(`document.querySelector('#panel').hidden && document.activeElement.id === 'open-chat'`)
	p.run(chromedp.KeyEvent(strings.Repeat(kb.Tab, 3) + kb.Enter))
	p.until(isOver + `'You left the call.'`)
	eventually(t, "DELETE", func() bool { return r.seen("DELETE /s/1") == 1 })
	if name := eval[string](p, `JSON.parse(localStorage.getItem('sluice.meet')).name`); name != "Ann Lee" {
		t.Errorf("remembers the name %q", name)
	}
}

func TestMeetIsRefusedInWords(t *testing.T) {
	r := newFakeRoom(t)
	browser := newBrowser(t)
	for _, tt := range []struct {
		name    string
		refusal refusal
		title   string
		ask     bool
	}{
		{"locked", refusal{status: 403, body: map[string]string{"type": "/problems/room-locked"}}, "The room is locked.", false},
		{"too many attempts", refusal{status: 429}, "Too many attempts.", false},
		{"password", refusal{status: 403, body: map[string]string{"type": "/problems/join-refused"}}, "A password is needed here.", true},
		{"full", refusal{status: 503}, "There is no place left at the moment.", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.set(func() { r.refusal = &tt.refusal })
			p := openTab(t, browser, r.url+meeting+"&auto=1", "Failed to load resource")
			p.until(refused + jsString(tt.title))
			if ask := eval[bool](p, `!document.querySelector('#password-field').hidden`); ask != tt.ask {
				t.Errorf("asks for a password: %v, want %v", ask, tt.ask)
			}
		})
	}
}

// The token is renewed before it ends: the sessions take the new one, without
// a new connection. The password is not sent again.
func TestMeetRenewsItsToken(t *testing.T) {
	r := newFakeRoom(t)
	r.set(func() { r.password, r.life = "open", 4*time.Second })
	p := openTab(t, newBrowser(t), r.url+meeting+"&auto=1", "403")
	p.until(refused + `'A password is needed here.'`)
	p.run(chromedp.SendKeys(chromedp.ID("password"), "open\r"))
	p.until(inCall + ` && window.sluice.call.camera.state === 'connected'`)
	if seen := r.joined(t, 2); seen.Password != "open" {
		t.Errorf("joined with %+v", seen)
	}
	if seen := r.joined(t, 3); seen.Authorization != "Bearer token-2" || seen.Password != "" || seen.Identity != r.joined(t, 2).Identity {
		t.Errorf("renewed with %+v", seen)
	}
	eventually(t, "the newer token at the session", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.refresh) > 0 && r.refresh[0] == "token-3" })
	if attempts := eval[int](p, "window.sluice.call.camera.facts.attempts"); attempts != 1 {
		t.Errorf("%d connections, want the first to live on", attempts)
	}

	// When the room takes the page no longer, the call ends in words.
	r.set(func() { r.refusal = &refusal{status: 403, body: map[string]string{"type": "/problems/join-refused"}} })
	p.until(isOver + `'Your time in this room is over.'`)
}

// A stream that breaks off is resumed where it was; media do not notice.
func TestMeetResumesItsEvents(t *testing.T) {
	r := newFakeRoom(t)
	p := inTheCall(t, r)
	me := identityOf(p)
	r.onAirAs(me, "Ann")
	r.onAirAs("ben-000001", "Ben")
	p.until(`[...document.querySelectorAll('.tile:not([data-own=true]) video')].some((v) => v.getVideoPlaybackQuality().totalVideoFrames > 5)`)
	p.until(`document.querySelectorAll('.tile').length === 2 && document.title.startsWith('(2)')`)

	r.cutStreams()
	r.say("session.joined", map[string]any{"session": "v9", "role": "viewer", "publication": me, "identity": "cat", "name": "Cat"})
	p.until(`document.querySelector('#count').textContent === '3' && ` + inCall)
	p.until(`document.querySelector('#announce').textContent.includes('Cat joined.')`)
	r.mu.Lock()
	again := r.streams[len(r.streams)-1]
	r.mu.Unlock()
	if again.last != "life-4" || again.token != "token-1" {
		t.Errorf("resumed with %+v, want the event before and the token", again)
	}
	if attempts := eval[int](p, `window.sluice.call.players.get('ben-000001').facts.attempts`); attempts != 1 {
		t.Errorf("%d connections to Ben, want the first to live on", attempts)
	}

	r.say("publication.muted", map[string]any{"publication": "ben-000001", "muted": map[string]bool{"audio": false, "video": true}})
	p.until(`document.querySelector('.tile[data-own=false]').dataset.picture === 'false'`)
	r.say("publication.stopped", map[string]any{"publication": "ben-000001", "session": "s-ben-000001"})
	r.say("session.left", map[string]any{"session": "s-ben-000001", "role": "publisher", "identity": "ben-000001", "name": "Ben", "cause": "deleted"})
	p.until(`document.querySelectorAll('.tile').length === 1 && window.sluice.call.players.size === 0`)
	p.until(`document.querySelector('#announce').textContent.includes('Ben left.')`)
}

func TestMeetEndsInWords(t *testing.T) {
	r := newFakeRoom(t)
	browser := newBrowser(t)
	for _, tt := range []struct{ name, cause, title string }{
		{"kicked", "kicked", "You were removed from the call."},
		{"revoked", "token-revoked", "Your access to this room was withdrawn."},
		{"ended", "", "The room was ended."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := openTab(t, browser, r.url+meeting+"&auto=1", "404")
			p.until(inCall + ` && window.sluice.call.camera.state === 'connected'`)
			posts := r.seen("POST /whip/")
			me := identityOf(p)
			if tt.cause == "" {
				r.say("room.ended", nil)
			} else {
				r.say("session.left", map[string]any{"session": "x", "role": "publisher", "publication": me, "identity": me, "cause": "deleted"}) // of an old session
				r.say("session.left", map[string]any{"session": "y", "role": "publisher", "publication": me, "identity": me, "cause": tt.cause})
			}
			p.until(isOver + jsString(tt.title))
			if n := r.seen("POST /whip/"); n != posts {
				t.Errorf("%d offers after the end", n-posts)
			}
			if live := eval[bool](p, `document.querySelector('#preview').srcObject?.getTracks().some((track) => track.readyState === 'live') ?? false`); live {
				t.Error("the camera is still on")
			}
		})
	}
}

// Who has no devices, or may not use them, is in the call all the same.
func TestMeetWithoutDevices(t *testing.T) {
	r := newFakeRoom(t)
	browser := newBrowser(t)
	p := openTab(t, browser, r.url+"/meet/garden?name=Ann&auto=1&video=none&audio=0")
	p.until(inCall)
	insecure := openTab(t, browser, strings.Replace(r.url, "127.0.0.1", "insecure.test", 1)+"/meet/garden?name=Ben", "Cross-Origin-Opener-Policy", "Permissions-Policy")
	insecure.until(`document.querySelector('#notice-title').textContent === 'This address is not secure.'`)
	insecure.run(chromedp.Click(chromedp.ID("join")))
	insecure.until(inCall)
	for _, q := range []*tab{p, insecure} {
		q.until(`document.querySelector('#switch-microphone').disabled && document.querySelector('#switch-camera .label').textContent === 'No camera'`)
	}
	if n := r.seen("POST /whip/"); n != 0 {
		t.Errorf("%d offers of nothing", n)
	}
}

// A closed tab says goodbye by itself.
func TestMeetEndsWithThePage(t *testing.T) {
	r := newFakeRoom(t)
	p := inTheCall(t, r)
	r.onAirAs("ben-000001", "Ben")
	p.until(`window.sluice.call.players.get('ben-000001')?.state === 'connected'`)
	p.run(chromedp.Navigate("about:blank"))
	eventually(t, "DELETE of both sessions", func() bool { return r.seen("DELETE /s/1") == 1 && r.seen("DELETE /s/2") == 1 })
}
