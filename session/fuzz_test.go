package session_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/session"
)

func seed(f *testing.F, patterns ...string) {
	f.Helper()
	for _, p := range patterns {
		names, err := filepath.Glob("testdata/" + p)
		if err != nil || len(names) == 0 {
			f.Fatalf("no seeds in %s: %v", p, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
}

// FuzzOffer: any bytes are refused with a cause or answered by the rules.
func FuzzOffer(f *testing.F) {
	seed(f, "offers/*.sdp", "fixtures/*.sdp")
	f.Add([]byte(figure2))
	for _, s := range shapes() {
		f.Add([]byte(written(s.text, "sendonly")))
		f.Add([]byte(written(s.text, "recvonly")))
	}
	f.Add([]byte(simulcastOffer("a=rid:h send pt=96", "a=rid:m send max-width=640;foo=1", "a=rid:l send", "a=simulcast:send h,m;~l recv x", midLine, ridLine, repairedLine)))
	f.Add([]byte(simulcastOffer("a=rid:h send", "a=simulcast:send h;;,~;h", ridLine)))
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := session.ParseOffer(body)
		if problem(t, err); err != nil {
			return
		}
		// The answer is held against the lines that the parser looks at.
		offer := understood(body)
		if err := o.CheckPlay(); err == nil {
			for _, live := range [][]webrtc.RTPCodecCapability{nil, {h264Capability("42e01f", 1), opus}} {
				c := sdpConfig
				c.Prefer = live
				answer, sections, _, err := o.AnswerViewer(c)
				if problem(t, err); err != nil {
					continue
				}
				checkAnswer(t, offer, answer, "sendonly")
				if len(sections) == 0 {
					t.Error("an answer without sections")
				}
			}
			if _, err := session.ParseFragment(session.RestartReply(o, sdpConfig)); err != nil {
				t.Errorf("the reply to a restart does not parse: %v", err)
			}
		} else {
			problem(t, err)
		}
		if err := o.CheckPublish(); err != nil {
			problem(t, err)
			return
		}
		plan, err := o.PlanIngest()
		if problem(t, err); err != nil {
			return
		}
		again, err := session.ParseOffer([]byte(plan.Offer))
		if err != nil || again.CheckPublish() != nil || len(again.Sections) != len(o.Sections) {
			t.Errorf("the offer for pion does not parse: %v\n%s", err, plan.Offer)
		}
		own := strings.ReplaceAll(plan.Offer, "a=setup:"+o.Setup, map[string]string{"passive": "a=setup:active"}[o.Setup]+map[string]string{"active": "a=setup:passive", "actpass": "a=setup:passive"}[o.Setup])
		answer, err := o.FinishIngest(own, sdpConfig)
		if problem(t, err); err == nil {
			checkAnswer(t, offer, answer, "recvonly")
		}
	})
}

// understood drops the lines that the gateway never looks at and a strict
// parser may refuse.
func understood(body []byte) []byte {
	var b strings.Builder
	for line := range strings.SplitSeq(string(body), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line != "" && !strings.ContainsRune("beikpruz", rune(line[0])) && !strings.HasPrefix(line, "a=candidate:") {
			b.WriteString(line + "\r\n")
		}
	}
	return []byte(b.String())
}

func FuzzFragment(f *testing.F) {
	seed(f, "offers/*.sdpfrag", "fixtures/*.frag")
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := session.ParseFragment(body)
		if problem(t, err); err != nil {
			return
		}
		if len(got.Candidates) > 64 || len(got.MIDs) > 32 || (got.UFrag == "") != (got.Pwd == "") {
			t.Errorf("got %+v", got)
		}
		again, err := session.ParseFragment(fragmentOf(got))
		if err != nil {
			// Said so, a fragment of sections alone says nothing at all.
			if got.UFrag != "" || len(got.Candidates) > 0 || len(got.MIDs) > 0 || got.EndOfCandidates {
				t.Errorf("%+v is not read again: %v", got, err)
			}
			return
		}
		if !reflect.DeepEqual(got, again) {
			t.Errorf("%+v is read again as %+v", got, again)
		}
	})
}

// fragmentOf writes a fragment as a client would.
func fragmentOf(f *session.Fragment) []byte {
	var b strings.Builder
	if f.UFrag != "" {
		b.WriteString("a=ice-ufrag:" + f.UFrag + "\r\na=ice-pwd:" + f.Pwd + "\r\n")
	}
	for _, mid := range f.MIDs {
		b.WriteString("m=audio 9 RTP/AVP 0\r\na=mid:" + mid + "\r\n")
	}
	for _, c := range f.Candidates {
		b.WriteString("a=candidate:" + c + "\r\n")
	}
	if f.EndOfCandidates {
		b.WriteString("a=end-of-candidates\r\n")
	}
	return []byte(b.String())
}
