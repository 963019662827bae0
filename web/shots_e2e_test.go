//go:build e2e && shots

package web_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestScreenshots writes a picture of every state of every page into the directory
// SLUICE_WEB_SHOTS, for people to look at. It has a build tag of its own: it checks nothing.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SLUICE_WEB_SHOTS")
	if dir == "" {
		t.Fatal("SLUICE_WEB_SHOTS names no directory")
	}
	r := newFakeRoom(t)
	f := r.fake
	browser := newBrowser(t)
	shoot := func(name, page, ready string) {
		p := openTab(t, browser, f.url+page, "Failed to load resource")
		p.until(ready)
		for _, scheme := range []string{"light", "dark"} {
			for device, size := range map[string][2]int64{"desktop": {1280, 800}, "phone": {390, 844}} {
				p.run(theme(scheme), chromedp.EmulateViewport(size[0], size[1]), chromedp.Sleep(400*time.Millisecond))
				shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name+"-"+device+"-"+scheme+".png"), shot, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.run(chromedp.Navigate("about:blank"))
	}
	noticed := `document.querySelector('#notice-title').textContent !== 'Connecting'`
	shoot("index-empty", "/", `!document.querySelector('#empty').hidden`)
	shoot("play-waiting", "/play/garden", noticed)
	shoot("publish-preview", "/publish/garden", `document.querySelector('#video').videoWidth > 0`)
	f.want("secret")
	shoot("index-token", "/", `!document.querySelector('#token-form').hidden`)
	shoot("play-token", "/play/garden", `!document.querySelector('#token-form').hidden`)
	shoot("publish-token", "/publish/garden?auto=1", `!document.querySelector('#trouble').hidden`)
	f.want("")
	f.refuse(&refusal{status: http.StatusServiceUnavailable, header: map[string]string{"Retry-After": "20"}})
	shoot("play-full", "/play/garden", noticed)
	f.refuse(nil)
	live := onAir(t, f)
	shoot("play-live", "/play/garden", isPlaying)
	shoot("play-stats", "/play/garden?stats=1", isPlaying+` && /VP8, [\d.]+ [kM]bit/.test(document.querySelector('#stats-rows').innerText)`)
	shoot("index-live", "/", `document.querySelectorAll('.room-row').length === 2`)
	live.run(chromedp.Navigate("about:blank"))
	shoot("publish-live", "/publish/garden?auto=1&codec=vp8", isOnAir+` && /VP8, [\d.]+ [kM]bit/.test(document.querySelector('#stats-rows').innerText)`)
	shoot("meet-lobby", meeting, `document.querySelector('#preview').videoWidth > 0`)
	shoot("meet-alone", meeting+"&auto=1", inCall+` && !document.querySelector('#alone').hidden`)
	shoot("meet-nothing", "/meet/garden?name=Ann&auto=1&video=none&audio=0", inCall+` && !document.querySelector('#alone').hidden`)
}

func theme(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}
