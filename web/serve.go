package web

import (
	"maps"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Cache policies. Pages are asked for again each time, which costs an empty 304:
// they name the version of everything else.
const (
	cacheAsk     = "no-cache"
	cacheForever = "public, max-age=31536000, immutable"
)

// pageHeader is the header of every page. The policy has no unsafe source: an injected
// script or style has nowhere to run, and nothing is fetched from elsewhere.
func pageHeader(cfg Config) http.Header {
	ancestors := "'none'"
	if len(cfg.FrameAncestors) > 0 {
		ancestors = strings.Join(cfg.FrameAncestors, " ")
	}
	policy := []string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"connect-src " + strings.Join(append([]string{"'self'"}, cfg.ConnectOrigins...), " "),
		"img-src 'self' data:",
		"media-src blob: mediastream:",
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors " + ancestors,
		"require-trusted-types-for 'script'",
	}
	h := make(http.Header)
	h.Set("Content-Security-Policy", strings.Join(policy, "; "))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), "+
		"autoplay=(self), fullscreen=(self), picture-in-picture=(self), "+
		"geolocation=(), midi=(), payment=(), usb=(), serial=(), hid=()")
	if len(cfg.FrameAncestors) == 0 {
		h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	}
	h.Set("Cache-Control", cacheAsk)
	return h
}

// pageHandler serves one page, whatever the path: routing is the gateway's.
type pageHandler struct {
	header http.Header
	file   file
}

// ServeHTTP implements http.Handler.
func (p *pageHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	maps.Copy(w.Header(), p.header) // the values are shared and never changed
	serve(w, r, p.file)
}

// assetHandler serves the embedded files but not the pages among them.
type assetHandler struct {
	files   map[string]file
	version string
}

// ServeHTTP implements http.Handler. Both /assets/NAME and /assets/VERSION/NAME are
// served. Any version will do, because during a rolling update a page of one node asks
// another one; but only the true version may be kept.
func (a *assetHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	_, rest, _ := strings.Cut(r.URL.Path, "/assets/")
	version, name, found := strings.Cut(rest, "/")
	if !found {
		version, name = "", rest
	}
	f, ok := a.files[name]
	if !ok || path.Ext(name) == ".html" {
		http.NotFound(w, r)
		return
	}
	h.Set("Cache-Control", cacheAsk)
	if version == a.version {
		h.Set("Cache-Control", cacheForever)
	}
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if path.Ext(name) == ".svg" {
		// Opened as a document of its own, a picture must not be able to do more.
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	}
	serve(w, r, f)
}

// serve answers GET and HEAD with the file: compressed where that is accepted, and
// 304 when the browser has it already (RFC 9110 section 13.1.2).
func serve(w http.ResponseWriter, r *http.Request, f file) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, etag := f.plain, `"`+f.etag+`"`
	h.Add("Vary", "Accept-Encoding")
	if len(f.zipped) > 0 && acceptsGzip(r.Header.Values("Accept-Encoding")) {
		// Two representations, two strong tags.
		body, etag = f.zipped, `"`+f.etag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Etag", etag)
	if matches(r.Header.Values("If-None-Match"), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the browser went away: nobody to tell
	}
}

// acceptsGzip reports whether an Accept-Encoding header names gzip, and not with
// weight zero (RFC 9110 section 12.5.3).
func acceptsGzip(values []string) bool {
	for item := range strings.SplitSeq(strings.Join(values, ","), ",") {
		coding, weight, _ := strings.Cut(item, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, found := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
		if !found {
			return true
		}
		v, err := strconv.ParseFloat(q, 64)
		return err == nil && v > 0
	}
	return false
}

// matches reports whether If-None-Match names the tag; the comparison is the weak one.
func matches(values []string, etag string) bool {
	for item := range strings.SplitSeq(strings.Join(values, ","), ",") {
		item = strings.TrimSpace(item)
		if item == "*" || strings.TrimPrefix(item, "W/") == etag {
			return true
		}
	}
	return false
}
