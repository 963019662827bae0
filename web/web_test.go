package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/web"
)

// pagesOf lists the pages with a path that each is served at.
func pagesOf(p *web.Pages) map[string]http.Handler {
	return map[string]http.Handler{"/": p.Index, "/play/room": p.Play, "/publish/room": p.Publish, "/meet/room": p.Meet, "/admin": p.Admin}
}

func newPages(t *testing.T) *web.Pages {
	t.Helper()
	pages, err := web.New(web.Config{})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return pages
}

func get(t *testing.T, h http.Handler, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, response *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read the body: %v", err)
	}
	return string(body)
}

func TestPagesAreLockedDown(t *testing.T) {
	for target, page := range pagesOf(newPages(t)) {
		response := get(t, page, http.MethodGet, target)
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", target, response.StatusCode)
		}
		policy := response.Header.Get("Content-Security-Policy")
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
			t.Errorf("%s: policy is not strict: %s", target, policy)
		}
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:",
			"media-src blob: mediastream:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		} {
			if !strings.Contains("; "+policy+";", "; "+want+";") {
				t.Errorf("%s: policy lacks %q: %s", target, want, policy)
			}
		}
		for name, want := range map[string]string{
			"Content-Type":           "text/html; charset=utf-8",
			"X-Content-Type-Options": "nosniff",
			"Referrer-Policy":        "no-referrer",
			"X-Frame-Options":        "DENY",
			"Cache-Control":          "no-cache",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		for _, feature := range []string{"camera=(self)", "microphone=(self)", "display-capture=(self)"} {
			if got := response.Header.Get("Permissions-Policy"); !strings.Contains(got, feature) {
				t.Errorf("%s: Permissions-Policy lacks %s: %s", target, feature, got)
			}
		}
	}
}

func TestPolicyTakesConfiguredOrigins(t *testing.T) {
	pages, err := web.New(web.Config{
		FrameAncestors: []string{"'self'", "https://example.org"},
		ConnectOrigins: []string{"https://b.example.org:8443"},
	})
	if err != nil {
		t.Fatal(err)
	}
	response := get(t, pages.Play, http.MethodGet, "/play/room")
	policy := response.Header.Get("Content-Security-Policy")
	for _, want := range []string{"frame-ancestors 'self' https://example.org;", "connect-src 'self' https://b.example.org:8443;"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy lacks %q: %s", want, policy)
		}
	}
	if got := response.Header.Get("X-Frame-Options"); got != "" {
		t.Errorf("X-Frame-Options is %q and contradicts frame-ancestors", got)
	}
}

func TestConfigCannotBreakOutOfThePolicy(t *testing.T) {
	for _, origin := range []string{"", "https://a; script-src *", "https://a https://b", "https://a,https://b", "a\r\nX: y"} {
		if _, err := web.New(web.Config{FrameAncestors: []string{origin}}); err == nil {
			t.Errorf("frame ancestor %q was taken", origin)
		}
		if _, err := web.New(web.Config{ConnectOrigins: []string{origin}}); err == nil {
			t.Errorf("connect origin %q was taken", origin)
		}
	}
}

func TestPagesDoNotDependOnThePath(t *testing.T) {
	pages := newPages(t)
	for _, target := range []string{"/play/a", "/play/%3Cscript%3E", "/below/play/a"} {
		first, second := bodyOf(t, get(t, pages.Play, http.MethodGet, "/play/room")), bodyOf(t, get(t, pages.Play, http.MethodGet, target))
		if first != second {
			t.Errorf("%s: the page differs from that of another room", target)
		}
	}
}

func TestMethods(t *testing.T) {
	pages := newPages(t)
	handlers := pagesOf(pages)
	handlers["/assets/style.css"] = pages.Assets
	for target, h := range handlers {
		whole := get(t, h, http.MethodGet, target)
		head := get(t, h, http.MethodHead, target)
		if body := bodyOf(t, head); body != "" || head.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: status %d, %d bytes", target, head.StatusCode, len(body))
		}
		for name := range whole.Header {
			if got, want := head.Header.Get(name), whole.Header.Get(name); got != want {
				t.Errorf("HEAD %s: %s is %q, GET has %q", target, name, got, want)
			}
		}
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			response := get(t, h, method, target)
			if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: status %d, Allow %q", method, target, response.StatusCode, response.Header.Get("Allow"))
			}
		}
	}
}

