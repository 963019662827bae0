//go:build e2e

package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const (
	isPlaying = `window.sluice?.session.state === 'playing' && window.sluice.session.presentedFrames > 5`
	isOnAir   = `window.sluice?.session.state === 'connected'`
)

// onAir opens a publisher and waits until it is on air.
func onAir(t *testing.T, f *fake) *tab {
	t.Helper()
	p := openTab(t, newBrowser(t), f.url+"/publish/garden?auto=1&codec=vp8&width=640&height=360&fps=30")
	p.until(isOnAir)
	eventually(t, "both tracks", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.tracks) == 2 })
	return p
}

func TestPublishAndPlay(t *testing.T) {
	f := newFake(t)
	publisher := onAir(t, f)
	viewer := openTab(t, publisher.ctx, f.url+"/play/garden?stats=1")
	viewer.until(isPlaying)

	first := eval[*float64](viewer, "window.sluice.session.firstFrameMs")
	if first == nil || *first <= 0 || *first > 10000 {
		t.Errorf("first frame after %v ms, want a time", first)
	}
	t.Logf("first frame after %v ms", *first)
	// A second snapshot has rates.
	viewer.until(`document.querySelector('#stats-rows')?.innerText.includes('640 × 360')`)
	viewer.until(`/VP8, [\d.]+ [kM]bit/.test(document.querySelector('#stats-rows').innerText)`)
	publisher.until(`/VP8, [\d.]+ [kM]bit/.test(document.querySelector('#stats-rows').innerText)`)
	if codec := eval[string](viewer, "window.sluice.stats().then((flow) => flow.audio.codec)"); !strings.EqualFold(codec, "opus") {
		t.Errorf("sound is %q, want opus", codec)
	}

	publisher.run(chromedp.Click(chromedp.ID("stop")))
	eventually(t, "DELETE of the publisher", func() bool { return f.seen("DELETE /s/") == 1 })
	publisher.until(`document.querySelector('#state').textContent === 'Off air'`)
	// The viewer's session goes on, but a still picture is not "Live".
	viewer.until(`window.sluice.session.state === 'stalled' && !document.querySelector('#notice').hidden && document.querySelector('#state').textContent !== 'Live'`)
}

func TestPlayEndsItsSessionWithThePage(t *testing.T) {
	f := newFake(t)
	publisher := onAir(t, f)
	viewer := openTab(t, publisher.ctx, f.url+"/play/garden")
	viewer.until(isPlaying)
	viewer.run(chromedp.Navigate("about:blank"))
	eventually(t, "DELETE of the viewer", func() bool { return f.seen("DELETE /s/2") == 1 })
}

func TestPlayWaitsForThePublisher(t *testing.T) {
	f := newFake(t)
	viewer := openTab(t, newBrowser(t), f.url+"/play/garden", "409")
	viewer.until(`document.querySelector('#notice-title').textContent === 'Nobody is on air yet.'`)
	eventually(t, "a second attempt", func() bool { return f.seen("POST /whep/garden") >= 2 })
	onAir(t, f)
	viewer.until(isPlaying)
	if title := eval[bool](viewer, "document.querySelector('#notice').hidden"); !title {
		t.Error("the notice is still there over the picture")
	}
}

