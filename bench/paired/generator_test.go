package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/bench"
)

func fullStep() bench.Step {
	return bench.Step{
		Viewers: bench.Viewers{Asked: 30, Connected: 10, Refused: 19, Failed: 1},
		Profile: "cm",
		Join: bench.Join{
			Seconds: 0.25, Refusal: &bench.Quantiles{P99: 12}, RetryAfter: 17,
			Others: &bench.Others{Latency: &bench.Latency{P99: 5}, Loss: 0.1, StampLoss: 0.2},
		},
		Media: bench.Media{
			Seconds: 2, Packets: 1000, Published: 310, Latency: &bench.Latency{P50: 1, P99: 4}, StampLoss: new(0.3), Loss: 0.01, Short: new(0.5),
		},
		Server:    &bench.Server{Cores: 0.25, CoreBusy: new(0.75), CPUPerPacket: 1.5, ViewersPerCore: 40, RSSPerViewer: 33},
		Generator: bench.Generator{Cores: 0.125, Limit: "tired"},
		Histogram: []bench.Bar{{UpTo: 5, Packets: 60}, {UpTo: 10, Packets: 30}, {UpTo: 20, Packets: 10}},
	}
}

func encoded(t *testing.T, r bench.Report) []byte {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFigures(t *testing.T) {
	list, err := read(encoded(t, bench.Report{Steps: []bench.Step{fullStep()}}), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := figures{
		Asked: 30, Connected: 10, MicrosPerPacket: 1.5, Cores: 0.25, ViewersPerCore: 40, KiBPerViewer: 33,
		LatencyP50: 1, LatencyP99: 4, LossPercent: 0.3, JoinSeconds: 0.25, GeneratorCores: 0.125, GeneratorLimit: "tired",
		OtherLoad: 0.5, Profile: "cm", Published: 310, Short: 0.5,
		OthersP99: 5, OthersLoss: 0.2, Refused: 19, RefusedSilent: 2, RefusalP99: 12, Failed: 1,
	}
	if len(list) != 1 || list[0] != want {
		t.Errorf("got %+v, want %+v", list, want)
	}
}

func TestReportsThatTellNothing(t *testing.T) {
	without := func(spoil func(*bench.Step)) []byte {
		s := fullStep()
		spoil(&s)
		return encoded(t, bench.Report{Steps: []bench.Step{s}})
	}
	for name, report := range map[string][]byte{
		"no JSON":     []byte("sluice: error"),
		"no step":     encoded(t, bench.Report{}),
		"interrupted": encoded(t, bench.Report{Steps: []bench.Step{fullStep()}, Interrupted: true}),
		"no server":   without(func(s *bench.Step) { s.Server = nil }),
		"no media":    without(func(s *bench.Step) { s.Media.Latency = nil }),
		"no CPU time": without(func(s *bench.Step) { s.Server.CPUPerPacket = 0 }),
	} {
		if list, err := read(report, 1); err == nil {
			t.Errorf("%s: got %+v, want an error", name, list)
		}
	}
}

// TestTogether has three generators tell of one server.
func TestTogether(t *testing.T) {
	busy, quick := fullStep(), fullStep()
	busy.Server.Cores, busy.Media.Latency.P99 = 0.5, 40
	quick.Histogram = []bench.Bar{{UpTo: 1, Packets: 100}}
	var reports []json.RawMessage
	for _, s := range []bench.Step{fullStep(), busy, quick} {
		reports = append(reports, encoded(t, bench.Report{Steps: []bench.Step{s}}))
	}
	f, err := together(reports)
	if err != nil {
		t.Fatal(err)
	}
	// A third of a core for two seconds, and 3,000 packets.
	if f.Connected != 30 || f.Asked != 90 || f.MicrosPerPacket != 222.22 || f.ViewersPerCore != 90 || f.LatencyP99 != 40 || f.GeneratorCores != 0.375 {
		t.Errorf("got %+v", f)
	}
	if f.QuickPercent != 93.33 { // 280 of 300
		t.Errorf("got %v %% within 10 ms, want 93.33", f.QuickPercent)
	}
	if _, err := together(append(reports, json.RawMessage("{}"))); err == nil {
		t.Error("a report without steps: got no error")
	}
	if _, err := together(nil); err == nil {
		t.Error("no report: got no error")
	}
}

func TestArguments(t *testing.T) {
	srv := &server{whip: "http://h/whip", whep: "http://h/whep", pid: 77}
	o := options{serverCore: 0, loadCore: 1}
	plain := strings.Join(arguments(srv, o, load{viewers: []int{5, 15}}, 2*time.Second), " ")
	for _, want := range []string{"bench --whip http://h/whip --whep http://h/whep", "--viewers 5,15", "--duration 2s", "--json", "--server-pid 77", "--server-core 0"} {
		if !strings.Contains(plain, want) {
			t.Errorf("got %q, want %q in it", plain, want)
		}
	}
	for _, flag := range []string{"--srtp", "--spacing", "--parallel", "--ramp"} {
		if strings.Contains(plain, flag) {
			t.Errorf("got %q, want no %s", plain, flag)
		}
	}
	special := arguments(srv, o, load{viewers: []int{5}, profiles: "cm", spacing: 300 * time.Microsecond, atOnce: true, ramp: 2.5}, time.Second)
	for flag, want := range map[string]string{"--srtp": "cm", "--spacing": "300µs", "--parallel": "5", "--ramp": "2.5"} {
		if i := slices.Index(special, flag); i < 0 || special[i+1] != want {
			t.Errorf("got %q, want %s %s", special, flag, want)
		}
	}
}
