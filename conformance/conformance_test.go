package conformance_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicemedia/sluice/conformance"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// targetOf is a node as the suite sees it.
func targetOf(n *gatewaytest.Node) conformance.Target {
	return conformance.Target{WHIP: n.URL() + "/whip/demo", WHEP: n.URL() + "/whep/demo", Strict: true}
}

// TestNode judges our own node.
func TestNode(t *testing.T) {
	n := gatewaytest.Start(t)
	target := targetOf(n)
	report, err := conformance.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		switch r.Result {
		case conformance.Fail:
			t.Errorf("%s (%s, %s): %s: %s", r.ID, r.Level, r.Section, r.What, r.Detail)
		case conformance.Skip:
			t.Logf("%s skipped: %s", r.ID, r.Detail)
		case conformance.Pass:
		}
	}
	if s := report.Summary; s.Checks < 180 || s.Judged < 170 {
		t.Errorf("got %d checks and %d judged, want 180 and 170 at least", s.Checks, s.Judged)
	}
	var text bytes.Buffer
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	t.Log(lines[len(lines)-1])
}

// TestReportFormats writes one report in the formats for programs and reads it again.
func TestReportFormats(t *testing.T) {
	n := gatewaytest.Start(t)
	target := targetOf(n)
	target.Only = []string{"WHIP-HTTP-01"}
	report, err := conformance.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	var asJSON bytes.Buffer
	if err := report.WriteJSON(&asJSON); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Checks []map[string]any `json:"checks"`
	}
	if err := json.Unmarshal(asJSON.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Checks) != 1 {
		t.Fatalf("got %d checks, want 1", len(got.Checks))
	}
	for key, want := range map[string]any{"id": "WHIP-HTTP-01", "level": "MUST", "result": "pass", "section": "RFC 9725 4.1", "detail": ""} {
		if got.Checks[0][key] != want {
			t.Errorf("%s: got %v, want %v", key, got.Checks[0][key], want)
		}
	}
	var asXML bytes.Buffer
	if err := report.WriteJUnit(&asXML); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []struct{} `xml:"testcase"`
	}
	if err := xml.Unmarshal(asXML.Bytes(), &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 1 || suite.Failures != 0 || len(suite.Cases) != 1 {
		t.Errorf("JUnit: got %+v, want 1 test, no failure, 1 case", suite)
	}
}

// TestTargetCheck lists what cannot be judged.
func TestTargetCheck(t *testing.T) {
	for name, target := range map[string]conformance.Target{
		"nothing":    {},
		"no URL":     {WHIP: "demo"},
		"unknown id": {WHIP: "http://127.0.0.1/whip/x", Only: []string{"WHIP-NOPE-01"}},
		"two rooms":  {WHIP: "http://127.0.0.1/whip/{room}", WHEP: "http://127.0.0.1/whep/x"},
		"unreachable": {
			WHIP: "http://127.0.0.1:1/whip/x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := conformance.Run(t.Context(), target); err == nil {
				t.Error("got no error")
			}
		})
	}
}

// TestEveryRow wants each requirement of testdata/rows.tsv (id, clause, level)
// judged by one check of that clause and level, or exempt with a reason, and
// nothing else judged.
func TestEveryRow(t *testing.T) {
	exempt := map[string]string{}
	for _, e := range conformance.Exempts() {
		exempt[e.ID] = e.Reason
	}
	checks := map[string]conformance.Check{}
	for _, c := range conformance.Checks() {
		if _, twice := checks[c.ID]; twice {
			t.Errorf("%s: two checks", c.ID)
		}
		checks[c.ID] = c
	}
	table, err := os.ReadFile("testdata/rows.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(table)), "\n")
	for _, row := range rows {
		f := strings.Split(row, "\t")
		if len(f) != 3 {
			t.Fatalf("got %q, want an id, a clause and a level", row)
		}
		c, judged := checks[f[0]]
		why, excused := exempt[f[0]]
		switch {
		case judged == excused:
			t.Errorf("%s: got judged %v and exempt %v, want one of the two", f[0], judged, excused)
		case excused && !strings.Contains(why, ": ") && !strings.Contains(why, " unless "):
			t.Errorf("%s: exempt for %q, want an owner and a reason", f[0], why)
		case judged && (c.Section != f[1] || string(c.Level) != f[2] || c.Run == nil):
			t.Errorf("%s: got %s by %q, want %s by %q", f[0], c.Level, c.Section, f[2], f[1])
		}
	}
	if got := len(checks) + len(exempt); got != len(rows) {
		t.Errorf("got %d checks and %d exempt, want %d together", len(checks), len(exempt), len(rows))
	}
}

// TestWhat wants each check to say what it wants in the same way: one sentence
// that begins in lower case, but for names, and has no full stop.
func TestWhat(t *testing.T) {
	sentence := regexp.MustCompile(`^([a-z]|[A-Z0-9]{2}|[A-Z]+[a-z]*-|Location ).*[^.]$`)
	for _, c := range conformance.Checks() {
		if !sentence.MatchString(c.What) || strings.Contains(c.What, ". ") {
			t.Errorf("%s: got %q, want one sentence that begins in lower case and has no full stop", c.ID, c.What)
		}
	}
}

// TestOneRoom judges our node by a room that is the only one: the checks take
// turns in it, and still come to their end.
func TestOneRoom(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for timers of the server")
	}
	t.Parallel()
	n := gatewaytest.Start(t)
	node, err := url.Parse(n.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(node)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; strings.HasPrefix(p, "/wh") && p != "/whip/only" && p != "/whep/only" {
			http.NotFound(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	began := time.Now()
	report, err := conformance.Run(t.Context(), conformance.Target{WHIP: front.URL + "/whip/only", WHEP: front.URL + "/whep/only"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if r.Result == conformance.Fail && r.Level.Binding() {
			t.Errorf("%s (%s): %s: %s", r.ID, r.Level, r.What, r.Detail)
		}
	}
	if took := time.Since(began); took > 240*time.Second {
		t.Errorf("the suite took %v, want 240 s at most", took)
	}
}
