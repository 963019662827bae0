package session_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/session"
)

// Every cause that the package has is explained once, in whole sentences.
func TestCausesAreExplained(t *testing.T) {
	seen := map[session.Cause]bool{}
	for _, a := range session.Advices() {
		if seen[a.Cause] || !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(string(a.Cause)) {
			t.Errorf("%q: a name is lower case and unique", a.Cause)
		}
		seen[a.Cause] = true
		for _, text := range []string{a.Title, a.NextStep(session.RolePublisher), a.NextStep(session.RoleViewer)} {
			if !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %q is no sentence", a.Cause, text)
			}
		}
		if got, ok := a.Cause.Advice(); !ok || got != a {
			t.Errorf("%s is not found", a.Cause)
		}
	}
	for _, c := range declaredCauses(t) {
		if !seen[c] {
			t.Errorf("%s is not explained", c)
		}
	}
	if _, ok := session.Cause("").Advice(); ok {
		t.Error("no cause is explained")
	}
}

// declaredCauses reads the constants of cause.go.
func declaredCauses(t *testing.T) (causes []session.Cause) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "cause.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Cause") {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		causes = append(causes, session.Cause(text))
		return false
	})
	if len(causes) < 20 {
		t.Fatalf("only %d causes were read", len(causes))
	}
	return causes
}
