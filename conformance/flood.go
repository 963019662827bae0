package conformance

import (
	"net/http"
	"strconv"
	"sync"
)

// floodWorkers is how many requests of a flood are under way.
const floodWorkers = 16

// tooMany is how servers slow clients down.
var tooMany = Is(http.StatusTooManyRequests, http.StatusServiceUnavailable)

// flood sends up to n requests, several at a time, until one is answered as
// wanted, and returns that answer; nil when none was. Sessions that come of it
// are ended with the check.
func (t *T) flood(n int, request func(int) Request, wanted Codes) *Response {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards what follows
		next  int
		found *Response
		made  []string
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, found == nil && next <= n
	}
	for range floodWorkers {
		wg.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				r, err := t.Try(request(i))
				if err != nil { // a connection that is refused is a way to be full, too, but not one to judge
					continue
				}
				mu.Lock()
				if at := r.Location(); at != "" && r.Status == http.StatusCreated {
					made = append(made, at)
				}
				if found == nil && wanted(r.Status) {
					found = r
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() { t.deleteAll(made) })
	return found
}

// deleteAll ends the sessions of a flood.
func (t *T) deleteAll(urls []string) {
	var wg sync.WaitGroup
	work := make(chan string)
	for range floodWorkers {
		wg.Go(func() {
			for at := range work {
				t.end(at)
			}
		})
	}
	for _, at := range urls {
		work <- at
	}
	close(work)
	wg.Wait()
}

// wantRetryAfter wants to be told when to come back.
func (t *T) wantRetryAfter(r *Response) {
	got := r.Header.Get("Retry-After")
	if n, err := strconv.Atoi(got); err != nil || n < 1 {
		t.Errorf("expected Retry-After of a second or more on the %d, got %q", r.Status, got)
	}
}
