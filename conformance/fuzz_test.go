package conformance

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzLinks: what any server puts into a Link header is read to its end, and
// links that were read are read again the same.
func FuzzLinks(f *testing.F) {
	f.Add(`<stun:a>; rel="ice-server", <turn:b?transport=udp>; rel=ice-server; username="u\"x"; credential=c`)
	f.Add(`<https://a/b>;rel="x y";events="a,b";;a=`)
	f.Add(`<`)
	f.Fuzz(func(t *testing.T, field string) {
		list := parseLinks(http.Header{"Link": {field}})
		if len(list) > strings.Count(field, "<") {
			t.Errorf("%q has %d links", field, len(list))
		}
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
		for _, l := range list {
			text := "<" + l.Target + `>;rel="` + quote.Replace(strings.Join(l.Rel, " ")) + `"`
			again := parseLinks(http.Header{"Link": {text}})
			if len(again) != 1 || again[0].Target != l.Target || strings.Join(again[0].Rel, " ") != strings.Join(l.Rel, " ") {
				t.Errorf("%q of %q is read as %+v", text, field, again)
			}
			for name := range l.Params {
				if strings.ContainsAny(name, "=;,") || name != strings.ToLower(name) {
					t.Errorf("%q has the parameter %q", field, name)
				}
			}
		}
	})
}

// FuzzEvents: whatever a server streams, its events end where a line is empty.
func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: active\ndata: {}\n\n: still here\n\n")
	f.Add("data\r\ndata:  x\r\n\r\nretry:9\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := newSSEReader(strings.NewReader(text))
		for range strings.Count(text, "\n") + 1 {
			e, err := r.read()
			if err != nil {
				return
			}
			if strings.Contains(e.Type+e.ID+e.Retry, "\n") || e.Comment && e.Type != "" || strings.Count(e.Data, "\n") > max(0, e.DataLines-1) {
				t.Errorf("%q has the event %+v", text, e)
			}
		}
		t.Errorf("%q has more events than lines", text)
	})
}

// FuzzAnswers: whatever a server answers, it can be judged.
func FuzzAnswers(f *testing.F) {
	offer := PublishOffer()
	f.Add(offer)
	f.Add("v=0\r\nm=audio 9 x\r\na=group:BUNDLE\r\na=mid\r\nm=\r\na=candidate:\r\na=ssrc:\r\na=rid:\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		offered, answered := describe(offer), describe(text)
		faults := sectionFaults(offered, answered)
		faults = append(faults, directionFaults(answered, "recvonly")...)
		faults = append(faults, rejectionFaults(answered)...)
		faults = append(faults, bundleFaults(offered, answered)...)
		faults = append(faults, streamFaults(answered)...)
		for _, c := range answered.candidates() {
			_, _ = parseCandidate(c)
		}
		for _, fault := range faults {
			if fault == "" {
				t.Error("a fault without words")
			}
		}
	})
}
