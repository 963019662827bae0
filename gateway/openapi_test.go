package gateway_test

import (
	"bytes"
	"context"
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/sluicemedia/sluice/gateway"
	"github.com/sluicemedia/sluice/gateway/gatewaytest"
	"github.com/sluicemedia/sluice/session"
)

// document reads openapi.yaml.
func document(t *testing.T) *openapi3.T {
	t.Helper()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(gatewaytest.OpenAPI(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestRoutesAreDocumented compares the router with openapi.yaml, both ways.
func TestRoutesAreDocumented(t *testing.T) {
	var documented []string
	for path, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	var served []string
	for _, r := range gatewaytest.Start(t).Routes() {
		served = append(served, regexp.MustCompile(`[:*](\w+)`).ReplaceAllString(r, "{$1}"))
	}
	for _, r := range served {
		if !slices.Contains(documented, r) {
			t.Errorf("%s is served and not in openapi.yaml", r)
		}
	}
	for _, r := range documented {
		if !slices.Contains(served, r) {
			t.Errorf("%s is in openapi.yaml and not served", r)
		}
	}
	if len(served) < 40 {
		t.Errorf("only %d routes were compared", len(served))
	}
}

// TestCausesAreDocumented compares the closed list with openapi.yaml.
func TestCausesAreDocumented(t *testing.T) {
	var documented, known []string
	for _, v := range document(t).Components.Schemas["session"].Value.Properties["cause"].Value.Enum {
		if name, ok := v.(string); ok {
			documented = append(documented, name)
		}
	}
	for _, a := range session.Advices() {
		known = append(known, string(a.Cause))
	}
	if !slices.Equal(documented, known) {
		t.Errorf("openapi.yaml has the causes %v, want %v", documented, known)
	}
}

// TestProblemsAreReal follows every problem type to its page.
func TestProblemsAreReal(t *testing.T) {
	n := start(t)
	for _, name := range gateway.ProblemNames() {
		resp := n.do(t, "GET", "/problems/"+name, nil, "")
		body := resp.Body
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, name) {
			t.Errorf("%s: got %d %q", name, resp.StatusCode, body)
		}
	}
	for _, a := range session.Advices() {
		resp := n.do(t, "GET", "/problems/"+string(a.Cause), nil, "")
		for _, want := range []string{string(a.Cause), a.Publisher, a.Viewer} {
			if !strings.Contains(html.UnescapeString(resp.Body), want) {
				t.Errorf("%s: got %d %q, want %q in it", a.Cause, resp.StatusCode, resp.Body, want)
			}
		}
	}
	if resp := n.do(t, "GET", "/problems/nothing", nil, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown problem: got %d, want 404", resp.StatusCode)
	}
}

// node is a node whose every answer is held against openapi.yaml.
type node struct{ *gatewaytest.Node }

func start(t *testing.T, options ...func(*gateway.Config)) node {
	t.Helper()
	n := node{gatewaytest.Start(t, options...)}
	router, err := gorillamux.NewRouter(document(t))
	if err != nil {
		t.Fatal(err)
	}
	n.Client.Transport = &checker{t: t, router: router, next: n.Client.Transport}
	n.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return n
}

// answer is a response that was read to its end.
type answer struct {
	StatusCode int
	Header     http.Header
	Body       string
}

// do sends a request; headers are pairs of name and value.
func (n node) do(t *testing.T, method, path string, headers []string, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.LocalURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := n.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // it was read, or failed
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// checker validates answers, and the requests that were not refused.
type checker struct {
	t      *testing.T
	router routers.Router
	next   http.RoundTripper
}

func (c *checker) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // it was read, or failed
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	c.check(context.WithoutCancel(r.Context()), r, sent, resp, body)
	return resp, nil
}

func (c *checker) check(ctx context.Context, r *http.Request, sent []byte, resp *http.Response, body []byte) {
	c.t.Helper()
	// 406 is an offer of ours, and no error.
	if resp.StatusCode >= 400 && resp.StatusCode != http.StatusNotAcceptable {
		checkProblem(c.t, r, resp, body)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Max-Age": "86400", "X-Content-Type-Options": "nosniff",
	} {
		if got := resp.Header.Get(name); got != want {
			c.t.Errorf("%s %s: %s is %q, want %q", r.Method, r.URL.Path, name, got, want)
		}
	}
	again := r.Clone(ctx)
	again.URL.Scheme, again.URL.Host, again.Host = "", "", ""
	again.Body = io.NopCloser(bytes.NewReader(sent))
	route, params, err := c.router.FindRoute(again)
	if err != nil {
		if resp.StatusCode < 400 {
			c.t.Errorf("%s %s: %d, and not in openapi.yaml: %v", r.Method, r.URL.Path, resp.StatusCode, err)
		}
		return
	}
	// The default of an operation stands for its errors alone.
	if resp.StatusCode < 400 && route.Operation.Responses.Status(resp.StatusCode) == nil {
		c.t.Errorf("%s %s: openapi.yaml knows no answer %d", r.Method, r.URL.Path, resp.StatusCode)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: again, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
			// Bodies that are no JSON are looked at by the tests themselves.
			ExcludeRequestBody:  !strings.Contains(r.Header.Get("Content-Type"), "json"),
			ExcludeResponseBody: !strings.Contains(resp.Header.Get("Content-Type"), "json") || r.Method == http.MethodHead,
		},
	}
	if resp.StatusCode < 300 {
		if err := openapi3filter.ValidateRequest(ctx, input); err != nil {
			c.t.Errorf("%s %s was taken, and openapi.yaml refuses it: %v", r.Method, r.URL.Path, err)
		}
	}
	output := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header, Options: input.Options,
	}
	output.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(ctx, output); err != nil {
		c.t.Errorf("%s %s: the answer %d is not that of openapi.yaml: %v", r.Method, r.URL.Path, resp.StatusCode, err)
	}
}
