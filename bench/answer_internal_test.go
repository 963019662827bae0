package bench

import (
	"net/netip"
	"strings"
	"testing"
)

const goodAnswer = `v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
a=fingerprint:SHA-256 AA:BB:CC
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=ice-ufrag:u
a=ice-pwd:p:w
a=setup:passive
a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host
a=candidate:1 1 UDP 2130706430 127.0.0.1 5001 typ host generation 0
a=candidate:1 1 tcp 2130706429 127.0.0.1 5002 typ host tcptype passive
a=candidate:1 2 udp 2130706428 127.0.0.1 5003 typ host
a=candidate:1 1 udp 2130706427 ::1 5004 typ host
a=candidate:1 1 udp 2130706426 somebody.local 5005 typ host
a=candidate:1 1 udp 2130706425 192.0.2.1 5000 typ srflx raddr 10.0.0.1 rport 1
a=candidate:1 1 udp 1 127.0.0.1 0 typ host
m=video 9 UDP/TLS/RTP/SAVPF 106 45
a=ice-ufrag:other
a=setup:active
`

func TestParseAnswer(t *testing.T) {
	for _, ending := range []string{"\n", "\r\n"} {
		a, err := parseAnswer(strings.ReplaceAll(goodAnswer, "\n", ending))
		if err != nil {
			t.Fatal(err)
		}
		if a.ufrag != "u" || a.pwd != "p:w" || !a.passive || a.fingerprint.hash != "sha-256" || string(a.fingerprint.sum) != "\xaa\xbb\xcc" {
			t.Errorf("got %+v", a)
		}
		if !a.isVideo(106) || !a.isVideo(45) || a.isVideo(111) || a.isVideo(0) {
			t.Errorf("the video types are %b", a.video)
		}
		for bind, want := range map[string]string{
			"127.0.0.1": "127.0.0.1:5001 192.0.2.1:5000",
			"192.0.2.7": "192.0.2.1:5000 127.0.0.1:5001",
			"::1":       "[::1]:5004",
		} {
			var got []string
			for _, c := range a.reachable(netip.MustParseAddr(bind)) {
				got = append(got, c.String())
			}
			if strings.Join(got, " ") != want {
				t.Errorf("from %s: got %q, want %q", bind, got, want)
			}
		}
	}
}

func TestParseAnswerFaults(t *testing.T) {
	for _, tc := range []struct{ name, from, to, want string }{
		{"not an answer", goodAnswer, "no SDP at all", "no media section"},
		{"all refused", "9 UDP", "0 UDP", "refuses every media section"},
		{"no credentials", "a=ice-ufrag:", "a=x:", "no ICE credentials"},
		{"no role", "a=setup:passive", "a=setup:actpass", "DTLS role"},
		{"no fingerprint", "SHA-256", "md5", "no fingerprint"},
		{"a fingerprint that is none", "AA:BB", "AA:ZZ", "no fingerprint"},
	} {
		_, err := parseAnswer(strings.ReplaceAll(goodAnswer, tc.from, tc.to))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestParseAnswerSkipsRefused: what a refused section says counts for nothing.
func TestParseAnswerSkipsRefused(t *testing.T) {
	sdp := strings.Replace(goodAnswer, "m=audio 9", "m=audio 0", 1) + "a=ice-pwd:second\na=fingerprint:sha-256 DD\n"
	a, err := parseAnswer(sdp)
	if err != nil {
		t.Fatal(err)
	}
	if a.ufrag != "other" || a.pwd != "second" || a.passive || len(a.candidates) != 0 {
		t.Errorf("got %+v", a)
	}
}

// FuzzAnswer: whatever a server answers is read to its end, within bounds.
func FuzzAnswer(f *testing.F) {
	f.Add(goodAnswer)
	f.Add("m=video 9 x 106\r\na=candidate:1 1 udp 1 ::ffff:1.2.3.4 5 typ host\r\na=fingerprint:sha-512 \r\na=setup:active\r\na=ice-ufrag:a\r\na=ice-pwd:b")
	f.Add("m=\na=candidate\na=fingerprint:\nm=video 1 2 256 -1")
	f.Fuzz(func(t *testing.T, sdp string) {
		a, err := parseAnswer(sdp)
		if (a == nil) == (err == nil) {
			t.Fatalf("got %+v and %v", a, err)
		}
		if err != nil {
			return
		}
		if a.ufrag == "" || a.pwd == "" || digests[a.fingerprint.hash] == nil || len(a.candidates) > maxCandidates {
			t.Errorf("got %+v", a)
		}
		for _, bind := range []string{"127.0.0.1", "::1"} {
			from := netip.MustParseAddr(bind)
			for _, c := range a.reachable(from) {
				if c.Addr().Is4() != from.Is4() || c.Port() == 0 {
					t.Errorf("from %s to %s", bind, c)
				}
			}
		}
		if err := a.fingerprint.check([][]byte{[]byte(sdp)}, nil); err == nil && len(a.fingerprint.sum) < 32 {
			t.Errorf("a digest of %d bytes fits", len(a.fingerprint.sum))
		}
	})
}
