package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/pion/webrtc/v4"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
)

// TestGeneratedRequests sends what openapi.yaml allows, and what it does not: 100,000
// requests with SLUICE_LONG, else 5,000. Nothing may be answered by a 5xx, every answer
// must be as the document says, and nothing may be left of it all.
func TestGeneratedRequests(t *testing.T) {
	count := 5_000
	if os.Getenv("SLUICE_LONG") != "" {
		count = 100_000
	}
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("token-of-all * publish,subscribe,record,moderate,admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]func(*gateway.Config){
		"open":    func(*gateway.Config) {},
		"guarded": func(c *gateway.Config) { c.AuthTokenFile = tokens },
	} {
		t.Run(name, func(t *testing.T) {
			token := ""
			if name == "guarded" {
				token = "token-of-all"
			}
			sendGenerated(t, count/2, token, option)
		})
	}
}

func sendGenerated(t *testing.T, count int, token string, option func(*gateway.Config)) {
	t.Helper()
	loadedNode, _ := loaded(t, slog.New(slog.DiscardHandler), option)
	n := loadedNode.Node
	doc := document(t)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	gen := newGenerator(doc, seed, offer(t, webrtc.RTPTransceiverDirectionRecvonly), offer(t, webrtc.RTPTransceiverDirectionSendonly))
	if token != "" {
		gen.without("POST", "/v1/revocations") // it would soon take the one token back
	}
	check := &checker{t: t, router: router}
	var left, failures atomic.Int64
	var answers sync.Map
	left.Store(int64(count))
	var senders sync.WaitGroup
	for i := range 4 {
		client := clientOf(byte(i))
		senders.Go(func() {
			for left.Add(-1) >= 0 && failures.Load() < 10 {
				r := gen.next()
				status, problem, err := sendOne(t, n, check, gen, client, r, token)
				if err != nil || status >= 500 {
					failures.Add(1)
					t.Errorf("%s: got %d, %v", r, status, err)
				}
				seen, _ := answers.LoadOrStore(fmt.Sprint(status, " ", problem), new(atomic.Int64))
				seen.(*atomic.Int64).Add(1) //nolint:forcetypeassert // nothing else is put there
			}
		})
	}
	senders.Wait()
	answers.Range(func(answer, seen any) bool {
		t.Logf("%v: %d", answer, seen.(*atomic.Int64).Load()) //nolint:forcetypeassert // as above
		return true
	})
	endEverything(t, n, token)
}

// clientOf sends from addresses of its own, many of them: what one address gets
// wrong is bounded, and this is about all the rest.
func clientOf(sender byte) *http.Client {
	var n atomic.Uint32
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		at := n.Add(1)
		from := &net.TCPAddr{IP: net.IPv4(127, 10+sender, byte(at>>8), byte(at))}
		return (&net.Dialer{LocalAddr: from}).DialContext(ctx, network, address)
	}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func sendOne(t *testing.T, n *gatewaytest.Node, check *checker, gen *generator, client *http.Client, r apiRequest, token string) (status int, problem string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, n.LocalURL()+r.path, strings.NewReader(r.body))
	if err != nil {
		return 0, "", nil // net/http does not send such a thing
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range r.headers {
		if h[0] == "Authorization" && token != "" && gen.often() {
			continue
		}
		req.Header.Set(h[0], h[1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }() // read as far as it is of interest
	if resp.StatusCode == http.StatusSwitchingProtocols || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return resp.StatusCode, "", nil // endless
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || resp.StatusCode == http.StatusRequestHeaderFieldsTooLarge { // net/http's own
		return resp.StatusCode, "", err
	}
	gen.learn(resp.Header.Get("Location"), body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	check.check(context.WithoutCancel(ctx), req, []byte(r.body), resp, body)
	var told struct{ Type string }
	_ = json.Unmarshal(body, &told) // the check has told if it must be one
	return resp.StatusCode, told.Type, nil
}

// endEverything ends what the requests have made, and proves that it is gone.
func endEverything(t *testing.T, n *gatewaytest.Node, token string) {
	t.Helper()
	for _, r := range n.Rooms().List() {
		headers := []string{}
		if token != "" {
			headers = append(headers, "Authorization", "Bearer "+token)
		}
		if a := (node{n}).do(t, "DELETE", "/v1/rooms/"+r.Name, headers, ""); a.StatusCode != http.StatusNoContent {
			t.Errorf("end room %s: got %d %s", r.Name, a.StatusCode, a.Body)
		}
	}
	eventually(t, "no session is left", func() bool { return len(n.Sessions().List()) == 0 })
	if s := n.Rooms().Stats(); s.Rooms+s.Publications+s.Subscriptions > 0 {
		t.Errorf("left over: %d rooms, %d publications, %d subscriptions", s.Rooms, s.Publications, s.Subscriptions)
	}
}