func TestConditionalRequests(t *testing.T) {
	pages := newPages(t)
	handlers := pagesOf(pages)
	handlers["/assets/ui.js"] = pages.Assets
	for target, h := range handlers {
		etag := get(t, h, http.MethodGet, target).Header.Get("Etag")
		if !regexp.MustCompile(`^"[\w-]+"$`).MatchString(etag) {
			t.Fatalf("%s: tag %q is not a strong one", target, etag)
		}
		tests := []struct {
			header string
			status int
		}{
			{etag, http.StatusNotModified},
			{"W/" + etag, http.StatusNotModified},
			{`"other", ` + etag, http.StatusNotModified},
			{"*", http.StatusNotModified},
			{`"other"`, http.StatusOK},
			{strings.Trim(etag, `"`), http.StatusOK},
			{"", http.StatusOK},
		}
		for _, tt := range tests {
			response := get(t, h, http.MethodGet, target, "If-None-Match", tt.header)
			body := bodyOf(t, response)
			if response.StatusCode != tt.status {
				t.Errorf("%s If-None-Match %s: status %d, want %d", target, tt.header, response.StatusCode, tt.status)
			}
			if tt.status == http.StatusNotModified && (body != "" || response.Header.Get("Etag") != etag || response.Header.Get("Cache-Control") == "") {
				t.Errorf("%s: 304 with %d bytes, tag %q, cache %q", target, len(body), response.Header.Get("Etag"), response.Header.Get("Cache-Control"))
			}
		}
	}
}

func TestCompression(t *testing.T) {
	pages := newPages(t)
	plain := get(t, pages.Play, http.MethodGet, "/play/room")
	want := bodyOf(t, plain)
	tests := []struct {
		accept string
		zipped bool
	}{
		{"gzip", true},
		{"deflate, GZIP;q=0.5, br", true},
		{"gzip;q=0", false},
		{"gzip; q=0.0", false},
		{"gzip;q=x", false},
		{"br", false},
		{"", false},
	}
	for _, tt := range tests {
		response := get(t, pages.Play, http.MethodGet, "/play/room", "Accept-Encoding", tt.accept)
		if got := response.Header.Get("Content-Encoding") == "gzip"; got != tt.zipped {
			t.Errorf("Accept-Encoding %q: compressed %v, want %v", tt.accept, got, tt.zipped)
			continue
		}
		if response.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: Vary is %q", tt.accept, response.Header.Get("Vary"))
		}
		if !tt.zipped {
			continue
		}
		if response.Header.Get("Etag") == plain.Header.Get("Etag") {
			t.Error("two representations share a strong tag")
		}
		zr, err := gzip.NewReader(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(zr)
		if err != nil || string(got) != want {
			t.Errorf("Accept-Encoding %q: another page came out (%v)", tt.accept, err)
		}
	}
}

var reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

func TestEveryReferencedAssetIsServed(t *testing.T) {
	pages := newPages(t)
	for target, page := range pagesOf(pages) {
		body := bodyOf(t, get(t, page, http.MethodGet, target))
		seen := 0
		for _, match := range reference.FindAllStringSubmatch(body, -1) {
			if !strings.Contains(match[1], "assets/") {
				continue
			}
			seen++
			// Browsers resolve the path against the page's own.
			asset := path.Join(path.Dir(target), match[1])
			response := get(t, pages.Assets, http.MethodGet, asset)
			if response.StatusCode != http.StatusOK {
				t.Errorf("%s refers to %s: status %d", target, asset, response.StatusCode)
			}
			if got := response.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
				t.Errorf("%s: %s is not kept by browsers: %q", target, asset, got)
			}
			if got := response.Header.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("%s: X-Content-Type-Options is %q", asset, got)
			}
		}
		if seen < 4 {
			t.Errorf("%s refers to %d assets: the test looks for the wrong thing", target, seen)
		}
	}
}

func TestAssetPaths(t *testing.T) {
	pages := newPages(t)
	tests := []struct {
		target string
		status int
		cache  string
	}{
		{"/assets/style.css", http.StatusOK, "no-cache"},
		{"/assets/of-another-release/style.css", http.StatusOK, "no-cache"},
		{"/below/assets/style.css", http.StatusOK, "no-cache"},
		{"/assets/", http.StatusNotFound, ""},
		{"/assets/none.js", http.StatusNotFound, ""},
		{"/assets/v/", http.StatusNotFound, ""},
		{"/assets/v/w/style.css", http.StatusNotFound, ""},
		{"/assets/play.html", http.StatusNotFound, ""}, // it would be without its policy
		{"/assets/../web.go", http.StatusNotFound, ""},
		{"/assets/..%2fweb.go", http.StatusNotFound, ""},
		{"/style.css", http.StatusNotFound, ""},
	}
	for _, tt := range tests {
		response := get(t, pages.Assets, http.MethodGet, tt.target)
		if response.StatusCode != tt.status || response.Header.Get("Cache-Control") != tt.cache {
			t.Errorf("%s: status %d, cache %q; want %d, %q", tt.target, response.StatusCode, response.Header.Get("Cache-Control"), tt.status, tt.cache)
		}
	}
}

