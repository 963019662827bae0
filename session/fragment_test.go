package session_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/session"
)

const (
	fragmentICE = "a=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n"
	goodLine    = "1 1 udp 2122260223 192.0.2.9 61764 typ host"
)

func TestFragmentsOfClients(t *testing.T) {
	cases := []struct {
		file       string
		mids       []string
		candidates int
		end, bad   bool
	}{
		{"fixtures/f_trickle.frag", []string{"0"}, 1, true, false},
		{"fixtures/f_sess.frag", []string{"0"}, 1, false, false},
		{"fixtures/f_restart.frag", []string{"0"}, 1, false, false},
		{"fixtures/f_badcand.frag", []string{"0"}, 0, false, false},
		{"fixtures/f_garbage.frag", nil, 0, false, true},
		{"offers/gstreamer-1.28-simple-whip-client-patch.sdpfrag", []string{"video0"}, 5, false, false},
	}
	for _, c := range cases {
		t.Run(c.file, func(t *testing.T) {
			f, err := session.ParseFragment(testdata(t, c.file))
			if c.bad {
				if problem(t, err) != session.ProblemFragment {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(f.MIDs, c.mids) || len(f.Candidates) != c.candidates || f.EndOfCandidates != c.end || len(f.UFrag) < 4 || len(f.Pwd) < 22 {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestFragmentShapes(t *testing.T) {
	const m, mid, candidate, end = "m=audio 9 RTP/AVP 0\r\n", "a=mid:0\r\n", "a=candidate:" + goodLine + "\r\n", "a=end-of-candidates\r\n"
	var many strings.Builder
	for i := range 500 {
		fmt.Fprintf(&many, "a=candidate:%d 1 udp 1 192.0.2.1 %d typ host\r\n", i, 1000+i)
	}
	cases := []struct {
		name, text string
		bad        bool
		mids, kept int
	}{
		{"section level", m + mid + fragmentICE + candidate, false, 1, 1},
		{"session level", fragmentICE + m + mid + candidate, false, 1, 1},
		{"LF alone", strings.ReplaceAll(fragmentICE+m+mid+candidate, "\r\n", "\n"), false, 1, 1},
		{"no last line end", strings.TrimSuffix(fragmentICE+m+mid+candidate, "\r\n"), false, 1, 1},
		{"no section at all", fragmentICE, false, 0, 0},
		{"no mid in one section", fragmentICE + m + candidate, false, 0, 1},
		{"no mid in the second section", fragmentICE + m + mid + m + candidate, true, 0, 0},
		{"no mid in the first section", fragmentICE + m + m + mid, true, 0, 0},
		{"both sections", fragmentICE + m + mid + candidate + m + "a=mid:1\r\n" + candidate, false, 2, 1},
		{"the same mid twice", fragmentICE + m + mid + m + mid, false, 1, 0},
		{"two mids in a section", fragmentICE + m + mid + "a=mid:1\r\n", true, 0, 0},
		{"a mid outside", fragmentICE + mid, true, 0, 0},
		{"duplicate candidates", fragmentICE + m + mid + candidate + candidate, false, 1, 1},
		{"end of candidates often", end + fragmentICE + m + mid + end + end, false, 1, 0},
		{"end of candidates alone", m + mid + end, false, 1, 0},
		{"500 candidates", fragmentICE + m + mid + many.String(), false, 1, 64},
		{"component 0 and 2", fragmentICE + m + mid + "a=candidate:1 0 udp 1 192.0.2.1 9 typ host\r\na=candidate:1 2 udp 1 192.0.2.1 9 typ host\r\n", false, 1, 0},
		{"mDNS name", fragmentICE + m + mid + "a=candidate:1 1 udp 1 abc.local 9 typ host\r\n" + candidate, false, 1, 1},
		{"unknown transport", fragmentICE + m + mid + "a=candidate:1 1 sctp 1 192.0.2.1 9 typ host\r\n" + candidate, false, 1, 1},
		{"TCP and IPv6", fragmentICE + m + mid + "a=candidate:1 1 TCP 1 2001:db8::1 9 typ host tcptype active\r\n", false, 1, 1},
		{"candidates that are none", fragmentICE + m + mid + "a=candidate:\r\na=candidate:1 1 udp x 192.0.2.1 9 typ host\r\na=candidate:1 1 udp 1 192.0.2.1 99999 typ host\r\n", false, 1, 0},
		{"another generation", fragmentICE + m + mid + "a=candidate:" + goodLine + " generation 0 ufrag XXXX\r\n", false, 1, 0},
		{"this generation", fragmentICE + m + mid + "a=candidate:" + goodLine + " generation 0 ufrag EsAw\r\n", false, 1, 1},
		{"empty", "", true, 0, 0},
		{"line ends alone", "\r\n\r\n", true, 0, 0},
		{"nothing of ICE", "a=x-foo\r\n", true, 0, 0},
		{"pwd without ufrag", "a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n" + m + mid, true, 0, 0},
		{"ufrag without pwd", "a=ice-ufrag:EsAw\r\n" + m + mid, true, 0, 0},
		{"short pwd", "a=ice-ufrag:EsAw\r\na=ice-pwd:short\r\n", true, 0, 0},
		{"long line", fragmentICE + "a=x:" + strings.Repeat("x", 4096) + "\r\n", true, 0, 0},
		{"too large", fragmentICE + strings.Repeat("a=x\r\n", 1<<14), true, 0, 0},
		{"33 sections", fragmentICE + strings.Repeat(m+mid, 33), true, 0, 0},
		{"NUL", fragmentICE + "a=x:\x00\r\n", true, 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, err := session.ParseFragment([]byte(c.text))
			if got := problem(t, err); (got == session.ProblemFragment) != c.bad {
				t.Fatalf("got %v", err)
			}
			if err == nil && (len(f.MIDs) != c.mids || len(f.Candidates) != c.kept) {
				t.Errorf("got %d mids and %d candidates, want %d and %d", len(f.MIDs), len(f.Candidates), c.mids, c.kept)
			}
		})
	}
}

func TestRestartReply(t *testing.T) {
	const head = "a=ice-lite\r\na=ice-options:trickle ice2\r\n"
	const tail = "a=ice-ufrag:gateway1\r\na=ice-pwd:gatewaygatewaygateway1\r\n" +
		"a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host\r\n" +
		"a=candidate:2 1 udp 2130706175 192.0.2.2 8189 typ host\r\n" +
		"a=candidate:3 1 udp 2130705919 2001:db8::1 8189 typ host\r\na=end-of-candidates\r\n"
	ok := string(testdata(t, "fixtures/o_ok.sdp"))
	cases := []struct{ name, offer, middle string }{
		{"two sections", ok, "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"},
		{"tagged second", strings.Replace(ok, "BUNDLE 0 1", "BUNDLE 1 0", 1), "a=group:BUNDLE 1 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"},
		{"tagged rejected", strings.Replace(ok, "opus/48000/2", "speex/8000", 1), "a=group:BUNDLE 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"},
		{"no mid", strings.NewReplacer("a=group:BUNDLE 0", "a=x", "a=mid:0", "a=x").Replace(string(testdata(t, "fixtures/o_audioonly.sdp"))), "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := string(session.RestartReply(parseOffer(t, c.offer), sdpConfig))
			if want := head + c.middle + tail; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			f, err := session.ParseFragment([]byte(got))
			if err != nil || len(f.Candidates) != 3 || f.UFrag != sdpConfig.UFrag {
				t.Errorf("the reply reads as %+v, %v", f, err)
			}
		})
	}
}