func TestPlayAsksForAToken(t *testing.T) {
	f := newFake(t)
	publisher := onAir(t, f)
	f.want("secret")
	viewer := openTab(t, publisher.ctx, f.url+"/play/garden", "401", "403")
	viewer.until(`!document.querySelector('#token-form').hidden`)
	viewer.run(chromedp.SendKeys(chromedp.ID("token"), "wrong\r"))
	viewer.until(`document.querySelector('#notice-title').textContent.startsWith('This token does not allow')`)
	viewer.run(chromedp.SendKeys(chromedp.ID("token"), "secret\r"))
	viewer.until(isPlaying)

	other := openTab(t, publisher.ctx, f.url+"/play/garden#token=secret&x=1")
	other.until(isPlaying)
	if hash := eval[string](other, "location.hash"); hash != "#x=1" {
		t.Errorf("fragment after loading is %q, want the token gone and the rest kept", hash)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.requests {
		if strings.Contains(line, "secret") {
			t.Errorf("the token went into a URL: %s", line)
		}
	}
}

func TestPlayComesBackAfterAGoodbye(t *testing.T) {
	f := newFake(t)
	publisher := onAir(t, f)
	viewer := openTab(t, publisher.ctx, f.url+"/play/garden", "409") // until the publisher is back
	viewer.until(isPlaying)
	f.closeAll()
	viewer.until(`window.sluice.session.attempts >= 2 && ` + isPlaying)
	// The DTLS transport tells at once; connectionState alone would take 7 s and say "disconnected".
	cause := eval[string](viewer, `window.sluice.session.history.find((entry) => entry.state === 'lost').detail`)
	if cause != "ended" {
		t.Errorf("the session was lost because of %q, want the goodbye", cause)
	}
	publisher.until(`window.sluice.session.attempts >= 2 && ` + isOnAir)
}

// The gateway knows more than the browser of why there is no picture: what it
// says stands on both pages, with the next step, until it is over.
func TestPagesSayWhy(t *testing.T) {
	const title, next = "The video has B-frames.", "Switch them off."
	f := newFake(t)
	publisher := onAir(t, f)
	viewer := openTab(t, publisher.ctx, f.url+"/play/garden", "409")
	viewer.until(isPlaying)
	says := func(prefix string) string {
		return `document.querySelector('#` + prefix + `-title').textContent === ` + jsString(title) +
			` && document.querySelector('#` + prefix + `-next').textContent === ` + jsString(next)
	}
	f.advise(title, next)
	publisher.until(says("trouble") + ` && !document.querySelector('#trouble').hidden`)
	if state := eval[string](viewer, "window.sluice.session.state"); state != "playing" {
		t.Errorf("a viewer who has a picture is told: it is %s", state)
	}
	f.blind(true)
	viewer.until(says("notice") + ` && window.sluice.session.state === 'stalled'`)
	late := openTab(t, publisher.ctx, f.url+"/play/garden", "409")
	late.until(says("notice"))

	f.blind(false)
	f.advise("", "")
	publisher.until(`document.querySelector('#trouble').hidden`)
	viewer.until(isPlaying)
	late.until(isPlaying)

	f.advise("A moderator ended the session.", next)
	f.closeAll()
	viewer.until(`window.sluice.session.history.some((entry) => entry.state === 'retrying' && entry.detail === 'A moderator ended the session.')`)
}

func TestPlayRestartsICE(t *testing.T) {
	f := newFake(t)
	publisher := onAir(t, f)
	viewer := openTab(t, publisher.ctx, f.url+"/play/garden")
	viewer.until(isPlaying)
	f.deaf.Store(true)
	eventually(t, "PATCH of the viewer", func() bool { return f.seen("PATCH /s/2") >= 1 })
	f.deaf.Store(false)
	viewer.until(`window.sluice.session.history.at(-1).state === 'connected' || ` + isPlaying + ` && window.sluice.session.history.some((e) => e.state === 'interrupted')`)
	frames := eval[int](viewer, "window.sluice.session.presentedFrames")
	viewer.until(`window.sluice.session.state === 'playing' && window.sluice.session.presentedFrames > ` + jsNumber(frames+5))
	if attempts := eval[int](viewer, "window.sluice.session.attempts"); attempts != 1 {
		t.Errorf("%d attempts, want the first session mended", attempts)
	}
}

func TestRefusalsInWords(t *testing.T) {
	tests := []struct {
		name, page string
		refusal    refusal
		title      string
		button     bool
	}{
		{"full", "/play/garden", refusal{status: http.StatusServiceUnavailable, header: map[string]string{"Retry-After": "20"}}, "There is no place left at the moment.", true},
		{"no such room", "/play/garden", refusal{status: http.StatusNotFound}, "There is no such room.", false},
		{
			"codec", "/play/garden",
			refusal{status: http.StatusUnprocessableEntity, body: map[string]string{"type": "/problems/sdp-no-common-codec", "detail": "The room has H264."}},
			"This browser cannot play the codec on air.", true,
		},
	}
	f := newFake(t)
	browser := newBrowser(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.refuse(&tt.refusal)
			p := openTab(t, browser, f.url+tt.page, "Failed to load resource")
			p.until(`document.querySelector('#notice-title').textContent === ` + jsString(tt.title))
			if shown := eval[bool](p, "!document.querySelector('#again').hidden"); shown != tt.button {
				t.Errorf("button to try again shown: %v, want %v", shown, tt.button)
			}
			if body, is := tt.refusal.body.(map[string]string); is {
				if detail := eval[string](p, "document.querySelector('#notice-detail').textContent"); detail != body["detail"] {
					t.Errorf("detail is %q, want the gateway's own %q", detail, body["detail"])
				}
			}
		})
	}
}

func TestPublishIsRefused(t *testing.T) {
	f := newFake(t)
	f.refuse(&refusal{status: http.StatusConflict, body: map[string]string{"type": "/problems/publication-busy"}})
	p := openTab(t, newBrowser(t), f.url+"/publish/garden?auto=1", "409")
	p.until(`document.querySelector('#trouble-title').textContent === 'Somebody is already publishing here.'`)
	f.refuse(nil)
	p.run(chromedp.Click(chromedp.ID("start")))
	p.until(isOnAir)
}

