package webhook

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// scripted runs an endpoint whose requests are answered by a function, on the
// clock of a bubble.
func scripted(t *testing.T, cfg Config, do func(job) outcome) (e *endpoint, tries func() []time.Duration, buried func() []uint64) {
	t.Helper()
	began := time.Now()
	var mu sync.Mutex
	var at []time.Duration
	var dead []uint64
	e = newEndpoint("http://example.com", &cfg)
	e.do = func(_ context.Context, _ *endpoint, j job) outcome {
		mu.Lock()
		at = append(at, time.Since(began))
		mu.Unlock()
		return do(j)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		e.run(ctx, func(_ *endpoint, k key, o outcome, _ int) {
			mu.Lock()
			defer mu.Unlock()
			if o.verdict != delivered {
				dead = append(dead, k.seq)
			}
		})
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return e, func() []time.Duration { mu.Lock(); defer mu.Unlock(); return slices.Clone(at) },
		func() []uint64 { mu.Lock(); defer mu.Unlock(); return slices.Clone(dead) }
}

// checkDoubling checks that the gaps double from MinWait to MaxWait, each drawn
// from the upper half.
func checkDoubling(t *testing.T, cfg Config, at []time.Duration) {
	t.Helper()
	for i := 1; i < len(at); i++ {
		most := min(cfg.MaxWait, cfg.MinWait<<(i-1))
		if gap := at[i] - at[i-1]; gap < most/2 || gap > most {
			t.Errorf("try %d came %v after the one before, want %v to %v", i+1, gap, most/2, most)
		}
	}
}

func TestBackOffOfAReceiverThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		var back atomic.Bool
		e, tries, buried := scripted(t, cfg, func(job) outcome {
			if back.Load() {
				return outcome{verdict: delivered}
			}
			return outcome{verdict: away, class: classUnreachable}
		})
		e.add([]key{{1, "a"}}, time.Now())
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		at := tries()
		// Ten doublings are 17 minutes at most, then one each 5 to 10 minutes.
		if len(at) < 10+16 || len(at) > 12+34 {
			t.Errorf("%d tries in three hours", len(at))
		}
		checkDoubling(t, cfg, at[:12])
		// Others come meanwhile: they wait as well.
		e.add([]key{{2, "b"}, {3, "a"}}, time.Now())
		synctest.Wait()
		if n := len(tries()); n != len(at) {
			t.Errorf("%d more tries for new events", n-len(at))
		}
		back.Store(true)
		time.Sleep(cfg.MaxWait)
		synctest.Wait()
		if e.status().Sent != 3 || len(e.rooms) != 0 || len(buried()) != 0 {
			t.Errorf("sent %d, %d rooms wait, %v are dead", e.status().Sent, len(e.rooms), buried())
		}
		// All is forgotten: the next failure begins at the first wait again.
		back.Store(false)
		began := len(tries())
		e.add([]key{{4, "a"}}, time.Now())
		time.Sleep(cfg.MinWait * 2)
		synctest.Wait()
		if at := tries()[began:]; len(at) < 2 || at[1]-at[0] > cfg.MinWait {
			t.Errorf("after a success the tries were at %v", at)
		}
	})
}

func TestBackOffOfARefusedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		e, tries, buried := scripted(t, cfg, func(j job) outcome {
			if j.key.room == "ill" && j.key.seq == 1 {
				return outcome{verdict: refused, class: classServer}
			}
			return outcome{verdict: delivered}
		})
		e.add([]key{{1, "ill"}}, time.Now())
		time.Sleep(10 * time.Second)
		e.add([]key{{2, "well"}, {3, "ill"}}, time.Now())
		synctest.Wait()
		if e.status().Sent != 1 || e.status().State != StateWell {
			t.Errorf("got %+v: the other room must go on", e.status())
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got := buried(); len(got) != 1 || got[0] != 1 || e.status().Sent != 2 {
			t.Errorf("dead are %v, sent %d", got, e.status().Sent)
		}
		if n := len(tries()); n != cfg.Tries+2 {
			t.Errorf("%d requests, want %d", n, cfg.Tries+2)
		}
		if last := tries()[len(tries())-1]; last < 45*time.Minute || last > 2*time.Hour {
			t.Errorf("it was given up after %v", last)
		}
	})
}

// TestSpecialEvent: a failure while others are taken is not that of the receiver.
func TestSpecialEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		e, _, _ := scripted(t, cfg, func(j job) outcome {
			if j.key.room == "slow" {
				time.Sleep(cfg.Timeout)
				return outcome{verdict: away, class: classTimeout}
			}
			time.Sleep(time.Second)
			return outcome{verdict: delivered}
		})
		var keys []key
		for n := range uint64(100) {
			keys = append(keys, key{n + 1, "a"})
		}
		e.add(append([]key{{1000, "slow"}}, keys...), time.Now())
		time.Sleep(100*time.Second + time.Millisecond)
		synctest.Wait()
		if s := e.status(); s.Sent != 100 || s.State != StateWell || s.Failed[classTimeout] < 3 {
			t.Errorf("got %+v: the other room must not wait", s)
		}
	})
}

// TestReceiversWish: Retry-After of a refusal holds the room, of an absence all.
func TestReceiversWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, tries, _ := scripted(t, DefaultConfig(), func(job) outcome {
			return outcome{verdict: refused, class: classServer, wait: 5 * time.Minute}
		})
		e.add([]key{{1, "a"}}, time.Now())
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if at := tries(); len(at) != 2 || at[1]-at[0] != 5*time.Minute {
			t.Errorf("the tries were at %v", at)
		}
	})
}

