package session_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/session"
)

// simulcastOffer is a publisher's offer whose video section ends in lines.
func simulcastOffer(lines ...string) string {
	return strings.Join(append([]string{
		"v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0",
		"a=fingerprint:sha-256 " + strings.Repeat("AB:", 31) + "AB", "a=ice-ufrag:abcd", "a=ice-pwd:" + strings.Repeat("p", 22),
		"m=video 9 UDP/TLS/RTP/SAVPF 96 97 98", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sendonly", "a=rtcp-mux", "a=setup:actpass",
		"a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96", "a=rtpmap:98 H264/90000", "a=fmtp:98 packetization-mode=1",
		"a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli",
	}, lines...), "\r\n") + "\r\n"
}

const (
	midLine      = "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid"
	ridLine      = "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	repairedLine = "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
)

func TestSimulcastAnswer(t *testing.T) {
	three := []string{"a=rid:0 send", "a=rid:1 send", "a=rid:2 send", "a=simulcast:send 0;1;2"}
	cases := []struct {
		name  string
		lines []string
		rids  []string // a=rid lines of the answer
		list  string   // of its a=simulcast
	}{
		{"three", three, []string{"0 recv", "1 recv", "2 recv"}, "0;1;2"},
		{"alternatives and a paused one", []string{"a=rid:h send", "a=rid:m send", "a=rid:l send", "a=simulcast:send h,m;~l"}, []string{"h recv", "l recv"}, "h;l"},
		{"the first alternative is unknown", []string{"a=rid:m send", "a=rid:l send", "a=simulcast:send h,~m;l"}, []string{"m recv", "l recv"}, "m;l"},
		{"one without a=rid", []string{"a=rid:h send", "a=rid:l recv", "a=simulcast:send h;m;l"}, []string{"h recv"}, "h"},
		{"both directions", []string{"a=rid:h send", "a=rid:x recv", "a=simulcast:recv x send h"}, []string{"h recv"}, "h"},
		{"twice in the list", []string{"a=rid:h send", "a=rid:l send", "a=simulcast:send h;l;h"}, []string{"h recv", "l recv"}, "h;l"},
		{"restrictions", []string{"a=rid:1 send max-width=640;foo=1", "a=rid:2 send pt=96,120;max-fps=30", "a=simulcast:send 1;2"}, []string{"1 recv", "2 recv pt=96"}, "1;2"},
		{"a second line", []string{"a=rid:h send", "a=rid:l send", "a=simulcast:send h;l", "a=simulcast:send l"}, []string{"h recv", "l recv"}, "h;l"},
		{"four", []string{"a=rid:a-b send", "a=rid:a_b send", "a=rid:c send", "a=rid:d send", "a=simulcast:send a-b;a_b;c;d"}, []string{"a-b recv", "a_b recv", "c recv", "d recv"}, "a-b;a_b;c;d"},
		{"rids only", three[:3], nil, ""},
		{"a list of nothing", []string{"a=rid:h send", "a=simulcast:send"}, nil, ""},
		{"not to be sent", []string{"a=rid:h recv", "a=simulcast:recv h"}, nil, ""},
		{"rid too long", []string{"a=rid:abcdefghijklmnopq send", "a=simulcast:send abcdefghijklmnopq"}, nil, ""},
		{"rid with other letters", []string{"a=rid:a.b send", "a=simulcast:send a.b"}, nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, answer := ingest(t, simulcastOffer(append(slices.Clone(c.lines), midLine, ridLine, repairedLine)...))
			got := section(t, answer, "0")
			var rids, lists, maps []string
			for line := range strings.SplitSeq(got, "\r\n") {
				if rid, ok := strings.CutPrefix(line, "a=rid:"); ok {
					rids = append(rids, rid)
				}
				if list, ok := strings.CutPrefix(line, "a=simulcast:recv "); ok {
					lists = append(lists, list)
				}
				if strings.HasPrefix(line, "a=extmap:") {
					maps = append(maps, line)
				}
			}
			if !slices.Equal(rids, c.rids) || strings.Join(lists, "|") != c.list {
				t.Errorf("got rids %q and simulcast %q, want %q and %q", rids, lists, c.rids, c.list)
			}
			want := []string{midLine}
			if c.list != "" {
				want = append(want, ridLine, repairedLine)
			}
			if !slices.Equal(maps, want) {
				t.Errorf("got extensions %q, want %q", maps, want)
			}
		})
	}
}

// TestSimulcastRepairedRID: what was not offered is not answered.
func TestSimulcastRepairedRID(t *testing.T) {
	_, answer := ingest(t, simulcastOffer("a=rid:h send", "a=rid:l send", "a=simulcast:send h;l", ridLine))
	if strings.Contains(answer, "repaired") || strings.Contains(answer, "sdes:mid") || !strings.Contains(answer, ridLine+"\r\n") {
		t.Errorf("got\n%s", answer)
	}
}

func TestSimulcastRefusals(t *testing.T) {
	five := []string{"a=rid:1 send", "a=rid:2 send", "a=rid:3 send", "a=rid:4 send", "a=rid:5 send", "a=simulcast:send 1;2;3;4;5", ridLine}
	cases := []struct {
		name  string
		lines []string
	}{
		{"five layers", five},
		{"no rid extension", []string{"a=rid:1 send", "a=rid:2 send", "a=simulcast:send 1;2", midLine}},
		{"rid extension with an id of two bytes", []string{"a=rid:1 send", "a=simulcast:send 1", strings.Replace(ridLine, ":2 ", ":15 ", 1)}},
		{"a layer of another codec", []string{"a=rid:1 send pt=96", "a=rid:2 send pt=98", "a=simulcast:send 1;2", ridLine}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := parseOffer(t, simulcastOffer(c.lines...))
			if err := o.CheckPublish(); err != nil {
				t.Fatal(err)
			}
			_, err := o.PlanIngest()
			if got := problem(t, err); got != session.ProblemSimulcast {
				t.Errorf("got %q (%v), want %s", got, err, session.ProblemSimulcast)
			}
			o = o.WithoutSimulcast()
			plan, err := o.PlanIngest()
			if err != nil {
				t.Fatalf("switched off: %v", err)
			}
			own, err := pionAnswers(t, plan)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := o.FinishIngest(own, sdpConfig)
			if err != nil || strings.Contains(string(answer), "simulcast") || strings.Contains(string(answer), "a=rid") || strings.Contains(string(answer), "rtp-stream-id") {
				t.Errorf("switched off: %v\n%s", err, answer)
			}
		})
	}
}

// TestSimulcastNotForViewers: a viewer gets one stream a section, whatever it
// would send itself.
func TestSimulcastNotForViewers(t *testing.T) {
	text := simulcastOffer("a=rid:1 send", "a=rid:2 send", "a=simulcast:send 1;2", midLine, ridLine)
	for _, direction := range []string{"a=recvonly", "a=sendrecv"} {
		o := parseOffer(t, strings.Replace(text, "a=sendonly", direction, 1))
		answer, _, _, err := o.AnswerViewer(sdpConfig)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"simulcast", "a=rid", "rtp-stream-id"} {
			if strings.Contains(string(answer), word) {
				t.Errorf("%s: %s in the answer\n%s", direction, word, answer)
			}
		}
	}
}
