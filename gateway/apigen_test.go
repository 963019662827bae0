package gateway_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

// generator makes requests out of openapi.yaml: right ones, and ones with faults.
// It learns names and cursors from the answers, so that requests meet what the
// ones before have made.
type generator struct {
	doc        *openapi3.T
	operations []apiOperation // of every method
	changing   []apiOperation // those of POST, PATCH and DELETE
	offers     []string       // that open a session, of publishers and viewers

	mu      sync.Mutex // guards what follows
	rnd     *rand.Rand
	learned map[string][]string // by the name of a field or of a path's parameter
}

type apiOperation struct {
	method, path string
	*openapi3.Operation
	shared openapi3.Parameters // of the path
}

// apiRequest is one generated request.
type apiRequest struct {
	method, path string // path with its query
	headers      [][2]string
	body         string
}

func (r apiRequest) String() string {
	body := r.body
	if len(body) > 300 {
		body = fmt.Sprintf("%s... (%d bytes)", body[:300], len(body))
	}
	return fmt.Sprintf("%s %s %q %q", r.method, r.path, r.headers, body)
}

func newGenerator(doc *openapi3.T, seed uint64, offers ...string) *generator {
	g := &generator{
		doc: doc, offers: offers, rnd: rand.New(rand.NewPCG(seed, 5)),
		learned: map[string][]string{"room": {"demo", "show", "a.b_c-D"}, "publication": {"main", "cam"}, "name": {"demo", "room-exists"}},
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			g.operations = append(g.operations, apiOperation{method, path, op, item.Parameters})
		}
	}
	slices.SortFunc(g.operations, func(a, b apiOperation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	for _, op := range g.operations {
		if op.method == "POST" || op.method == "PATCH" || op.method == "DELETE" {
			g.changing = append(g.changing, op)
		}
	}
	return g
}

// without leaves an operation out.
func (g *generator) without(method, path string) {
	same := func(op apiOperation) bool { return op.method == method && op.path == path }
	g.operations = slices.DeleteFunc(g.operations, same)
	g.changing = slices.DeleteFunc(g.changing, same)
}

// next makes a request. Most are right; the others have one fault, or a few.
func (g *generator) next() apiRequest {
	g.mu.Lock()
	defer g.mu.Unlock()
	op := pick(g.rnd, pick(g.rnd, [][]apiOperation{g.operations, g.changing, g.changing}))
	r := apiRequest{method: op.method, path: op.path}
	query := url.Values{}
	for _, p := range append(slices.Clone(op.shared), op.Parameters...) {
		value := g.text(p.Value.Name, p.Value.Schema)
		switch p.Value.In {
		case "path":
			r.path = strings.ReplaceAll(r.path, "{"+p.Value.Name+"}", url.PathEscape(value))
		case "query":
			if p.Value.Required || g.rnd.IntN(2) == 0 {
				query.Add(p.Value.Name, value)
			}
		case "header":
			if p.Value.Required || g.rnd.IntN(2) == 0 {
				r.headers = append(r.headers, [2]string{p.Value.Name, value})
			}
		}
	}
	g.fillBody(&r, op)
	for range max(0, g.rnd.IntN(6)-2) { // none in half of them, up to three
		g.spoil(&r, query)
	}
	if len(query) > 0 {
		r.path += "?" + query.Encode()
	}
	return r
}

func (g *generator) fillBody(r *apiRequest, op apiOperation) {
	if op.RequestBody == nil {
		return
	}
	content := op.RequestBody.Value.Content
	kind := pick(g.rnd, slices.Sorted(maps.Keys(content)))
	r.headers = append(r.headers, [2]string{"Content-Type", kind})
	if !strings.Contains(kind, "json") {
		r.body = pick(g.rnd, []string{"v=0\r\n", "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", "", pick(g.rnd, g.offers), pick(g.rnd, g.offers), pick(g.rnd, g.offers)})
		return
	}
	text, err := json.Marshal(g.value("", content[kind].Schema, 0))
	if err != nil {
		panic(err) // of maps, slices, strings and numbers
	}
	r.body = string(text)
}

// value makes one that the schema allows.
func (g *generator) value(name string, ref *openapi3.SchemaRef, depth int) any {
	if ref == nil || ref.Value == nil || depth > 6 {
		return nil
	}
	s := ref.Value
	switch {
	case len(s.Enum) > 0:
		return pick(g.rnd, s.Enum)
	case len(s.OneOf) > 0:
		return g.value(name, pick(g.rnd, s.OneOf), depth+1)
	case len(s.AnyOf) > 0:
		return g.value(name, pick(g.rnd, s.AnyOf), depth+1)
	case s.Type.Includes("null") && g.rnd.IntN(4) == 0:
		return nil
	case s.Type.Includes("object") || len(s.Properties) > 0 || len(s.AllOf) > 0:
		object := map[string]any{}
		for _, part := range append(openapi3.SchemaRefs{ref}, s.AllOf...) {
			for key, of := range part.Value.Properties {
				if slices.Contains(part.Value.Required, key) || g.rnd.IntN(2) == 0 {
					object[key] = g.value(key, of, depth+1)
				}
			}
		}
		return object
	case s.Type.Includes("array"):
		list := []any{}
		for range g.rnd.IntN(4) {
			list = append(list, g.value(name, s.Items, depth+1))
		}
		return list
	case s.Type.Includes("boolean"):
		return g.rnd.IntN(2) == 0
	case s.Type.Includes("integer"), s.Type.Includes("number"):
		return g.number(s)
	default:
		return g.text(name, ref)
	}
}

func (g *generator) number(s *openapi3.Schema) int64 {
	low, high := int64(0), int64(1000)
	if s.Min != nil {
		low = int64(*s.Min)
	}
	if s.Max != nil {
		high = int64(*s.Max)
	}
	return pick(g.rnd, []int64{low, high, low + g.rnd.Int64N(high-low+1)})
}

// text makes a string, of those learned under its name where there are any.
func (g *generator) text(name string, ref *openapi3.SchemaRef) string {
	if known := g.learned[name]; len(known) > 0 && g.rnd.IntN(8) > 0 {
		return pick(g.rnd, known)
	}
	if ref != nil && ref.Value != nil {
		if t := ref.Value.Type; t.Includes("integer") || t.Includes("number") {
			return fmt.Sprint(g.number(ref.Value))
		}
		if len(ref.Value.Enum) > 0 {
			return fmt.Sprint(pick(g.rnd, ref.Value.Enum))
		}
	}
	return pick(g.rnd, []string{"x", "Alice", "a word or two", "zażółć gęślą", strings.Repeat("n", 64), "0", "2030-01-02T03:04:05.000Z", "guest-7"})
}

// odd are texts that nobody sends by mistake alone.
var odd = []string{
	"", " ", ".", "..", "../../etc/passwd", "%2f", "%00", "\x00", "\u202e", "null", "undefined", "-1", "1e400", "NaN", "9223372036854775808", "*", `"`, `""`,
	`W/"1"`, `"a", "b"`, "Bearer", "Bearer x", "Basic eDp5", "eyJhbGciOiJub25lIn0.e30.", strings.Repeat("z", 70_000), strings.Repeat("[", 20_000), "{", "[]", "true", "\xff\xfe",
	`{"name":"a","name":"b"}`, `{"a":` + strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 501), "a=b&c", "<script>", "'; drop table rooms; --", "application/json", "text/plain",
}

