package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func config(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPrecedence: flags win over the environment, the environment over the
// file, the file over the default.
func TestPrecedence(t *testing.T) {
	path := config(t, "node: file\nurl: http://file.example\nlog-level: debug\nmax-rooms: 1\nopen: true\n")
	t.Setenv("SLUICE_NODE", "env")
	t.Setenv("SLUICE_URL", "http://env.example")
	t.Setenv("SLUICE_CONFIG", path)
	cmd, name, err := parse([]string{"--node", "flag"}, io.Discard)
	if err != nil || name != "serve" {
		t.Fatalf("got %q, %v", name, err)
	}
	cfg := cmd.Serve
	if cfg.Node != "flag" || cfg.URL != "http://env.example" || cfg.LogLevel != "debug" || cfg.MaxRooms != 1 || !cfg.Open || cfg.HTTP != "127.0.0.1:8080" {
		t.Errorf("got %+v", cfg)
	}
	t.Setenv("SLUICE_OPEN", "false")
	if cmd, _, err = parse(nil, io.Discard); err != nil || cmd.Serve.Open || cmd.Serve.Node != "env" {
		t.Errorf("got %+v, %v", cmd.Serve, err)
	}
}

func TestServeIsTheDefault(t *testing.T) {
	for _, args := range [][]string{nil, {"serve"}, {"--http", "127.0.0.1:0"}, {"serve", "--http=127.0.0.1:0"}} {
		if _, name, err := parse(args, io.Discard); err != nil || name != "serve" {
			t.Errorf("%q: got %q, %v", args, name, err)
		}
	}
}

func TestCommandLineErrors(t *testing.T) {
	bad := config(t, "http: 127.0.0.1:0\nnonsense: 1\n")
	for _, tc := range []struct {
		args  []string
		want  string
		usage bool
	}{
		{[]string{"--nonsense"}, "unknown flag", true},
		{[]string{"dance"}, "unexpected argument", true},
		{[]string{"--drain-deadline", "300"}, "duration", true},
		{[]string{"--log-level", "loud"}, "log-level", true},
		{[]string{"--config", bad}, bad + ":2: nonsense: there is no such setting", false},
		{[]string{"--config", bad + "x"}, "no such file", false},
		{[]string{"config", "check", bad}, bad + ":2: nonsense: there is no such setting", false},
		{[]string{"--turn", "0.0.0.0:3478"}, "turn: not in this version", false},
		{[]string{"--join", "10.0.0.1:8300"}, "join: not in this version", false},
		{[]string{"--http", "0.0.0.0:0"}, "--open", false},
	} {
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second) // a node that starts after all must not run for ever
		err := run(ctx, tc.args, io.Discard, io.Discard)
		stop()
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: got %v, want %q", tc.args, err, tc.want)
		}
		var usage *kong.ParseError
		if errors.As(err, &usage) != tc.usage {
			t.Errorf("%q: a usage error: %t, want %t", tc.args, !tc.usage, tc.usage)
		}
	}
}

func TestCommands(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"version"}, []string{"sluice ", "commit ", "go1."}},
		{[]string{"config", "sample"}, []string{"#http: 127.0.0.1:8080", "#drain-deadline: 300s"}},
		{[]string{"config", "check", config(t, "http: 127.0.0.1:0\n")}, []string{"ok"}},
		{[]string{"--help"}, []string{"serve", "config check", "version"}},
		{[]string{"serve", "--help"}, []string{"--http", "SLUICE_HTTP", "--auth-token-file"}},
	} {
		var out strings.Builder
		if err := run(t.Context(), tc.args, &out, io.Discard); err != nil {
			t.Errorf("%q: %v", tc.args, err)
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q: %q is not in\n%s", tc.args, want, out.String())
			}
		}
	}
}

// TestServe runs the program as "go run ." does, but on free ports.
func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--http", "127.0.0.1:0", "--media", ":0", "--admin", "127.0.0.1:0", "--data", t.TempDir()}, w, io.Discard)
		_ = w.Close() // ends the reader below
		done <- err
	}()
	var url string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if after, ok := strings.CutPrefix(lines.Text(), "publish  "); ok {
			url, _, _ = strings.Cut(after, "/whip/demo")
		}
		if strings.HasPrefix(lines.Text(), "ffmpeg") {
			break
		}
	}
	if url == "" {
		t.Fatalf("no publish URL was printed; run ended with %v", <-done)
	}
	for path, want := range map[string]int{"/openapi.yaml": 200, "/whip/demo": 204, "/": 200, "/play/demo": 200} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // only the status matters
		if resp.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, resp.StatusCode, want)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("the node ended with %v", err)
	}
}