func TestPublishNamesAndMutes(t *testing.T) {
	f := newFake(t)
	p := openTab(t, newBrowser(t), f.url+"/publish/garden?publication=cam-2&audio=1")
	p.until(`!document.querySelector('#start').disabled`)
	if link := eval[string](p, "document.querySelector('#play-link').textContent"); link != f.url+"/play/garden?publication=cam-2" {
		t.Errorf("play link is %q", link)
	}
	p.run(chromedp.Click(chromedp.ID("mute-mic")), chromedp.Click(chromedp.ID("start")))
	p.until(isOnAir)
	if n := f.seen("POST /whip/garden/cam-2"); n != 1 {
		t.Errorf("%d offers to the named publication, want 1", n)
	}
	if text := eval[string](p, "document.querySelector('#mute-mic .label').textContent"); text != "Microphone off" {
		t.Errorf("button says %q", text)
	}
	if enabled := eval[bool](p, "document.querySelector('#video').srcObject.getAudioTracks()[0].enabled"); enabled {
		t.Error("the microphone is muted on the page only")
	}
}

func TestPublishExplainsAnInsecureAddress(t *testing.T) {
	f := newFake(t)
	url := strings.Replace(f.url, "127.0.0.1", "insecure.test", 1)
	p := openTab(t, newBrowser(t), url+"/publish/garden", "Cross-Origin-Opener-Policy", "Permissions-Policy")
	p.until(`document.querySelector('#notice-title').textContent === 'This address is not secure.'`)
	if disabled := eval[bool](p, "document.querySelector('#start').disabled"); !disabled {
		t.Error("the page offers to go live without anything to send")
	}
}

func TestPublishChangesSourceOnAir(t *testing.T) {
	f := newFake(t)
	p := openTab(t, newBrowser(t), f.url+"/publish/garden?auto=1&codec=vp8&width=640&height=360")
	p.until(isOnAir)
	eventually(t, "both tracks", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.tracks) == 2 })
	p.run(chromedp.Click(chromedp.CSS(`#source input[value="none"] + span`)))
	p.until(`document.querySelector('#placeholder h2').textContent === 'Sound only' && !document.querySelector('#placeholder').hidden`)
	if n := f.seen("POST /whip/"); n != 1 {
		t.Errorf("%d offers, want the first session to go on", n)
	}
}

func TestPublishAddsAPictureOnAir(t *testing.T) {
	f := newFake(t)
	p := openTab(t, newBrowser(t), f.url+"/publish/garden?auto=1&video=none&codec=vp8")
	p.until(isOnAir)
	p.run(chromedp.Click(chromedp.CSS(`#source input[value="camera"] + span`)))
	eventually(t, "both tracks", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.tracks) == 2 })
	if n := f.seen("POST /whip/"); n != 1 {
		t.Errorf("%d offers, want the first session to go on", n)
	}
	viewer := openTab(t, p.ctx, f.url+"/play/garden")
	viewer.until(isPlaying)
}

func TestIndexListsRooms(t *testing.T) {
	f := newFake(t)
	browser := newBrowser(t)
	p := openTab(t, browser, f.url+"/", "401")
	p.until(`!document.querySelector('#empty').hidden`)
	onAir(t, f)
	p.until(`document.querySelectorAll('.room-row').length === 2`)
	text := eval[string](p, "document.querySelector('#rooms').innerText")
	for _, want := range []string{"garden", "1 viewer", "stage-2.main", "1208 viewers, 2 publications"} {
		if !strings.Contains(text, want) {
			t.Errorf("the list lacks %q:\n%s", want, text)
		}
	}
	f.want("secret")
	p.until(`!document.querySelector('#token-form').hidden`)
	p.run(chromedp.SendKeys(chromedp.ID("token"), "secret\r"))
	p.until(`document.querySelectorAll('.room-row').length === 2`)
	p.run(chromedp.SendKeys(chromedp.ID("name"), "my-room"))
	if url := eval[string](p, "document.querySelector('#obs-url').textContent"); url != f.url+"/whip/my-room" {
		t.Errorf("OBS is told %q", url)
	}
}

func TestModules(t *testing.T) {
	f := newFake(t)
	p := openTab(t, newBrowser(t), f.url+"/")
	failures := eval[[]string](p, "import('/testdata/unit.js').then((unit) => unit.run('"+f.url+"/assets/'))")
	for _, failure := range failures {
		t.Error(failure)
	}
	if count := eval[int](p, "import('/testdata/unit.js').then((unit) => unit.count())"); count < 20 {
		t.Errorf("%d unit tests ran, want at least 20", count)
	}
}
