//go:build e2e && linux

package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// A room with a password is watched by whoever types it into the play page, and
// published into by whoever types it into the other.
func TestE2EPasswordOnPages(t *testing.T) {
	node := gatewaytest.StartBinary(t, gatewaytest.BinaryOptions{})
	resp, err := http.Post(node.URL+"/v1/rooms", "application/json", strings.NewReader(`{"name":"team","password":"correct horse"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusCreated { // what it says is no matter
		t.Fatalf("make the room: got %d", resp.StatusCode)
	}
	b := gatewaytest.StartBrowser(t, gatewaytest.BrowserOptions{})
	publisher := b.Open(node.URL+"/publish/team?codec=vp8&width=320&height=180&fps=15", gatewaytest.PageOptions{})
	publisher.WaitFor(`document.getElementById('placeholder').hidden`, joinLimit)
	typeInto(publisher, "correct horse")
	publisher.Eval(`document.getElementById('start').click()`, nil)
	publisher.Wait("frames sent", joinLimit, func(r gatewaytest.Report) bool {
		return r.State == "connected" && r.Out("video").FramesEncoded > 15
	})

	viewer := b.Open(node.URL+"/play/team", gatewaytest.PageOptions{})
	viewer.WaitFor(`!document.getElementById('token-form').hidden`, joinLimit)
	for _, word := range []string{"wrong horse", "correct horse"} {
		typeInto(viewer, word)
		viewer.Eval(`document.getElementById('token-form').requestSubmit()`, nil)
		if word == "wrong horse" {
			viewer.WaitFor(`performance.getEntriesByType('resource').filter((e) => e.name.includes('/whep/')).length === 2 && !document.getElementById('token-form').hidden`, joinLimit)
		}
	}
	viewer.WaitFrames(30, joinLimit)
}

func typeInto(p *gatewaytest.Page, word string) {
	p.Eval(`(() => { const f = document.getElementById('token'); f.value = '`+word+`'; f.dispatchEvent(new Event('input', {bubbles: true})); })()`, nil)
}
