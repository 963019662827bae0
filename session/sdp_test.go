package session_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"

	"github.com/sluicemedia/sluice/session"
)

// sdpConfig is what the tests of answers put into them.
var sdpConfig = session.AnswerConfig{
	SessionID: 42, UFrag: "gateway1", Pwd: "gatewaygatewaygateway1",
	Fingerprint: "AA:BB:CC", CNAME: "cname1",
	Candidates: []netip.AddrPort{
		netip.MustParseAddrPort("[2001:db8::1]:8189"),
		netip.MustParseAddrPort("192.0.2.1:8189"),
		netip.MustParseAddrPort("[::ffff:192.0.2.2]:8189"),
	},
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parseOffer(t testing.TB, text string) *session.Offer {
	t.Helper()
	o, err := session.ParseOffer([]byte(text))
	if err != nil {
		t.Fatalf("parse offer: %v", err)
	}
	return o
}

// problem is the problem type of an error, "" for none. Anything else fails the
// test: offers must never make another error.
func problem(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var refused *session.OfferError
	if !errors.As(err, &refused) {
		t.Fatalf("got the error %v (%T), want an *OfferError", err, err)
	}
	if refused.Detail == "" {
		t.Errorf("the problem %s has no detail", refused.Problem)
	}
	return refused.Problem
}

// section cuts the section of a mid out of an SDP.
func section(t testing.TB, text, mid string) string {
	t.Helper()
	for part := range strings.SplitSeq(text, "\r\nm=") {
		if strings.Contains(part, "\r\na=mid:"+mid+"\r\n") {
			return "m=" + part + "\r\n"
		}
	}
	t.Fatalf("no section %q in\n%s", mid, text)
	return ""
}

func values(attributes []sdp.Attribute, key string) (out []string) {
	for _, a := range attributes {
		if a.Key == key {
			out = append(out, a.Value)
		}
	}
	return out
}

// checkAnswer holds an answer to what is true of every answer: spec rows
// WHIP-ANS-01 to -19 and their twins for WHEP.
func checkAnswer(t testing.TB, offer, answer []byte, direction string) {
	t.Helper()
	var in, out sdp.SessionDescription
	if err := in.Unmarshal(offer); err != nil {
		t.Fatalf("offer: %v", err)
	}
	if err := out.Unmarshal(answer); err != nil {
		t.Fatalf("the answer does not parse: %v\n%s", err, answer)
	}
	text := string(answer)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf(format, args...)
		t.Logf("answer:\n%s", text)
	}
	if !strings.HasPrefix(text, "v=0\r\no=- ") || !strings.HasSuffix(text, "\r\n") {
		fail("the answer does not begin with v= and o=, or not end with a line end")
	}
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
		fail("a line does not end with CRLF")
	}
	if len(answer) > 8192 {
		fail("the answer has %d bytes", len(answer))
	}
	if len(in.MediaDescriptions) != len(out.MediaDescriptions) {
		t.Fatalf("%d sections answered with %d", len(in.MediaDescriptions), len(out.MediaDescriptions))
	}
	if values(out.Attributes, "ice-lite") == nil || !slices.Equal(values(out.Attributes, "ice-options"), []string{"trickle ice2"}) {
		fail("ice-lite or ice-options is missing")
	}
	var accepted []string
	streams := map[string]bool{}
	for i, m := range out.MediaDescriptions {
		if m.MediaName.Port.Value == 0 {
			continue
		}
		mid, _ := m.Attribute("mid")
		accepted = append(accepted, mid)
		checkSection(fail, in.MediaDescriptions[i], in.Attributes, m, direction)
		for _, msid := range values(m.Attributes, "msid") {
			stream, _, _ := strings.Cut(msid, " ")
			streams[stream] = true
		}
	}
	for i, m := range in.MediaDescriptions {
		want, _ := m.Attribute("mid")
		if got, _ := out.MediaDescriptions[i].Attribute("mid"); got != want || out.MediaDescriptions[i].MediaName.Media != m.MediaName.Media {
			fail("section %d is %s %q, want %s %q", i, out.MediaDescriptions[i].MediaName.Media, got, m.MediaName.Media, want)
		}
	}
	if direction == "sendonly" && len(streams) != 1 {
		fail("the sections name the streams %v", streams)
	}
	if direction == "recvonly" && len(streams) != 0 {
		fail("a receiver names streams")
	}
	checkGroup(fail, values(out.Attributes, "group"), accepted)
	if n := strings.Count(text, "a=end-of-candidates\r\n"); n != 1 {
		fail("%d end-of-candidates", n)
	}
}

