package gateway_test

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
)

// TestHTTPVersions takes a session through its life over each version of HTTP
// that the node speaks.
func TestHTTPVersions(t *testing.T) {
	for _, tc := range []struct {
		name  string
		tls   bool
		major int
	}{
		{"HTTP/1.1", false, 1},
		{"HTTP/1.1 on TLS", true, 1},
		{"HTTP/2 on TLS", true, 2},
		{"HTTP/2 without TLS", false, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := start(t, withICEServers(t), func(c *gateway.Config) {
				if tc.tls {
					dir := t.TempDir()
					c.TLSCert, c.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
					writeCertificate(t, c.TLSCert, c.TLSKey)
				}
			})
			protocols := new(http.Protocols)
			protocols.SetHTTP1(tc.major == 1)
			protocols.SetHTTP2(tc.major == 2 && tc.tls)
			protocols.SetUnencryptedHTTP2(tc.major == 2 && !tc.tls)
			transport := &http.Transport{
				Protocols:       protocols,
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
			}
			defer transport.CloseIdleConnections()
			spoken := &version{next: transport}
			n.Client.Transport.(*checker).next = spoken

			session, created := n.post(t, "/whip/demo", "", offer(t, webrtc.RTPTransceiverDirectionSendonly))
			if got := iceLinks(created.Header); !slices.Equal(got, []string{turnLink, stunLink}) {
				t.Errorf("the header lines are %q", got)
			}
			if want := n.LocalURL() + "/s/"; !strings.HasPrefix(created.Header.Get("Location"), want) {
				t.Errorf("Location is %q, want it below %s", created.Header.Get("Location"), want)
			}
			fragment := []string{"Content-Type", "application/trickle-ice-sdpfrag", "if-match", created.Header.Get("ETag")}
			for _, step := range []struct {
				method, path string
				headers      []string
				body         string
				want         int
			}{
				{"GET", session, nil, "", 204},
				{"PATCH", session, fragment, "a=end-of-candidates\r\n", 204},
				{"PATCH", session, fragment[:2], "a=end-of-candidates\r\n", 428},
				{"PATCH", session, fragment, "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n", 200},
				{"HEAD", "/whep/demo", nil, "", 200},
				{"PUT", "/whip/demo", nil, "", 405},
				{"POST", "/whip/demo", []string{"content-type", "Application/SDP"}, strings.Repeat("a", 1<<20), 413},
				{"OPTIONS", session, []string{"origin", "https://page.example", "access-control-request-method", "DELETE"}, "", 200},
				{"DELETE", session, nil, "", 200},
				{"GET", session, nil, "", 404},
			} {
				if resp := n.do(t, step.method, step.path, step.headers, step.body); resp.StatusCode != step.want {
					t.Errorf("%s %s: got %d %s, want %d", step.method, step.path, resp.StatusCode, resp.Body, step.want)
				}
			}
			if !slices.Equal(spoken.majors, []int{tc.major}) {
				t.Errorf("spoken was HTTP/%v, want %d", spoken.majors, tc.major)
			}
		})
	}
}

// version notes which versions of HTTP the answers came in.
type version struct {
	next   http.RoundTripper
	majors []int
}

func (v *version) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := v.next.RoundTrip(r)
	if err == nil && !slices.Contains(v.majors, resp.ProtoMajor) {
		v.majors = append(v.majors, resp.ProtoMajor)
	}
	return resp, err
}
