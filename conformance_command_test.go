package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// TestConformanceStatus: 0 when no MUST fails, 1 when one does, 2 when there was
// nothing to judge.
func TestConformanceStatus(t *testing.T) {
	right := gatewaytest.Start(t).URL()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	defer refusing.Close()
	for _, tc := range []struct {
		name string
		args []string
		want int
	}{
		{"right", []string{"--whip", right + "/whip/demo", "--only", "WHIP-HTTP-01,WHIP-HTTP-02"}, 0},
		{"a MUST fails", []string{"--whip", refusing.URL, "--only", "WHIP-HTTP-01"}, statusFailed},
		{"nothing named", nil, statusNotRun},
		{"nobody there", []string{"--whip", "http://127.0.0.1:1/whip/demo"}, statusNotRun},
		{"no such check", []string{"--whip", right + "/whip/demo", "--only", "WHIP-HTTP-99"}, statusNotRun},
		{"judged elsewhere", []string{"--whip", right + "/whip/demo", "--only", "WHIP-TURN"}, statusNotRun},
		{"all skipped", []string{"--whip", right + "/whip/demo", "--only", "WHEP-HTTP-01"}, statusNotRun},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := run(t.Context(), append([]string{"conformance"}, tc.args...), io.Discard, io.Discard)
			got := 0
			if status, ok := errors.AsType[*statusError](err); ok {
				got = status.status
			} else if err != nil {
				t.Fatalf("an error without a status: %v", err)
			}
			if got != tc.want {
				t.Errorf("got %d (%v), want %d", got, err, tc.want)
			}
		})
	}
}

// TestConformanceFormats looks at what each format begins with; package
// conformance reads them whole.
func TestConformanceFormats(t *testing.T) {
	args := []string{"conformance", "--whip", gatewaytest.Start(t).URL() + "/whip/demo", "--only", "WHIP-HTTP-01", "--verbose"}
	for format, want := range map[string]string{"--json": "{", "--junit": "<?xml", "": "1 passed, 0 failed (0 MUST, 0 SHOULD), 0 skipped"} {
		var out, progress strings.Builder
		all := args
		if format != "" {
			all = append(slices.Clip(args), format)
		}
		if err := run(t.Context(), all, &out, &progress); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: got %.60q, want %q in it", format, out.String(), want)
		}
		if !strings.Contains(progress.String(), "pass WHIP-HTTP-01") {
			t.Errorf("%s: progress is %q", format, progress.String())
		}
		if format == "--json" && !json.Valid([]byte(out.String())) {
			t.Errorf("not JSON: %s", out.String())
		}
	}
}
