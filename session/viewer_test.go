package session_test

import (
	"strings"
	"testing"

	"github.com/pion/dtls/v3"

	"github.com/sluicemedia/sluice/session"
)

func passive(sdp string) string { return strings.ReplaceAll(sdp, "a=setup:actpass", "a=setup:passive") }

// A viewer connects in both DTLS roles and gets media, whatever SRTP profile
// it knows.
func TestViewerConnects(t *testing.T) {
	t.Parallel()
	gcm := []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_128_GCM}
	cm := []dtls.SRTPProtectionProfile{dtls.SRTP_AES128_CM_HMAC_SHA1_80}
	cmFirst := append(cm[:1:1], gcm...)
	for _, c := range []struct {
		name     string
		profiles []dtls.SRTPProtectionProfile
		offer    func(string) string
		profile  string
	}{
		{"server, GCM", gcm, nil, "SRTP_AEAD_AES_128_GCM"},
		{"server, AES_CM only", cm, nil, "SRTP_AES128_CM_HMAC_SHA1_80"},
		{"server, both", cmFirst, nil, "SRTP_AEAD_AES_128_GCM"},
		{"client, GCM", gcm, passive, "SRTP_AEAD_AES_128_GCM"},
		{"client, AES_CM only", cm, passive, "SRTP_AES128_CM_HMAC_SHA1_80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := view(t, newTable(t, nil), viewerOptions{profiles: c.profiles, offer: c.offer})
			v := w.up()
			w.plays(v, "hello")
			i := w.session.Info()
			if i.Profile != c.profile || i.State != "live" || i.Role != session.RoleViewer || i.Viewer.Packets == 0 {
				t.Errorf("got %+v, want profile %s", i, c.profile)
			}
		})
	}
}
