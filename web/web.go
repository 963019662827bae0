// Package web holds the pages that come with the gateway: the list of rooms, a
// player, a publisher and a call. They are plain ES modules and style sheets,
// embedded as written: no build step, nothing from another origin.
//
// The pages are the same bytes for every room; their scripts read the room from the
// address. Only the paths of the assets are changed, once, in New: they get a
// version in front, so that browsers may keep them for ever and still never mix
// the scripts of two releases.
//
// The package starts no goroutines and everything in it is immutable after New.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assets embed.FS

// Config says what New may not decide by itself. Its zero value is the strict one.
type Config struct {
	// FrameAncestors are the origins that may show the pages in a frame, such as
	// "https://example.org" or "'self'". None: nobody may.
	FrameAncestors []string
	// ConnectOrigins are origins besides its own that the pages may send requests to:
	// the public URLs of the other nodes, where a cluster redirects sessions. None: none.
	ConnectOrigins []string
}

// Pages are the handlers. They answer GET and HEAD; other methods get 405.
type Pages struct {
	// Index lists the rooms; for "/".
	Index http.Handler
	// Play and Publish serve every room; for "/play/{room}" and "/publish/{room}".
	Play, Publish http.Handler
	// Meet serves every room, too; for "/meet/{room}".
	Meet http.Handler
	// Admin shows all rooms to their operator; for "/admin".
	Admin http.Handler
	// Assets serves what the pages refer to; for every path below "/assets/".
	Assets http.Handler
}

// New prepares the pages. It fails when an origin of the configuration could break
// out of its place in the policy header, or when an embedded file cannot be read.
func New(cfg Config) (*Pages, error) {
	for _, origin := range append(append([]string{}, cfg.FrameAncestors...), cfg.ConnectOrigins...) {
		if origin == "" || strings.ContainsAny(origin, " ;,\r\n\t") {
			return nil, fmt.Errorf("web: not an origin: %q", origin)
		}
	}
	files, version, err := readAssets()
	if err != nil {
		return nil, err
	}
	header := pageHeader(cfg)
	page := func(name string) http.Handler {
		return &pageHandler{header: header, file: newFile(name, versioned(files[name].plain, version))}
	}
	return &Pages{
		Index:   page("index.html"),
		Play:    page("play.html"),
		Publish: page("publish.html"),
		Meet:    page("meet.html"),
		Admin:   page("admin.html"),
		Assets:  &assetHandler{files: files, version: version},
	}, nil
}

// file is one thing to serve, plain and compressed.
type file struct {
	contentType   string
	plain, zipped []byte
	etag          string
}

func newFile(name string, content []byte) file {
	sum := sha256.Sum256(content)
	f := file{
		contentType: contentTypes[path.Ext(name)],
		plain:       content,
		etag:        base64.RawURLEncoding.EncodeToString(sum[:12]),
	}
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return f // not with this level; plain is always right
	}
	if _, err := w.Write(content); err != nil || w.Close() != nil {
		return f
	}
	f.zipped = zipped.Bytes()
	return f
}

// contentTypes is not left to the mime package: that one asks the machine, and a
// machine that calls a script text/plain would stop every page.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// readAssets reads every embedded file and makes one version out of all of them:
// a script may only meet the scripts it was written with.
func readAssets() (map[string]file, string, error) {
	files := make(map[string]file)
	all := sha256.New()
	entries, err := fs.ReadDir(assets, "assets")
	if err != nil {
		return nil, "", fmt.Errorf("web: list embedded files: %w", err)
	}
	for _, entry := range entries { // sorted by name
		content, err := fs.ReadFile(assets, path.Join("assets", entry.Name()))
		if err != nil {
			return nil, "", fmt.Errorf("web: read embedded file: %w", err)
		}
		f := newFile(entry.Name(), content)
		if f.contentType == "" {
			return nil, "", fmt.Errorf("web: no content type for %s", entry.Name())
		}
		files[entry.Name()] = f
		_, _ = fmt.Fprintf(all, "%s %s\n", entry.Name(), f.etag) // a hash takes everything
	}
	return files, base64.RawURLEncoding.EncodeToString(all.Sum(nil)[:9]), nil
}

// versioned puts the version into the asset paths of a page. The paths stay
// relative, so that a proxy may put the gateway below a path of its own.
func versioned(page []byte, version string) []byte {
	return bytes.ReplaceAll(page, []byte(`assets/`), []byte("assets/"+version+"/"))
}
