package gateway

import (
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// EnvPrefix begins the names of environment variables: --tls-cert is also
// SLUICE_TLS_CERT.
const EnvPrefix = "SLUICE"

// option is one field of Config as its tags describe it.
type option struct {
	name, def, placeholder, help string
	inFile, reload, hidden       bool
	index                        []int
}

func (o option) env() string {
	return EnvPrefix + "_" + strings.ToUpper(strings.ReplaceAll(o.name, "-", "_"))
}

// options lists the settings in the order of Config.
func options() []option {
	var list []option
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if f.Tag.Get("name") != "" {
			list = append(list, optionOf(f, f.Index))
		}
		if _, ok := f.Tag.Lookup("embed"); ok {
			for _, inner := range reflect.VisibleFields(f.Type) {
				list = append(list, optionOf(inner, append(f.Index[:1:1], inner.Index...)))
			}
		}
	}
	return list
}

func optionOf(f reflect.StructField, index []int) option {
	_, hidden := f.Tag.Lookup("hidden")
	return option{
		name:        f.Tag.Get("name"),
		def:         f.Tag.Get("default"),
		placeholder: f.Tag.Get("placeholder"),
		help:        f.Tag.Get("help"),
		inFile:      f.Tag.Get("file") != "no",
		reload:      f.Tag.Get("reload") == "yes",
		hidden:      hidden,
		index:       index,
	}
}

// DefaultConfig is what a node runs with when nothing is configured, not even
// by the environment.
func DefaultConfig() (Config, error) { return fromValues(nil) }

// FileResolver reads a configuration file for a kong parser whose flags are
// those of Config. Every fault of the file is in the error, with its line.
func FileResolver(path string) (kong.Resolver, error) {
	values, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		// Kong has put the environment's value in place already, and would
		// let the file win over it.
		for _, env := range flag.Envs {
			if _, set := os.LookupEnv(env); set {
				return nil, nil
			}
		}
		return resolved(values, flag.Name), nil
	}), nil
}

// fromValues makes a configuration of texts by name and of defaults.
func fromValues(values map[string]string) (Config, error) {
	var cfg Config
	parser, err := kong.New(&cfg, kong.Resolvers(kong.ResolverFunc(
		func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			return resolved(values, flag.Name), nil
		})))
	if err != nil {
		return Config{}, fmt.Errorf("gateway: read the settings: %w", err)
	}
	if _, err = parser.Parse(nil); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// resolved is what kong wants of a resolver: nil when there is no value. Kong
// would read the empty text as a list of one empty item.
func resolved(values map[string]string, name string) any {
	text, ok := values[name]
	if !ok || text == "" && isList(name) {
		return nil
	}
	return text
}

func isList(name string) bool {
	for _, o := range options() {
		if o.name == name {
			return reflect.TypeFor[Config]().FieldByIndex(o.index).Type.Kind() == reflect.Slice
		}
	}
	return false
}

// Sample is a configuration file with every setting commented out.
func Sample() string {
	var b strings.Builder
	b.WriteString("# Settings of sluice. Uncomment what you change; each is shown with its default.\n")
	for _, o := range options() {
		if o.hidden || !o.inFile {
			continue
		}
		b.WriteString("\n")
		for _, line := range wrap(o.help, 98) {
			b.WriteString("# " + line + "\n")
		}
		if !o.reload {
			b.WriteString("# Needs a restart.\n")
		}
		fmt.Fprintf(&b, "#%s: %s\n", o.name, quoteYAML(o.def))
	}
	return b.String()
}

// Markdown is docs/configuration.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Generated from the fields of ` + "`gateway.Config`" + `; do not edit. Every setting is a flag of ` + "`sluice serve`" + `, an environment
variable and a key of the YAML file named by ` + "`--config`" + `. Flags win over the environment, the environment over the file.
Unknown keys are errors. ` + "`sluice config sample`" + ` prints a file to start from, ` + "`sluice config check FILE`" + ` judges one.

A node reads its file, its token file and its certificate again when they change and on SIGHUP. Settings marked *live*
take effect then; for the others the log says that they need a restart. Durations are written ` + "`10s`, `5m`" + `.

| flag and key | environment | default | changes | meaning |
|---|---|---|---|---|
`)
	for _, o := range options() {
		if o.hidden {
			continue
		}
		def, changes, key := "none", "restart", ""
		if o.def != "" {
			def = "`" + o.def + "`"
		}
		if o.reload {
			changes = "live"
		}
		if !o.inFile {
			key = " (no key)"
		}
		fmt.Fprintf(&b, "| `--%s`%s | `%s` | %s | %s | %s |\n", o.name, key, o.env(), def, changes, o.help)
	}
	return b.String()
}

func quoteYAML(text string) string {
	if text == "" {
		return `""`
	}
	out, err := yaml.Marshal(text)
	if err != nil { // a string always has a form
		return `""`
	}
	return strings.Trim(strings.TrimSpace(string(out)), `"`)
}

func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
