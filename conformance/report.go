package conformance

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Result is what one check found.
type Result struct {
	ID       string  `json:"id"`
	Section  string  `json:"section"`
	Level    Level   `json:"level"`
	What     string  `json:"what"`
	Result   Outcome `json:"result"`
	Detail   string  `json:"detail"`
	Duration int64   `json:"duration_ms"`
}

// Summary counts the results. Judged is passed and failed.
type Summary struct {
	Checks       int   `json:"checks"`
	Judged       int   `json:"judged"`
	Passed       int   `json:"passed"`
	Failed       int   `json:"failed"`
	Skipped      int   `json:"skipped"`
	FailedMust   int   `json:"failed_must"`
	FailedShould int   `json:"failed_should"`
	Duration     int64 `json:"duration_ms"`
}

// Report is all that one run found.
type Report struct {
	WHIP    string   `json:"whip,omitempty"`
	WHEP    string   `json:"whep,omitempty"`
	Strict  bool     `json:"strict"`
	Summary Summary  `json:"summary"`
	Results []Result `json:"checks"`
	Exempt  []Exempt `json:"exempt"`
}

func (s *suite) report(checks []Check, took time.Duration) *Report {
	r := &Report{
		WHIP: s.target.WHIP, WHEP: s.target.WHEP, Strict: s.target.Strict,
		Results: make([]Result, 0, len(checks)), Exempt: []Exempt{},
	}
	for _, e := range Exempts() {
		if selected(e.ID, s.target.Only) {
			r.Exempt = append(r.Exempt, e)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range checks {
		result := s.results[c.ID]
		r.Results = append(r.Results, result)
		r.Summary.count(result)
	}
	r.Summary.Duration = took.Milliseconds()
	return r
}

func (s *Summary) count(r Result) {
	s.Checks++
	switch r.Result {
	case Pass:
		s.Judged++
		s.Passed++
	case Fail:
		s.Judged++
		s.Failed++
		if r.Level.Binding() {
			s.FailedMust++
		}
		if r.Level.Advised() {
			s.FailedShould++
		}
	case Skip:
		s.Skipped++
	}
}

// Conforms tells whether no binding requirement failed.
func (r *Report) Conforms() bool { return r.Summary.FailedMust == 0 }

// WriteText writes the report for people: failures and skips with their
// reasons, then the sums.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, group := range []struct {
		outcome Outcome
		title   string
	}{{Fail, "Failed"}, {Skip, "Skipped, counted as neither passed nor failed"}} {
		first := true
		for _, c := range r.Results {
			if c.Result != group.outcome {
				continue
			}
			if first {
				fmt.Fprintf(&b, "%s:\n", group.title)
				first = false
			}
			fmt.Fprintf(&b, "  %-13s %-10s %s (%s)\n      %s\n", c.ID, c.Level, c.What, c.Section, c.Detail)
		}
	}
	if len(r.Exempt) > 0 {
		fmt.Fprintf(&b, "Not judged by this suite:\n")
		for _, e := range r.Exempt {
			fmt.Fprintf(&b, "  %-13s %s\n", e.ID, e.Reason)
		}
	}
	s := r.Summary
	fmt.Fprintf(&b, "%d checks in %.1f s: %d passed, %d failed (%d MUST, %d SHOULD), %d skipped\n",
		s.Checks, float64(s.Duration)/1000, s.Passed, s.Failed, s.FailedMust, s.FailedShould, s.Skipped)
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// The JUnit format, as far as build servers agree on it.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	Failure *junitNote `xml:"failure,omitempty"`
	Skipped *junitNote `xml:"skipped,omitempty"`
}

type junitNote struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the report for build servers. Failures of what is not
// binding are failures there, too: their type tells the level.
func (r *Report) WriteJUnit(w io.Writer) error {
	s := r.Summary
	out := junitSuite{
		Name: "sluice conformance", Tests: s.Checks, Failures: s.Failed, Skipped: s.Skipped, Time: seconds(s.Duration),
	}
	for _, c := range r.Results {
		group := c.ID[:strings.LastIndexByte(c.ID, '-')]
		jc := junitCase{Class: group, Name: c.ID + " " + c.What, Time: seconds(c.Duration)}
		note := &junitNote{Message: c.Detail, Type: string(c.Level), Text: c.Section + ": " + c.What}
		switch c.Result {
		case Fail:
			jc.Failure = note
		case Skip:
			jc.Skipped = note
		case Pass:
		}
		out.Cases = append(out.Cases, jc)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	return enc.Encode(out)
}

func seconds(ms int64) string { return fmt.Sprintf("%.3f", float64(ms)/1000) }
