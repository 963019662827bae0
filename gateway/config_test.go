package gateway_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/gateway"
)

func defaults(t *testing.T) gateway.Config {
	t.Helper()
	cfg, err := gateway.DefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestDefaultsPass(t *testing.T) {
	cfg := defaults(t)
	if err := cfg.Check(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	if cfg.HTTP != "127.0.0.1:8080" || cfg.Admin != "127.0.0.1:9090" || cfg.Data != "./sluice-data" || cfg.DrainDeadline.String() != "5m0s" {
		t.Errorf("the defaults are not those of the contract: %+v", cfg)
	}
}

func TestCheck(t *testing.T) {
	open := func(c *gateway.Config) { c.Open = true }
	for _, tc := range []struct {
		name   string
		change func(*gateway.Config)
		want   string // in the error; "" none
	}{
		{"all interfaces", func(c *gateway.Config) { c.HTTP = ":8080" }, "--open"},
		{"all interfaces by address", func(c *gateway.Config) { c.HTTP = "0.0.0.0:8080" }, "--auth-token-file"},
		{"all interfaces, IPv6", func(c *gateway.Config) { c.HTTP = "[::]:8080" }, "--open"},
		{"a name", func(c *gateway.Config) { c.HTTP = "media.example:8080" }, "--open"},
		{"public", func(c *gateway.Config) { c.HTTP = "192.0.2.1:8080" }, "--open"},
		{"public and open", func(c *gateway.Config) { c.HTTP = "192.0.2.1:8080"; open(c) }, ""},
		{"public with tokens", func(c *gateway.Config) { c.HTTP = "192.0.2.1:8080"; c.AuthTokenFile = "tokens" }, ""},
		{"localhost", func(c *gateway.Config) { c.HTTP = "localhost:0" }, ""},
		{"IPv6 loopback", func(c *gateway.Config) { c.HTTP = "[::1]:0" }, ""},
		{"mapped loopback", func(c *gateway.Config) { c.HTTP = "[::ffff:127.0.0.1]:0" }, ""},
		{"media on loopback of a public node", func(c *gateway.Config) { c.HTTP = ":8080"; open(c); c.Media = "127.0.0.1:8189" }, "media: 127.0.0.1:8189 cannot be reached"},
		{"media port only", func(c *gateway.Config) { c.HTTP = ":8080"; open(c); c.Media = ":8189" }, ""},
		{"media by name", func(c *gateway.Config) { c.Media = "localhost:8189" }, "media: "},
		{"no port", func(c *gateway.Config) { c.HTTP = "127.0.0.1" }, "http: "},
		{"port too large", func(c *gateway.Config) { c.HTTP = "127.0.0.1:65536" }, "http: "},
		{"port by name", func(c *gateway.Config) { c.Admin = "127.0.0.1:http" }, "admin: "},
		{"no admin", func(c *gateway.Config) { c.Admin = "off" }, ""},
		{"certificate alone", func(c *gateway.Config) { c.TLSCert = "x" }, "tls-cert, tls-key: "},
		{"key alone", func(c *gateway.Config) { c.TLSKey = "x" }, "tls-cert, tls-key: "},
		{"wildcard advertised", func(c *gateway.Config) { c.Advertise = []netip.Addr{netip.IPv4Unspecified()} }, "advertise: "},
		{"URL without scheme", func(c *gateway.Config) { c.URL = "example.com" }, "url: "},
		{"URL of FTP", func(c *gateway.Config) { c.URL = "ftp://example.com" }, "url: "},
		{"URL with query", func(c *gateway.Config) { c.URL = "https://example.com/?a" }, "url: "},
		{"URL with user", func(c *gateway.Config) { c.NodeURL = "https://a@example.com" }, "node-url: "},
		{"URL with path", func(c *gateway.Config) { c.URL = "https://example.com/live" }, ""},
		{"node with dot", func(c *gateway.Config) { c.Node = "a.b" }, "node: "},
		{"reserved node", func(c *gateway.Config) { c.Node = "self" }, "node: "},
		{"node", func(c *gateway.Config) { c.Node = "fra-1" }, ""},
		{"no data", func(c *gateway.Config) { c.Data = "" }, "data: "},
		{"negative time", func(c *gateway.Config) { c.DrainDeadline = -1 }, "drain-deadline: "},
		{"a timeout below one check", func(c *gateway.Config) { c.ConsentTimeout = time.Second }, "consent-timeout: want 10s to 10m0s"},
		{"no timeout", func(c *gateway.Config) { c.ConsentTimeout = 0 }, "consent-timeout: "},
		{"negative limit", func(c *gateway.Config) { c.MaxRooms = -1 }, "max-rooms"},
		{"TURN", func(c *gateway.Config) { c.Later.TURN = "127.0.0.1:3478" }, "turn: not in this version"},
		{"TURN off", func(c *gateway.Config) { c.Later.TURN = "off" }, ""},
		{"for everybody, with a URL of keys", func(c *gateway.Config) { c.HTTP, c.AuthJWKS = "0.0.0.0:8080", "https://example.com/keys" }, ""},
		{"for everybody, with a service", func(c *gateway.Config) {
			c.HTTP, c.AuthWebhook, c.AuthWebhookSecretFile = "0.0.0.0:8080", "https://example.com/ask", "secrets"
		}, ""},
		{"a service without a secret", func(c *gateway.Config) { c.AuthWebhook = "https://example.com/ask" }, "auth-webhook-secret-file"},
		{"open without a service", func(c *gateway.Config) { c.AuthWebhookFailOpen = true }, "auth-webhook-fail-open: "},
		{"an audience of nobody", func(c *gateway.Config) { c.AuthAudience = "sluice" }, "auth-audience: "},
		{"keys that are no URL", func(c *gateway.Config) { c.AuthJWKS = "keys.json" }, "auth-jwks: "},
		{"for everybody, with keys", func(c *gateway.Config) { c.HTTP, c.AuthKeyFile = "0.0.0.0:8080", "keys" }, ""},
		{"cluster", func(c *gateway.Config) { c.Later.Cluster = "127.0.0.1:8300" }, "cluster: not in this version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := defaults(t)
			tc.change(&cfg)
			err := cfg.Check()
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && err == nil:
				t.Errorf("taken, want an error with %q", tc.want)
			case tc.want != "" && !strings.Contains(err.Error(), tc.want):
				t.Errorf("got %q, want %q in it", err, tc.want)
			}
		})
	}
}