func checkGroup(fail func(string, ...any), groups, accepted []string) {
	if len(groups) == 0 {
		if len(accepted) > 1 {
			fail("several sections and no BUNDLE group")
		}
		return
	}
	mids := strings.Fields(groups[0])
	if len(groups) > 1 || mids[0] != "BUNDLE" {
		fail("the groups are %v", groups)
	}
	slices.Sort(mids[1:])
	slices.Sort(accepted)
	if !slices.Equal(mids[1:], accepted) {
		fail("the BUNDLE group is %v, accepted are %v", mids[1:], accepted)
	}
}

func checkSection(fail func(string, ...any), in *sdp.MediaDescription, session []sdp.Attribute, out *sdp.MediaDescription, direction string) {
	for _, key := range []string{"rtcp-mux", "rtcp-mux-only", "ice-ufrag", "ice-pwd", "fingerprint", "setup", direction} {
		if n := len(values(out.Attributes, key)); n != 1 {
			fail("%d a=%s in a section", n, key)
		}
	}
	for _, key := range []string{"rtcp", "bundle-only"} {
		if values(out.Attributes, key) != nil {
			fail("a=%s in a section", key)
		}
	}
	checkSimulcast(fail, in, out, direction)
	if values(out.Attributes, "rtcp-rsize") != nil && values(in.Attributes, "rtcp-rsize") == nil {
		fail("rtcp-rsize was not offered")
	}
	for _, pt := range out.MediaName.Formats {
		if !slices.Contains(in.MediaName.Formats, pt) {
			fail("payload type %s was not offered", pt)
		}
	}
	feedback := values(in.Attributes, "rtcp-fb")
	for i, fb := range feedback {
		feedback[i] = strings.Join(strings.Fields(fb), " ")
	}
	for _, fb := range values(out.Attributes, "rtcp-fb") {
		pt, kind, _ := strings.Cut(fb, " ")
		if !slices.Contains(feedback, fb) && !slices.Contains(feedback, "* "+kind) || !slices.Contains(out.MediaName.Formats, pt) {
			fail("the feedback %q was not offered", fb)
		}
	}
	for _, fmtp := range values(out.Attributes, "fmtp") {
		_, text, _ := strings.Cut(fmtp, " ")
		if apt, ok := strings.CutPrefix(text, "apt="); ok && !slices.Contains(out.MediaName.Formats, apt) {
			fail("retransmission for %s, which was not kept", apt)
		}
	}
	offered := map[string]bool{}
	for _, e := range append(values(in.Attributes, "extmap"), values(session, "extmap")...) {
		if f := strings.Fields(e); len(f) > 1 {
			id, _, _ := strings.Cut(f[0], "/")
			offered[id+" "+f[1]] = true
		}
	}
	for _, e := range values(out.Attributes, "extmap") {
		id, uri, _ := strings.Cut(e, " ")
		id, _, _ = strings.Cut(id, "/")
		if !offered[id+" "+uri] {
			fail("the extension %q was not offered", e)
		}
	}
}

// checkSimulcast: an answer may drop layers and restrictions, never add any
// (spec rows WHIP-SIM-02 and -03), and viewers get none (WHEP-ANS-14).
func checkSimulcast(fail func(string, ...any), in, out *sdp.MediaDescription, direction string) {
	lists, rids := values(out.Attributes, "simulcast"), values(out.Attributes, "rid")
	if len(lists) > 1 || len(lists) == 0 && len(rids) > 0 || len(lists) > 0 && direction == "sendonly" {
		fail("simulcast %q and rids %q", lists, rids)
		return
	}
	if len(lists) == 0 {
		return
	}
	list, ok := strings.CutPrefix(lists[0], "recv ")
	named := strings.Split(list, ";")
	if !ok || len(named) > 4 || len(named) != len(rids) {
		fail("simulcast %q with the rids %q", lists, rids)
		return
	}
	var offered []string
	for _, rid := range values(in.Attributes, "rid") {
		if f := strings.Fields(rid); len(f) > 1 && f[1] == "send" {
			offered = append(offered, f[0])
		}
	}
	for i, rid := range named {
		if got, _, _ := strings.Cut(rids[i], " "); got != rid || !slices.Contains(offered, rid) {
			fail("the layer %q was not offered, or stands with the rid %q", rid, rids[i])
		}
	}
}
