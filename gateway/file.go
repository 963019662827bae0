package gateway

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const maxConfigFile = 1 << 20 // bytes

// CheckFile tells what is wrong with a configuration file, with line numbers,
// as far as the file alone can tell.
func CheckFile(path string) error {
	values, err := readFile(path)
	if err != nil {
		return err
	}
	cfg, err := fromValues(values)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := cfg.Check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readFile reads a file into the texts of its settings.
func readFile(path string) (map[string]string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err != nil {
		return nil, fmt.Errorf("config: read %s: %w", path, err)
	}
	if len(text) > maxConfigFile {
		return nil, fmt.Errorf("config: %s is larger than %d KiB", path, maxConfigFile>>10)
	}
	return parseFile(path, text)
}

// parseFile finds every fault of the file; each begins with path:line.
func parseFile(path string, text []byte) (map[string]string, error) {
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, syntaxError(path, err)
	}
	known := map[string]bool{}
	for _, o := range options() {
		known[o.name] = o.inFile
	}
	values, errs := map[string]string{}, []error(nil)
	for _, doc := range parsed.Docs {
		pairs, err := topLevel(doc.Body)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", path, lineOf(doc.Body), err))
			continue
		}
		for _, pair := range pairs {
			key := pair.Key.GetToken().Value
			fault := func(err error) {
				errs = append(errs, fmt.Errorf("%s:%d: %s: %w", path, lineOf(pair.Key), key, err))
			}
			inFile, ok := known[key]
			switch _, twice := values[key]; {
			case !ok:
				fault(errors.New("there is no such setting" + didYouMean(key, known)))
				continue
			case !inFile:
				fault(errors.New("cannot be set in the file"))
				continue
			case twice:
				fault(errors.New("is there twice"))
				continue
			}
			value, err := scalarOrList(pair.Value)
			if err == nil {
				values[key] = value
				_, err = fromValues(map[string]string{key: value})
			}
			if err != nil {
				fault(errors.New(strings.TrimPrefix(err.Error(), "--"+key+": ")))
			}
		}
	}
	return values, errors.Join(errs...)
}

func syntaxError(path string, err error) error {
	var yamlErr yaml.Error
	if errors.As(err, &yamlErr) && yamlErr.GetToken() != nil {
		return fmt.Errorf("%s:%d: %s", path, yamlErr.GetToken().Position.Line, yamlErr.GetMessage())
	}
	return fmt.Errorf("%s: not YAML: %w", path, err)
}

func topLevel(body ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := body.(type) {
	case nil:
		return nil, nil // empty, or comments only
	case *ast.CommentGroupNode, *ast.NullNode:
		return nil, nil
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	default:
		return nil, errors.New("want lines of the form key: value")
	}
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1
	}
	return n.GetToken().Position.Line
}

// scalarOrList gives a value as the command line would: lists with commas.
func scalarOrList(value ast.Node) (string, error) {
	switch n := value.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, nil
	case *ast.SequenceNode:
		items := make([]string, 0, len(n.Values))
		for _, item := range n.Values {
			if _, nested := item.(*ast.SequenceNode); nested {
				return "", errors.New("a list of lists is too much")
			}
			text, err := scalarOrList(item)
			if err != nil {
				return "", err
			}
			items = append(items, text)
		}
		return strings.Join(items, ","), nil
	case *ast.NullNode:
		return "", errors.New("has no value")
	default:
		return "", errors.New("want a plain value or a list of them")
	}
}

// didYouMean names the setting that has the same letters but for dashes,
// underscores and case.
func didYouMean(key string, known map[string]bool) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "").Replace(s))
	}
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if plain(name) == plain(key) {
			return "; did you mean " + name + "?"
		}
	}
	return ""
}
