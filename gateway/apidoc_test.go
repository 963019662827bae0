package gateway_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestAPIReference compares docs/api.md with what openapi.yaml says.
func TestAPIReference(t *testing.T) {
	path, want := filepath.Join("..", "docs", "api.md"), reference(document(t))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/api.md is not what openapi.yaml says: go test ./gateway -run APIReference -update")
	}
	for _, word := range []string{"### POST /v1/rooms", "#### Fields of room", "| `name` |"} {
		if !strings.Contains(want, word) {
			t.Errorf("the reference has no %q", word)
		}
	}
}

// reference is openapi.yaml for people. HEAD and OPTIONS are left out: they say
// nothing that the document's first lines do not.
func reference(doc *openapi3.T) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# API reference\n\nGenerated from [openapi.yaml](../openapi.yaml); do not edit. A running node serves that document as `/openapi.yaml`.\n\n%s\n", doc.Info.Description)
	used := map[string]*openapi3.Schema{}
	for _, tag := range doc.Tags {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", strings.ToUpper(tag.Name[:1])+tag.Name[1:], tag.Description)
		for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
			item := doc.Paths.Value(path)
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
				if op := item.GetOperation(method); op != nil && slices.Contains(op.Tags, tag.Name) {
					writeOperation(&b, method+" "+path, op, item.Parameters, used)
				}
			}
		}
	}
	b.WriteString("## Objects\n\n")
	for done := map[string]bool{}; len(done) < len(used); {
		for _, name := range slices.Sorted(maps.Keys(used)) {
			if !done[name] {
				done[name] = true
				writeObject(&b, name, used[name], used)
			}
		}
	}
	return b.String()
}

func writeOperation(b *strings.Builder, title string, op *openapi3.Operation, shared openapi3.Parameters, used map[string]*openapi3.Schema) {
	fmt.Fprintf(b, "### %s\n\n%s.\n\n", title, strings.TrimSuffix(op.Summary, "."))
	if op.Description != "" {
		fmt.Fprintf(b, "%s\n\n", strings.TrimSpace(op.Description))
	}
	rows := ""
	for _, p := range append(slices.Clone(shared), op.Parameters...) {
		v := p.Value
		rows += fmt.Sprintf("| `%s` | %s | %s | %s |\n", v.Name, v.In, typeOf(v.Schema, used), oneLine(cmp.Or(v.Description, v.Schema.Value.Description)))
	}
	if rows != "" {
		b.WriteString("| parameter | in | type | meaning |\n|---|---|---|---|\n" + rows + "\n")
	}
	if op.RequestBody != nil {
		for _, kind := range slices.Sorted(maps.Keys(op.RequestBody.Value.Content)) {
			fmt.Fprintf(b, "Body: `%s`, %s.\n\n", kind, typeOf(op.RequestBody.Value.Content[kind].Schema, used))
		}
	}
	b.WriteString("| answer | meaning |\n|---|---|\n")
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		answer, headers := op.Responses.Value(status).Value, ""
		for _, name := range slices.Sorted(maps.Keys(answer.Headers)) {
			if answer.Headers[name].Value.Required {
				headers += " `" + name + "`"
			}
		}
		if headers != "" {
			headers = " Headers:" + headers + "."
		}
		for _, kind := range slices.Sorted(maps.Keys(answer.Content)) {
			headers += fmt.Sprintf(" `%s`: %s.", kind, typeOf(answer.Content[kind].Schema, used))
		}
		fmt.Fprintf(b, "| %s | %s%s |\n", strings.Replace(status, "default", "4xx, 5xx", 1), oneLine(*answer.Description), headers)
	}
	b.WriteString("\n")
}

func writeObject(b *strings.Builder, name string, s *openapi3.Schema, used map[string]*openapi3.Schema) {
	fmt.Fprintf(b, "#### Fields of %s\n\n", name)
	if s.Description != "" {
		fmt.Fprintf(b, "%s\n\n", strings.TrimSpace(s.Description))
	}
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	writeFields(b, "", s, used)
	b.WriteString("\n")
}

// writeFields writes the fields of an object, and those of objects within it
// that have no name.
func writeFields(b *strings.Builder, prefix string, s *openapi3.Schema, used map[string]*openapi3.Schema) {
	for _, part := range s.AllOf {
		writeFields(b, prefix, part.Value, used)
	}
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		of := s.Properties[field]
		must := ""
		if slices.Contains(s.Required, field) {
			must = ", always there"
		}
		fmt.Fprintf(b, "| `%s%s` | %s%s | %s |\n", prefix, field, typeOf(of, used), must, oneLine(of.Value.Description))
		if of.Ref == "" {
			writeFields(b, prefix+field+".", of.Value, used)
			if items := of.Value.Items; items != nil && items.Ref == "" {
				writeFields(b, prefix+field+"[].", items.Value, used)
			}
		}
	}
}

var lastOfRef = regexp.MustCompile(`[^/]+$`)

// typeOf is the type of a value in words. Objects that have a name are noted as
// used.
func typeOf(ref *openapi3.SchemaRef, used map[string]*openapi3.Schema) string {
	if ref == nil {
		return ""
	}
	s := ref.Value
	if ref.Ref != "" && len(s.Properties)+len(s.AllOf) > 0 {
		name := lastOfRef.FindString(ref.Ref)
		used[name] = s
		return "[" + name + "](#fields-of-" + strings.ToLower(name) + ")"
	}
	var words []string
	for _, of := range append(slices.Clone(s.OneOf), s.AnyOf...) {
		words = append(words, typeOf(of, used))
	}
	for _, of := range s.AllOf {
		words = append(words, typeOf(of, used))
	}
	switch {
	case len(s.Enum) > 0:
		for _, v := range s.Enum {
			words = append(words, fmt.Sprintf("`%v`", strings.Replace(fmt.Sprint(v), "<nil>", "null", 1)))
		}
	case s.Items != nil:
		words = append(words, "array of "+typeOf(s.Items, used))
	case s.Type != nil:
		words = append(words, s.Type.Slice()...)
	}
	return strings.Join(words, " or ")
}

func oneLine(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", "\\|")
}
