package conformance_test

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/conformance"
)

// startNaive builds the naive forwarder and runs it until the test ends. It
// returns its base URL.
func startNaive(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "naive")
	if out, err := exec.Command("go", "build", "-o", binary, "./testdata/naive").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, binary)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); cmd.ProcessState == nil {
			t.Errorf("the forwarder did not end: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the forwarder said nothing: %v", err)
	}
	return "http://" + strings.TrimSpace(line)
}

// What a forwarder of stock pion gets wrong, and why.
var (
	// What pion answers when nobody looks at the offer or mends the answer.
	wrongByPion = []string{
		"WHIP-OFFER-02", "WHIP-OFFER-03", "WHIP-OFFER-04", "WHIP-OFFER-09", "WHIP-OFFER-10", "WHIP-OFFER-15", "WHIP-OFFER-17",
		"WHIP-OFFER-18", "WHIP-OFFER-22", "WHIP-OFFER-24", "WHIP-OFFER-26",
		"WHIP-ANS-13", "WHIP-ANS-16", "WHIP-ANS-17", "WHIP-SIM-05",
		"WHEP-POST-05", "WHEP-POST-11", "WHEP-ANS-01", "WHEP-ANS-03", "WHEP-ANS-12",
		"WHIP-RTP-05", "WHIP-ICE-04", // its ICE agent overlooks what is wrong with a check
	}
	// What a tutorial leaves out of HTTP.
	wrongByHTTP = []string{
		"WHIP-HTTP-01", "WHIP-HTTP-02", "WHIP-HTTP-09", "WHEP-HTTP-01", "WHEP-HTTP-02", "WHEP-HTTP-03", "WHEP-HTTP-06", "WHEP-HTTP-10",
		"WHIP-POST-04", "WHIP-POST-05", "WHIP-POST-07", "WHIP-POST-08", "WHIP-POST-09", "WHIP-POST-12", "WHIP-POST-13",
		"WHEP-POST-02", "WHEP-POST-03", "WHEP-POST-06",
		"WHIP-LOC-01", "WHIP-LOC-02", "WHEP-SEC-02", "WHIP-DEL-11", "WHIP-LB-12",
		"WHIP-CORS-01", "WHIP-CORS-02", "WHIP-CORS-03", "WHIP-CORS-04", "WHIP-CORS-05", "WHIP-CORS-06", "WHIP-CORS-07",
		"WHIP-CORS-08", "WHIP-CORS-09", "WHIP-CORS-10", "WHIP-CORS-11", "WHEP-DEL-07",
	}
	// What a forwarder that rewrites nothing does to viewers.
	wrongByMedia = []string{
		"WHIP-SIM-07", "WHIP-SIM-08", "WHIP-SIM-10", // it says yes to codecs that it cannot play
		"WHIP-CONC-01", "WHEP-IDLE-07", "WHEP-PLAY-03",
	}
	// What depends on how busy the machine is, or is not the same in every run.
	wrongAtTimes = []string{"WHIP-RTP-09", "WHIP-RTP-11", "WHEP-PLAY-04", "WHEP-PLAY-05", "WHIP-CONC-05", "WHIP-POST-17", "WHEP-POST-07", "WHEP-TRK-05"}
)

// TestNaive judges a forwarder of stock pion: the suite comes to its end, and
// fails it where such servers are known to be wrong and nowhere else.
func TestNaive(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for timers of the server")
	}
	t.Parallel()
	base := startNaive(t)
	began := time.Now()
	report, err := conformance.Run(t.Context(), conformance.Target{WHIP: base + "/whip/demo", WHEP: base + "/whep/demo"})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 240*time.Second {
		t.Errorf("the suite took %v, want 240 s at most", took)
	}
	wantFailures(t, report, slices.Concat(wrongByPion, wrongByHTTP, wrongByMedia), wrongAtTimes)
}

// wantFailures compares the checks that failed with those that must, and those
// that may.
func wantFailures(t *testing.T, report *conformance.Report, must, may []string) {
	t.Helper()
	for _, r := range report.Results {
		switch failed := r.Result == conformance.Fail; {
		case failed && !slices.Contains(must, r.ID) && !slices.Contains(may, r.ID):
			t.Errorf("%s failed, and nothing foretold it: %s", r.ID, r.Detail)
		case !failed && slices.Contains(must, r.ID):
			t.Errorf("%s (%s): got %s, want a failure: %s", r.ID, r.What, r.Result, r.Detail)
		}
	}
}
