package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sluicemedia/sluice"

// mayImport is the dependency direction of ARCHITECTURE.md: what the code of
// each package may import of this module and of others. Names stand for
// themselves and what is below them. Tests may import what they like.
var mayImport = map[string][]string{
	".":                  {"gateway", "auth", "conformance", "bench", "github.com/alecthomas/kong"},
	"bench":              {"github.com/pion", "golang.org/x/sys"},
	"conformance":        {"whip", "whep", "github.com/pion"},
	"conformance/mutant": {"github.com/pion"},
	"gateway": {
		"whip", "whep", "session", "sfu", "egress", "gateway/load", "auth", "cluster", "events", "events/webhook", "web",
		"github.com/alecthomas/kong", "github.com/fsnotify/fsnotify", "github.com/goccy/go-yaml",
		"github.com/julienschmidt/httprouter", "github.com/prometheus/client_golang", "golang.org/x/time",
	},
	"gateway/gatewaytest": {"gateway", "whip", "whep", "session", "sfu", "egress", "github.com/pion", "github.com/chromedp", "golang.org/x/sys"},
	"whip":                {"session", "sfu", "egress", "github.com/pion"},
	"whep":                {"session", "sfu", "egress", "github.com/pion"},
	"session":             {"egress", "github.com/pion", "golang.org/x/sys", "golang.org/x/time"},
	"sfu":                 {"egress", "github.com/pion"},
	"egress":              {"github.com/pion", "golang.org/x/sys"},
	"gateway/load":        {},
	"auth":                {"github.com/golang-jwt/jwt", "github.com/go-jose/go-jose", "golang.org/x/crypto"},
	"cluster":             {"github.com/hashicorp/raft", "github.com/hashicorp/go-hclog", "go.etcd.io/bbolt"},
	"events":              {"github.com/coder/websocket"},
	"events/webhook":      {"events", "go.etcd.io/bbolt"},
	"web":                 {},
	"bench/naive":         {"github.com/pion"},
	"bench/paired":        {"bench", "golang.org/x/sys"},
	"scripts/testsum":     {},
}

// TestDependencyDirection reads the sources itself rather than asking "go
// list": the test cache notices changed files only if this process opens them.
func TestDependencyDirection(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(file))
		seen[pkg] = true
		allowed, ok := mayImport[pkg]
		if !ok {
			t.Errorf("%s: package is not in mayImport: give it one line in ARCHITECTURE.md, then list it here", pkg)
			return nil
		}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !permitted(imp, allowed) {
				t.Errorf("%s: must not import %s", file, imp)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range mayImport {
		if !seen[pkg] {
			t.Errorf("%s is in mayImport and has no code", pkg)
		}
	}
}

func permitted(imp string, allowed []string) bool {
	first, _, _ := strings.Cut(imp, "/")
	if !strings.Contains(first, ".") {
		return true // standard library
	}
	own, inModule := strings.CutPrefix(imp, module+"/")
	return slices.ContainsFunc(allowed, func(a string) bool {
		if inModule {
			return own == a // a package is not its sub-packages
		}
		return imp == a || strings.HasPrefix(imp, a+"/")
	})
}

func TestPermitted(t *testing.T) {
	allowed := []string{"session", "github.com/pion"}
	for imp, want := range map[string]bool{
		"net/http":                true,
		"github.com/pion":         true,
		"github.com/pion/rtp":     true,
		"github.com/pionx/rtp":    false,
		"example.com/x":           false,
		module + "/session":       true,
		module + "/session/inner": false,
		module + "/sfu":           false,
	} {
		if got := permitted(imp, allowed); got != want {
			t.Errorf("%s: got %t, want %t", imp, got, want)
		}
	}
}