// sources calls f with every embedded file.
func sources(t *testing.T, f func(name string, content []byte)) {
	t.Helper()
	dir := os.DirFS("assets")
	names, err := fs.Glob(dir, "*")
	if err != nil || len(names) < 10 {
		t.Fatalf("found %d files: %v", len(names), err)
	}
	for _, name := range names {
		content, err := fs.ReadFile(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		f(name, content)
	}
}

func TestNothingComesFromElsewhere(t *testing.T) {
	other := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9][a-z0-9.-]*\.[a-z]{2,}[^\s"')]*`)
	sources(t, func(name string, content []byte) {
		for _, found := range other.FindAllString(string(content), -1) {
			if found != "http://www.w3.org/2000/svg" { // a name, never fetched
				t.Errorf("%s refers to %s", name, found)
			}
		}
	})
}

func TestNothingIsInline(t *testing.T) {
	tests := map[string]*regexp.Regexp{
		"an event handler":   regexp.MustCompile(`(?i)<[^>]*\son[a-z]+\s*=`),
		"a style attribute":  regexp.MustCompile(`(?i)<[^>]*\sstyle\s*=`),
		"a style element":    regexp.MustCompile(`(?i)<style`),
		"a script in place":  regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>\s*[^<\s]`),
		"a script URL":       regexp.MustCompile(`(?i)["']javascript:`),
		"a classic script":   regexp.MustCompile(`(?i)<script src`),
		"a template of ours": regexp.MustCompile(`\{\{`),
	}
	sources(t, func(name string, content []byte) {
		if path.Ext(name) != ".html" {
			return
		}
		for what, pattern := range tests {
			if found := pattern.Find(content); found != nil {
				t.Errorf("%s has %s: %s", name, what, found)
			}
		}
	})
}

func TestScriptsMakeNoHTML(t *testing.T) {
	dangerous := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|setAttribute\('(style|on)`)
	sources(t, func(name string, content []byte) {
		if path.Ext(name) != ".js" {
			return
		}
		if found := dangerous.Find(content); found != nil {
			t.Errorf("%s uses %s", name, found)
		}
	})
}

var (
	importing = regexp.MustCompile(`(?m)^(?:import|export)?[^'\n]*\bfrom '([^']+)';`)
	preload   = regexp.MustCompile(`rel="modulepreload" href="[^"]*/([^"/]+)"`)
	entry     = regexp.MustCompile(`<script type="module" src="[^"]*/([^"/]+)"`)
)

// TestPreloadsAreTheImports keeps the list in each page equal to what its script
// imports, directly or not: a missing one costs a round trip before the picture.
func TestPreloadsAreTheImports(t *testing.T) {
	files := make(map[string][]byte)
	sources(t, func(name string, content []byte) { files[name] = content })
	for name, content := range files {
		if path.Ext(name) != ".html" {
			continue
		}
		start := entry.FindSubmatch(content)
		if start == nil {
			t.Errorf("%s has no script", name)
			continue
		}
		needed := make(map[string]bool)
		imports(t, files, string(start[1]), needed)
		for _, match := range preload.FindAllSubmatch(content, -1) {
			if !needed[string(match[1])] {
				t.Errorf("%s preloads %s, which nothing imports", name, match[1])
			}
			delete(needed, string(match[1]))
		}
		for missing := range needed {
			t.Errorf("%s does not preload %s", name, missing)
		}
	}
}

func imports(t *testing.T, files map[string][]byte, name string, found map[string]bool) {
	t.Helper()
	if files[name] == nil {
		t.Errorf("%s is imported and does not exist", name)
	}
	for _, match := range importing.FindAllSubmatch(bytes.ReplaceAll(files[name], []byte("\n  "), []byte(" ")), -1) {
		imported := strings.TrimPrefix(string(match[1]), "./")
		if !found[imported] {
			found[imported] = true
			imports(t, files, imported, found)
		}
	}
}

func TestEveryElementTheScriptsNameExists(t *testing.T) {
	files := make(map[string][]byte)
	sources(t, func(name string, content []byte) { files[name] = content })
	asked := regexp.MustCompile(`\$\('([a-z-]+)'\)`)
	scripts := map[string][]string{
		"index": {"index.js"}, "play": {"play.js"}, "publish": {"publish.js"},
		"meet": {"meet.js", "lobby.js", "panel.js", "tiles.js"}, "admin": {"admin.js"},
	}
	for page, names := range scripts {
		for _, name := range names {
			for _, match := range asked.FindAllSubmatch(files[name], -1) {
				if !bytes.Contains(files[page+".html"], []byte(`id="`+string(match[1])+`"`)) {
					t.Errorf("%s asks for #%s, which %s.html lacks", name, match[1], page)
				}
			}
		}
	}
}

func TestButtonsAndFieldsHaveNames(t *testing.T) {
	button := regexp.MustCompile(`(?s)<button([^>]*)>(.*?)</button>`)
	tags := regexp.MustCompile(`(?s)<svg.*?</svg>|<[^>]*>`)
	sources(t, func(name string, content []byte) {
		for _, match := range button.FindAllSubmatch(content, -1) {
			text := strings.TrimSpace(string(tags.ReplaceAll(match[2], nil)))
			if text == "" && !bytes.Contains(match[1], []byte("aria-label=")) {
				t.Errorf("%s: a button without a name: %s", name, match[0])
			}
			if !bytes.Contains(match[1], []byte(` type="`)) {
				t.Errorf("%s: a button without a type submits forms by surprise: %s", name, match[0])
			}
		}
	})
}