func TestBackOffIsSpread(t *testing.T) {
	cfg := DefaultConfig()
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[backoff(&cfg, 5)] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 waits have %d lengths", len(seen))
	}
	for _, failures := range []int{1, 2, 10, 11, 40, 41, 64, 1000} {
		if wait := backoff(&cfg, failures); wait < cfg.MinWait/2 || wait > cfg.MaxWait {
			t.Errorf("%d failures: %v", failures, wait)
		}
	}
}

// TestQueueModel compares the queue of an endpoint with a plain list, over
// random arrivals, removals and outcomes.
func TestQueueModel(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Workers, cfg.Tries = 3, 2
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		e := newEndpoint("http://example.com", &cfg)
		model := map[string][]uint64{} // what waits, in order
		flying := map[string]job{}
		now, seq := time.Now(), uint64(0)
		for range 300 {
			now = now.Add(time.Duration(random.IntN(2000)) * time.Millisecond)
			room := string(rune('a' + random.IntN(4)))
			switch action := random.IntN(5); action {
			case 0:
				seq++
				e.add([]key{{seq, room}, {seq, room}}, now) // twice is once
				model[room] = append(model[room], seq)
			case 1: // given up by the writer
				if waits := model[room]; len(waits) > 0 {
					k := key{waits[random.IntN(len(waits))], room}
					e.drop([]key{k})
					if flying[room].key != k {
						model[room] = slices.DeleteFunc(waits, func(s uint64) bool { return s == k.seq })
					}
				}
			case 2, 3:
				j, wait, ok := e.next(now)
				if !ok {
					if wait <= 0 {
						t.Fatalf("seed %d: nothing to do and no wait", seed)
					}
					continue
				}
				if _, twice := flying[j.key.room]; twice || len(flying) >= cfg.Workers || model[j.key.room][0] != j.key.seq {
					t.Fatalf("seed %d: %v goes out, waiting are %v, in flight %v", seed, j.key, model[j.key.room], flying)
				}
				flying[j.key.room] = j
			case 4:
				j, is := flying[room]
				if !is {
					continue
				}
				delete(flying, room)
				if over, _ := e.finish(j, outcome{verdict: verdict(random.IntN(4))}, now); over {
					model[room] = slices.DeleteFunc(model[room], func(s uint64) bool { return s == j.key.seq })
				}
			}
			checkModel(t, seed, e, model, len(flying))
		}
	}
}

func checkModel(t *testing.T, seed uint64, e *endpoint, model map[string][]uint64, flying int) {
	t.Helper()
	waiting := 0
	for room, want := range model {
		var got []uint64
		if q := e.rooms[room]; q != nil {
			waiting++
			got = q.seqs
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %s has %v, want %v", seed, room, got, want)
		}
	}
	if len(e.idle)+flying != waiting || e.flying != flying {
		t.Fatalf("seed %d: %d idle and %d flying of %d rooms", seed, len(e.idle), e.flying, waiting)
	}
}

// FuzzSignature: whatever is signed, the foreign library takes it, by each
// secret and by no other.
func FuzzSignature(f *testing.F) {
	f.Add([]byte(`{"seq":1}`), "evt_x_1", []byte("0123456789abcdef01234567"), int64(1_700_000_000))
	f.Add([]byte{}, "", []byte{}, int64(0))
	f.Fuzz(func(t *testing.T, body []byte, id string, raw []byte, seconds int64) {
		if id == "" || strings.ContainsAny(id, "\r\n") || seconds < 0 || seconds > 1<<40 {
			return
		}
		at := time.Unix(seconds, 0)
		secrets := []Secret{raw, append([]byte("other"), raw...)}
		headers := http.Header{}
		headers.Set("webhook-id", id)
		headers.Set("webhook-timestamp", fmt.Sprint(seconds))
		headers.Set("webhook-signature", sign(secrets, id, at, body))
		for i, secret := range append(secrets, append([]byte("wrong"), raw...)) {
			verifier, err := standardwebhooks.NewWebhookRaw(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := verifier.VerifyIgnoringTimestamp(body, headers); (err == nil) != (i < 2) {
				t.Errorf("secret %d: %v", i, err)
			}
		}
	})
}

// FuzzSecrets: no text does harm, what is taken is within bounds, and no error
// repeats it.
func FuzzSecrets(f *testing.F) {
	good := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, text := range []string{"", "# none\n\n", good, " " + good + "\r\n" + good, "whsec_c2hvcnQ=", "hidden-text", strings.Repeat("x", 9000), strings.Repeat(good+"\n", 17)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		secrets, err := ParseSecrets(strings.NewReader(text))
		if (err == nil) != (len(secrets) > 0) || len(secrets) > maxSecrets {
			t.Errorf("%d secrets, %v", len(secrets), err)
		}
		for _, s := range secrets {
			if len(s) < minSecret || len(s) > maxSecret || !strings.Contains(text, base64.StdEncoding.EncodeToString(s)[:20]) {
				t.Errorf("got a secret of %d bytes that is not in the text", len(s))
			}
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%v repeats what is in the file", err)
		}
	})
}

// TestClip: what receivers and resolvers say is shown within bounds.
func TestClip(t *testing.T) {
	for _, text := range []string{"", "plain", "two\nlines \x00\xff", strings.Repeat("ü", 500)} {
		got := clip(text)
		if len(got) > maxFailure || strings.ContainsAny(got, "\n\x00") || strings.ToValidUTF8(got, "?") != got {
			t.Errorf("%q became %q", text, got)
		}
	}
}