// spoil puts one fault into a request.
func (g *generator) spoil(r *apiRequest, query url.Values) {
	word := pick(g.rnd, odd)
	header := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, word[:min(len(word), 3000)])
	switch g.rnd.IntN(9) {
	case 0:
		r.method = pick(g.rnd, []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"})
	case 1:
		parts := strings.Split(r.path, "/")
		parts[g.rnd.IntN(len(parts))] = url.PathEscape(word[:min(len(word), 200)])
		r.path = "/" + strings.TrimPrefix(strings.Join(parts, "/"), "/")
	case 2:
		query.Add(pick(g.rnd, []string{"limit", "cursor", "state", "token", "ticket", "last_event_id", word[:min(len(word), 20)]}), word[:min(len(word), 4000)])
	case 3:
		name := pick(g.rnd, []string{
			"Authorization", "If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID", "Content-Type", "Prefer", "Accept", "Origin", "Upgrade", "X-Forwarded-For",
		})
		r.headers = append(r.headers, [2]string{name, header})
	case 4:
		r.body = word
	case 5:
		r.body = r.body[:g.rnd.IntN(len(r.body)+1)]
	case 6: // another type somewhere
		r.body = strings.Replace(r.body, pick(g.rnd, []string{`"`, "true", "false", "null", "1", "{", "[", ":"}), pick(g.rnd, []string{"[", "7", "{}", `"x"`, "1.5", "-3"}), 1)
	case 7:
		r.body = strings.Replace(r.body, "{", `{"unknown":1,`, 1)
	default:
		r.headers = nil
	}
}

// learn takes names out of an answer.
func (g *generator) learn(location string, body []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, last, ok := strings.Cut(location, "/s/"); ok {
		id, stream, _ := strings.Cut(last, "/events/")
		g.keep("session", id)
		g.keep("stream", stream)
	}
	var v any
	if json.Unmarshal(body, &v) == nil {
		g.gather("", v)
	}
}

func (g *generator) gather(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			g.gather(key, inner)
		}
	case []any:
		for _, inner := range v {
			g.gather(name, inner)
		}
	case string:
		switch name {
		case "id", "session":
			g.keep("session", v)
			g.keep("id", v)
		case "next":
			g.keep("cursor", v)
		case "token", "identity", "publication", "seq":
			g.keep(name, v)
		}
	}
}

// keep remembers the last few.
func (g *generator) keep(name, value string) {
	const few = 24
	if value == "" || slices.Contains(g.learned[name], value) {
		return
	}
	g.learned[name] = append(g.learned[name], value)
	if n := len(g.learned[name]); n > few {
		g.learned[name] = slices.Delete(g.learned[name], 0, n-few)
	}
}

// often is true nine times in ten.
func (g *generator) often() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rnd.IntN(10) > 0
}

func pick[T any](rnd *rand.Rand, from []T) T { return from[rnd.IntN(len(from))] }
