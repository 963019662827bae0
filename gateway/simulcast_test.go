package gateway_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/gateway"
)

// TestSimulcastOfOBS posts what OBS 32.2.2 offers with three layers. OBS counts
// the semicolons of the answer's line up to its CRLF, and stops when there are
// fewer than it offered (spec rows WHIP-SIM-04, -05 and -11).
func TestSimulcastOfOBS(t *testing.T) {
	t.Parallel()
	offer, err := os.ReadFile("../session/testdata/offers/obs-32.2.2-simulcast-3.sdp")
	if err != nil {
		t.Fatal(err)
	}
	without := strings.ReplaceAll(string(offer), "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n", "")
	if without == string(offer) {
		without = strings.ReplaceAll(string(offer), "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\n", "")
	}
	headers := []string{"Content-Type", "application/sdp"}

	n := start(t)
	_, resp := n.post(t, "/whip/obs", "", string(offer))
	_, line, ok := strings.Cut(resp.Body, "a=simulcast:")
	line, _, crlf := strings.Cut(line, "\r\n")
	if !ok || !crlf || line != "recv 0;1;2" {
		t.Errorf("the answer says simulcast:%q\n%s", line, resp.Body)
	}
	if got := n.do(t, "POST", "/whip/other", headers, without); got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "/problems/sdp-simulcast") {
		t.Errorf("without the extension: got %d %s", got.StatusCode, got.Body)
	}

	off := start(t, func(c *gateway.Config) { c.Simulcast = false })
	for name, sdp := range map[string]string{"with": string(offer), "without": without} {
		_, resp := off.post(t, "/whip/"+name, "", sdp)
		if strings.Contains(resp.Body, "simulcast") || strings.Contains(resp.Body, "a=rid") || strings.Contains(resp.Body, "rtp-stream-id") {
			t.Errorf("switched off, %s the extension: got\n%s", name, resp.Body)
		}
	}
}
