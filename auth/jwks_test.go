package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/sluicemedia/sluice/auth"
)

// keySet is what a JWKS URL serves, over a network or without one.
type keySet struct {
	mu      sync.Mutex
	status  int
	headers http.Header
	body    string
	err     error
	asked   []time.Time
	delay   time.Duration
}

func (s *keySet) serve(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func (s *keySet) cut(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *keySet) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.asked...)
}

func (s *keySet) answer() (status int, headers http.Header, body string, delay time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	return s.status, s.headers, s.body, s.delay, s.err
}

func (s *keySet) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	status, headers, body, _, err := s.answer()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), headers)
	w.WriteHeader(status)
	w.Write([]byte(body))
}

func (s *keySet) RoundTrip(req *http.Request) (*http.Response, error) {
	status, headers, body, delay, err := s.answer()
	select {
	case <-time.After(delay):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: headers, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

// set writes a key set; a name ends in "." and the alg that the key says it is for, if any.
func set(t *testing.T, named map[string]crypto.PublicKey) string {
	t.Helper()
	var s jose.JSONWebKeySet
	for name, k := range named {
		kid, alg, _ := strings.Cut(name, ".")
		s.Keys = append(s.Keys, jose.JSONWebKey{Key: k, KeyID: kid, Algorithm: alg, Use: "sig"})
	}
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func newEC(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func jwks(t *testing.T, cfg auth.JWKSConfig) *auth.JWKS {
	t.Helper()
	j, err := auth.NewJWKS(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func kid(name string) map[string]any { return map[string]any{"kid": name} }

// TestJWKS: keys of every kind from a real server with TLS.
func TestJWKS(t *testing.T) {
	named := map[string]crypto.PublicKey{}
	for alg, signer := range signers() {
		named[strings.ToLower(alg)+"."+alg] = signer.Public()
	}
	source := &keySet{status: 200, body: set(t, named)}
	server := httptest.NewTLSServer(source)
	defer server.Close()
	j := jwks(t, auth.JWKSConfig{URL: server.URL + "/keys", Transport: server.Client().Transport, Policy: auth.Policy{Issuer: "me"}})
	for alg, signer := range signers() {
		for _, header := range []map[string]any{kid(strings.ToLower(alg)), nil} { // the second names no key
			g, err := j.Verify(t.Context(), sign(t, alg, signer, header, with(good(), "iss", "me")))
			if err != nil || g.Identity != "ann" {
				t.Errorf("%s %v: got %+v, %v", alg, header, g, err)
			}
		}
		token := sign(t, alg, signer, kid(strings.ToLower(alg)), with(good(), "iss", "you"))
		g, err := j.Verify(t.Context(), token)
		check(t, token, g, err, auth.ErrRefused)
	}
	for name, token := range map[string]string{
		"kid of another key": sign(t, "ES256", signers()["ES256"], kid("rs256"), good()),
		"another key":        sign(t, "ES256", newEC(t), kid("es256"), good()),
		"a secret":           sign(t, "HS256", []byte(source.body), kid("rs256"), good()),
		"none":               sign(t, "none", jwt.UnsafeAllowNoneSignatureType, kid("rs256"), good()),
	} {
		if _, err := j.Verify(t.Context(), token); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if n := len(source.times()); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	if got, want := j.Stats(), (auth.JWKSStats{Fetches: 1, Keys: len(named)}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestJWKSRotation: a token of a new key is good at once, 30 s after the last fetch; one of a key
// that is gone is not.
func TestJWKSRotation(t *testing.T) {
	oldKey, newKey := newEC(t), newEC(t)
	source := &keySet{status: 200, body: set(t, map[string]crypto.PublicKey{"old": oldKey.Public()})}
	synctest.Test(t, func(t *testing.T) {
		j := jwks(t, auth.JWKSConfig{URL: "https://keys.test/", Transport: source})
		verify := func(k *ecdsa.PrivateKey, name string, want error) {
			t.Helper()
			if _, err := j.Verify(t.Context(), sign(t, "ES256", k, kid(name), good())); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s after %d fetches: got %v, want %v", name, len(source.times()), err, want)
			}
		}
		verify(oldKey, "old", nil)
		time.Sleep(30 * time.Second)
		source.serve(200, set(t, map[string]crypto.PublicKey{"old": oldKey.Public(), "new": newKey.Public()}))
		verify(newKey, "new", nil)
		verify(oldKey, "old", nil)
		verify(newKey, "old", auth.ErrInvalid)
		source.serve(200, set(t, map[string]crypto.PublicKey{"new": newKey.Public()}))
		verify(oldKey, "old", nil) // not known to be gone
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		verify(oldKey, "old", auth.ErrInvalid)
		verify(newKey, "new", nil)
	})
}

// unsigned is a token of a key that nobody has.
func unsigned(name string) string {
	claims := fmt.Sprintf(`{"sub":"eve","exp":%d,"rooms":["studio"],"can":["publish"]}`, time.Now().Add(time.Hour).Unix())
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"ES256","kid":"`+name+`"}`)) + "." + encode([]byte(claims)) + "." + encode(make([]byte, 64))
}

// TestUnknownKidFlood: 10,000 tokens that name 10,000 keys, all at once and over two minutes. Whatever they
// do, there is at most one fetch in 30 s.
func TestUnknownKidFlood(t *testing.T) {
	for name, tc := range map[string]struct {
		tokens int
		delay  time.Duration
	}{"answers": {10_000, 0}, "answers slowly": {1000, 4 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &keySet{status: 200, body: set(t, map[string]crypto.PublicKey{"known": signers()["ES256"].Public()}), delay: tc.delay}
				j := jwks(t, auth.JWKSConfig{URL: "https://keys.test/", Transport: source})
				known := sign(t, "ES256", signers()["ES256"], kid("known"), good())
				if _, err := j.Verify(t.Context(), known); err != nil {
					t.Fatal(err)
				}
				var all sync.WaitGroup
				for i := range tc.tokens {
					all.Go(func() {
						if half := tc.tokens / 2; i >= half { // the others come at once
							time.Sleep(2 * time.Minute / time.Duration(half) * time.Duration(i-half))
						}
						if _, err := j.Verify(t.Context(), unsigned(fmt.Sprint(i))); !errors.Is(err, auth.ErrInvalid) {
							t.Errorf("token %d: got %v, want ErrInvalid", i, err)
						}
					})
				}
				all.Wait()
				asked := source.times()
				for i := 1; i < len(asked); i++ {
					if gap := asked[i].Sub(asked[i-1]); gap < 30*time.Second {
						t.Errorf("two fetches within %v", gap)
					}
				}
				if len(asked) < 4 || len(asked) > 5 {
					t.Errorf("%d fetches in two minutes, want one in 30 s", len(asked))
				}
				if _, err := j.Verify(t.Context(), known); err != nil {
					t.Errorf("a good token after the flood: %v", err)
				}
			})
		})
	}
}

// TestJWKSDown: keys outlive their server by a day, and it is asked again more and more rarely. A flood changes
// nothing about that.
func TestJWKSDown(t *testing.T) {
	signer := signers()["ES256"]
	good200 := set(t, map[string]crypto.PublicKey{"k": signer.Public()})
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := &keySet{err: errors.New("no route")}
		j := jwks(t, auth.JWKSConfig{URL: "https://keys.test/?secret=s3cr3t", Transport: source, Log: slog.New(slog.NewJSONHandler(&log, nil))})
		verify := func(when string, want error) {
			t.Helper()
			if _, err := j.Verify(t.Context(), sign(t, "ES256", signer, kid("k"), good())); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s: got %v, want %v", when, err, want)
			}
		}
		verify("before anything was fetched", auth.ErrUnavailable)
		source.cut(nil)
		source.serve(200, good200)
		time.Sleep(time.Second)
		synctest.Wait()
		verify("after the first retry", nil)
		if !strings.Contains(log.String(), `"again_in":"1s"`) {
			t.Errorf("the log does not say when keys are fetched again: %s", log.String())
		}

		for _, broken := range []struct {
			status int
			body   string
		}{{500, good200}, {301, good200}, {200, `{"keys":[]}`}, {200, `{"keys":`}, {404, ""}} {
			source.serve(broken.status, broken.body)
			time.Sleep(time.Hour)
			verify(fmt.Sprintf("while the answer is %d %.10q", broken.status, broken.body), nil)
		}
		before := len(source.times())
		for range 600 {
			time.Sleep(time.Second)
			if _, err := j.Verify(t.Context(), unsigned("x")); !errors.Is(err, auth.ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
		}
		if n := len(source.times()) - before; n > 20 {
			t.Errorf("%d fetches in ten minutes of a flood, want at most one in 30 s", n)
		}
		time.Sleep(19 * time.Hour)
		if s := j.Stats(); s.Keys != 0 || s.Failures < 24 || s.Fetches != s.Failures+1 {
			t.Errorf("after 24 hours: got %+v, want no keys, and one fetch that has not failed", s)
		}
		verify("after 24 hours", auth.ErrUnavailable)
		source.serve(200, good200)
		time.Sleep(time.Minute)
		synctest.Wait()
		verify("when it is back", nil)
		if text := log.String(); strings.Contains(text, "s3cr3t") || !strings.Contains(text, "no route") || !strings.Contains(text, "keys.test") {
			t.Errorf("the log is %s", text)
		}
	})
}

// TestJWKSFresh: how often keys are fetched is for the server to say, within bounds.
func TestJWKSFresh(t *testing.T) {
	body := set(t, map[string]crypto.PublicKey{"k": signers()["ES256"].Public()})
	for header, want := range map[string]time.Duration{
		"":                              10 * time.Minute,
		"public":                        10 * time.Minute,
		"max-age=1800":                  30 * time.Minute,
		"public, Max-Age=\"1800\", foo": 30 * time.Minute,
		"max-age=5":                     time.Minute,
		"max-age=0":                     time.Minute,
		"max-age=x":                     time.Minute,
		"max-age":                       time.Minute,
		"max-age=99999999999":           time.Minute,
		"max-age=31536000":              time.Hour,
		"no-store":                      time.Minute,
		"no-cache, max-age=1800":        time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			source := &keySet{status: 200, body: body, headers: http.Header{"Cache-Control": {header}}}
			jwks(t, auth.JWKSConfig{URL: "https://keys.test/", Transport: source})
			time.Sleep(want)
			synctest.Wait()
			if asked := source.times(); len(asked) != 2 || asked[1].Sub(asked[0]) != want {
				t.Errorf("%q: fetched at %v, want again after %v", header, asked, want)
			}
		})
	}
}

// TestJWKSWaits: who asks while keys are on their way waits for them, or as long as it cares to.
func TestJWKSWaits(t *testing.T) {
	signer := signers()["ES256"]
	source := &keySet{status: 200, body: set(t, map[string]crypto.PublicKey{"k": signer.Public()}), delay: 3 * time.Second}
	synctest.Test(t, func(t *testing.T) {
		j := jwks(t, auth.JWKSConfig{URL: "https://keys.test/", Transport: source})
		token := sign(t, "ES256", signer, kid("k"), good())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := j.Verify(ctx, token); !errors.Is(err, auth.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after a second: got %v, want ErrUnavailable by the deadline", err)
		}
		if _, err := j.Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
	})
	source.delay = time.Hour // longer than is waited for
	synctest.Test(t, func(t *testing.T) {
		j := jwks(t, auth.JWKSConfig{URL: "https://keys.test/", Transport: source})
		began := time.Now()
		if _, err := j.Verify(t.Context(), sign(t, "ES256", signer, kid("k"), good())); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if waited := time.Since(began); waited > 6*time.Second {
			t.Errorf("waited %v for a server that does not answer", waited)
		}
		time.Sleep(5 * time.Second) // in the midst of a fetch
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if _, err := j.Verify(t.Context(), unsigned("x")); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("after its end: got %v, want ErrUnavailable", err)
		}
	})
}