func TestCheckTellsEverythingAtOnce(t *testing.T) {
	cfg := defaults(t)
	cfg.HTTP, cfg.Admin, cfg.Node = "x", "y", "a.b"
	err := cfg.Check()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"http: ", "admin: ", "node: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

func TestSampleIsRight(t *testing.T) {
	sample := gateway.Sample()
	bare := regexp.MustCompile(`(?m)^#([a-z-]+: )`).ReplaceAllString(sample, "$1")
	if bare == sample {
		t.Fatal("the sample has no settings")
	}
	for name, text := range map[string]string{"as printed": sample, "uncommented": bare} {
		values, err := gateway.ParseFile([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cfg, err := gateway.FromValues(values)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := defaults(t); !reflect.DeepEqual(cfg, want) {
			t.Errorf("%s: got %+v, want the defaults %+v", name, cfg, want)
		}
	}
	values, err := gateway.ParseFile([]byte(bare))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := values["http"]; !ok || len(values) < 15 {
		t.Errorf("the sample has %d settings", len(values))
	}
	path := filepath.Join(t.TempDir(), "sample.yaml")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := gateway.CheckFile(path); err != nil {
		t.Errorf("config check refuses config sample: %v", err)
	}
}

func TestDocsAreGenerated(t *testing.T) {
	path, want := filepath.Join("..", "docs", "configuration.md"), gateway.Markdown()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/configuration.md is not what the settings say: go test ./gateway -run Docs -update")
	}
	for _, o := range []string{"--http", "SLUICE_AUTH_TOKEN_FILE", "--drain-deadline"} {
		if !strings.Contains(want, o) {
			t.Errorf("the document does not mention %s", o)
		}
	}
}

func TestParseFile(t *testing.T) {
	values, err := gateway.ParseFile([]byte("http: 127.0.0.1:0 # free port\nopen: true\nmax-rooms: 12\ndrain-deadline: \"10s\"\n" +
		"advertise:\n  - 192.0.2.1\n  - 2001:db8::1\nurl: 'https://example.com'\n"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := gateway.FromValues(values)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults(t)
	want.HTTP, want.Open, want.MaxRooms, want.URL = "127.0.0.1:0", true, 12, "https://example.com"
	want.DrainDeadline = 10e9
	want.Advertise = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got %+v, want %+v", cfg, want)
	}
}

func TestParseFileRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "http: 127.0.0.1:0\nhtpp: x\n", "test.yaml:2: htpp: there is no such setting"},
		{"underscore", "\n\nmax_rooms: 3\n", "test.yaml:3: max_rooms: there is no such setting; did you mean max-rooms?"},
		{"not a number", "max-rooms: many\n", "test.yaml:1: max-rooms: "},
		{"duration without unit", "drain-deadline: 300\n", "test.yaml:1: drain-deadline: "},
		{"not a bool", "open: perhaps\n", "test.yaml:1: open: "},
		{"not an address", "advertise: [192.0.2.1, nowhere]\n", "test.yaml:1: advertise: "},
		{"not a level", "log-level: loud\n", "test.yaml:1: log-level"},
		{"a map for a value", "http:\n  host: x\n", "test.yaml:1: http: want a plain value"},
		{"no value", "http:\n", "test.yaml:1: http: has no value"},
		{"list of lists", "advertise: [[192.0.2.1]]\n", "test.yaml:1: advertise: "},
		{"file in file", "config: other.yaml\n", "test.yaml:1: config: cannot be set in the file"},
		{"twice", "open: true\nopen: false\n", "test.yaml:2: "},
		{"a list", "- http\n", "test.yaml:1: want lines"},
		{"no YAML", "http: [\n", "test.yaml:1: "},
		{"alias", "http: &a 127.0.0.1:0\nadmin: *a\n", "test.yaml:1: http: want a plain value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := gateway.ParseFile([]byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	_, err := gateway.ParseFile([]byte("a: 1\nb: 2\nmax-rooms: x\n"))
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("got %v, want three faults at once", err)
	}
}

func TestCheckFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"unsafe.yaml": "http: 0.0.0.0:80\n",
		"large.yaml":  strings.Repeat("#\n", 1<<20),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := gateway.CheckFile(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names the file", name, err)
		}
	}
	if err := gateway.CheckFile(filepath.Join(dir, "missing.yaml")); err == nil {
		t.Error("a missing file passes")
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte("http: 127.0.0.1:0\nadvertise: [192.0.2.1]\n"))
	f.Add([]byte("open: yes\n---\nx: 1"))
	f.Add([]byte("? a\n: &x *x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		values, err := gateway.ParseFile(text)
		if err != nil {
			return
		}
		if _, err := gateway.FromValues(values); err != nil {
			t.Errorf("a file that was taken makes no configuration: %v", err)
		}
	})
}
