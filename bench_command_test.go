package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/bench"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// TestBenchStatus: 0 when everybody was served, 1 when somebody was not, 2 when
// there was nothing to measure.
func TestBenchStatus(t *testing.T) {
	right := gatewaytest.Start(t).URL()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	defer broken.Close()
	quick := []string{"bench", "--viewers", "2,3", "--duration", "1s", "--settle", "100ms", "--bitrate", "300000"}
	for _, tc := range []struct {
		name string
		args []string
		want int
	}{
		{"right", []string{"--whip", right + "/whip/demo", "--whep", right + "/whep/demo", "--spacing", "100us", "--srtp", "gcm128"}, 0},
		{"nobody can join", []string{"--whip", right + "/whip/demo", "--whep", broken.URL}, statusFailed},
		{"nothing named", nil, statusNotRun},
		{"nobody there", []string{"--whip", "http://127.0.0.1:1/whip/demo"}, statusNotRun},
		{"no such profile", []string{"--whep", right + "/whep/demo", "--srtp", "null"}, statusNotRun},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out, progress strings.Builder
			err := run(t.Context(), append(quick, append(tc.args, "--json", "--verbose")...), &out, &progress)
			got := 0
			if status, ok := errors.AsType[*statusError](err); ok {
				got = status.status
			} else if err != nil {
				t.Fatalf("an error without a status: %v", err)
			}
			if got != tc.want {
				t.Fatalf("got %d (%v), want %d", got, err, tc.want)
			}
			if tc.want == statusNotRun {
				return
			}
			var report bench.Report
			if err := json.Unmarshal([]byte(out.String()), &report); err != nil || len(report.Steps) != 2 {
				t.Errorf("got %v and\n%s", err, out.String())
			}
			if strings.Count(progress.String(), "viewers, ") != 2 {
				t.Errorf("progress is %q", progress.String())
			}
		})
	}
}

// TestBenchUsage: the command line is checked before anything is sent.
func TestBenchUsage(t *testing.T) {
	for _, args := range [][]string{{"--viewers", "many"}, {"--duration", "20"}, {"--nonsense"}, {"--ramp", "x"}} {
		err := run(t.Context(), append([]string{"bench", "--whep", "http://127.0.0.1:1/"}, args...), io.Discard, io.Discard)
		if _, ok := errors.AsType[*statusError](err); err == nil || ok {
			t.Errorf("%q: got %v, want an error of usage", args, err)
		}
	}
}
