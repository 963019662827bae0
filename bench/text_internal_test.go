package bench

import (
	"errors"
	"strings"
	"testing"
)

func TestWriteText(t *testing.T) {
	loss, short, busy, each := .25, -1.5, .7, 1.25
	full := Step{
		Viewers: Viewers{Asked: 300, Connected: 100, Refused: 198, Failed: 2, Silent: 3, Closed: 4}, Profile: "cm",
		Join: Join{
			Seconds: 1.5, RetryAfter: 198, ServerCPU: &each, Post: &Quantiles{1, 2, 3}, FirstMedia: &Quantiles{4, 5, 6}, FirstKeyframe: &Quantiles{7, 8, 9},
			Refusal: &Quantiles{10, 11, 12}, Failures: []Failure{{"DTLS: no", 2}}, Others: &Others{Latency: &Latency{P99: 77}},
		},
		Media:     Media{Mbit: 250, Latency: &Latency{1.25, 2.5, 9.75, 30}, StampLoss: &loss, Loss: .125, Short: &short, Undecryptable: 6},
		Server:    &Server{Cores: .5, CoreBusy: &busy, CPUPerPacket: 2.5, ViewersPerCore: 200, RSS: 51200, RSSPerViewer: 40},
		Generator: Generator{Cores: .2, Limit: "too slow"},
		Histogram: []Bar{{UpTo: 1, Packets: 100}, {UpTo: 2, Packets: 0}, {UpTo: 5, Packets: 1}},
	}
	r := &Report{
		WHIP: "http://a/whip", WHEP: "http://a/whep", Stream: &Stream{Bitrate: 2_500_000, FrameRate: 30}, SRTP: []string{"cm"},
		Steps: []Step{{Viewers: Viewers{Asked: 1, Connected: 1}}, full}, Limit: &Limit{Viewers: 100, Reason: "it was full", Generator: true}, Interrupted: true,
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"published 2.50 Mbit/s of video at 30 frames/s to http://a/whip\n",
		"\nviewers connected                  1           100\n",
		"\nrefused / failed               0 / 0       198 / 2\n",
		"\nserver, µs/packet                             2.50\n",
		"\nlatency p50 / p99, ms                  1.25 / 9.75\n",
		"\nothers' p99 meanwhile, ms                     77.0\n",
		"\nshort of published, %                       -1.500\n",
		"\n100 of 300 viewers: 2 could not join: DTLS: no\n",
		"\n100 of 300 viewers: 198 were refused, 198 of them with Retry-After\n",
		"\n100 of 300 viewers: do not blame the server: too slow\n",
		"\n100 of 300 viewers: 6 packets could not be decrypted\n",
		"\n      1.00 ms  99.01 %  " + strings.Repeat("#", barWidth) + "\n      2.00 ms   0.00 %\n      5.00 ms   0.99 %  #\n",
		"\nended early",
		"\nthis machine serves 100 viewers of this stream; with more, it was full\nthe generator was the limit",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	broken := errors.New("broken")
	if err := r.WriteText(failing{broken}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := r.WriteJSON(failing{broken}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
