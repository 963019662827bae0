package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var sample = []row{
	{Scenario: "browsers", What: "CPU per packet", Unit: "µs", Ours: 1.234, Naive: 7, Ratio: 0.18, Lowest: 0.17, Highest: 0.19, Bar: "≤ 0.25x", Met: true, format: "%.2f", judged: true},
	{Scenario: "browsers", What: "loss", Unit: "%", Ours: 0.5, Bar: "≤ 0", format: "%.3f", judged: true},
	{Scenario: "browsers", What: "latency p50", Unit: "ms", Ours: 2, Naive: 20, Ratio: 0.1, Lowest: 0.1, Highest: 0.1, format: "%.2f", Met: true},
}

const sampleTable = `
title

| what           | Sluice  | naive    | ratio  | lowest–highest | bar     |        |
|----------------|---------|----------|--------|----------------|---------|--------|
| CPU per packet | 1.23 µs | 7.00 µs  | 0.180x | 0.170–0.190    | ≤ 0.25x | met    |
| loss           | 0.500 % |          |        |                | ≤ 0     | MISSED |
| latency p50    | 2.00 ms | 20.00 ms | 0.100x | 0.100–0.100    |         |        |
`

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := writeTable(&b, "title", sample); err != nil {
		t.Fatal(err)
	}
	if b.String() != sampleTable {
		t.Errorf("got\n%s\nwant\n%s", b.String(), sampleTable)
	}
}

func TestReportFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	r := &report{
		Machine: machine{CPU: "a CPU", Cores: 2, Kernel: "Linux 6", Go: "go1", Commit: "abc"},
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Rounds: 2, Window: 5, Rows: sample,
		Results: []result{{"browsers", naive, 1, figures{OtherLoad: 0.5}, json.RawMessage(`{"steps":[]}`)}},
	}
	if r.met() {
		t.Error("a bar was missed, and the report says that all were met")
	}
	var out strings.Builder
	if err := r.finish(dir, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "other work took 50 %") {
		t.Errorf("got %q, want to be told of the doubt", out.String())
	}
	text, err := os.ReadFile(filepath.Join(dir, "paired.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"commit abc; 2 cores of a CPU; Linux 6; go1; 2026-01-02; 2 rounds", title("browsers"), "| CPU per packet | 1.23 µs", "other work took 50 %"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("got\n%s\nwant %q in it", text, want)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "paired.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Results) != 1 || back.Results[0].Figures.OtherLoad != 0.5 || len(back.Rows) != 3 || back.Rows[0].Ratio != 0.18 {
		t.Errorf("got %+v", back)
	}
	if (&report{}).met() {
		t.Error("nothing was measured, and the report says that all bars were met")
	}
}

func TestCPUName(t *testing.T) {
	const info = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 167\nmodel name\t: Some Processor\n\nprocessor\t: 1\nmodel name\t: Another\n"
	if got := cpuName(info); got != "Some Processor (family 6, model 167)" {
		t.Errorf("got %q", got)
	}
	if got := cpuName("processor: 0\nHardware: board\n"); got != "?" {
		t.Errorf("got %q, want ?", got)
	}
}
