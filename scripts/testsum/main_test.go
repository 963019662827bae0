package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// module writes a module with one package and makes it the working directory.
func module(t *testing.T, test string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module example.org/m\n\ngo 1.26\n",
		"m_test.go":   test,
		"sub/s.go":    "package sub\n",
		"sub/doc.txt": "no tests here\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

const header = "package m\n\nimport \"testing\"\n\n"

func TestRun(t *testing.T) {
	tests := []struct {
		name, test string
		sets       []string
		fuzz       time.Duration
		longer     string // of -fuzz-for
		last       string
		failed     int
		shown      string // must be in the output
		hidden     string // must not be
	}{
		{
			name:   "pass, subtests and skip",
			test:   header + `func TestA(t *testing.T) { t.Log("quiet"); t.Run("x", func(*testing.T) {}) }; func TestB(t *testing.T) { t.Skip("because") }`,
			sets:   []string{"./..."},
			last:   "2 passed, 0 failed",
			shown:  "1 skipped\n",
			hidden: "quiet",
		},
		{
			name:   "figures of a passing test",
			test:   header + `func TestFigures(t *testing.T) { t.Log("12 frames"); t.Run("x", func(t *testing.T) { println("noise") }) }; func TestB(t *testing.T) { t.Log("quiet") }`,
			sets:   []string{"./..."},
			last:   "3 passed, 0 failed",
			shown:  "TestFigures: 12 frames\n",
			hidden: "quiet",
		},
		{
			name:   "fail shows why, twice run counts twice",
			test:   header + `func TestA(t *testing.T) { t.Error("the reason") }; func TestB(*testing.T) {}`,
			sets:   []string{"-count=1 ./...", "-count=1 ./..."},
			last:   "2 passed, 2 failed",
			failed: 2,
			shown:  "the reason",
		},
		{
			name:   "does not build",
			test:   header + `func TestA(t *testing.T) { undefined() }`,
			sets:   []string{"./..."},
			last:   "0 passed, 1 failed",
			failed: 1,
			shown:  "undefined: undefined",
		},
		{
			name:   "panic",
			test:   header + `func TestA(t *testing.T) { panic("the cause") }`,
			sets:   []string{"./..."},
			last:   "0 passed, 1 failed",
			failed: 1,
			shown:  "the cause",
		},
		{
			name:   "exit without a failing test",
			test:   "package m\n\nimport (\n\"os\"\n\"testing\"\n)\n\nfunc TestMain(m *testing.M) { m.Run(); os.Exit(3) }; func TestA(*testing.T) {}",
			sets:   []string{"./..."},
			last:   "1 passed, 1 failed",
			failed: 1,
		},
		{
			name:   "unknown argument",
			test:   header,
			sets:   []string{"-no-such-flag"},
			last:   "0 passed, 1 failed",
			failed: 1,
		},
		{
			name:  "fuzz targets are found and fuzzed",
			test:  header + `func FuzzA(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }`,
			fuzz:  100 * time.Millisecond,
			last:  "1 passed, 0 failed",
			shown: "-fuzz=^FuzzA$",
		},
		{
			name:   "a fuzz target has a time of its own",
			test:   header + `func FuzzA(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }; func FuzzAB(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }`,
			fuzz:   100 * time.Millisecond,
			longer: "^FuzzA$=200ms",
			last:   "2 passed, 0 failed",
			shown:  "-fuzz=^FuzzA$ -fuzztime=200ms",
			hidden: "-fuzz=^FuzzAB$ -fuzztime=200ms",
		},
		{
			name:   "no fuzz target has that name",
			test:   header + `func FuzzA(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }`,
			fuzz:   100 * time.Millisecond,
			longer: "^FuzzRenamed$=200ms",
			last:   "1 passed, 1 failed",
			failed: 1,
			shown:  "^FuzzRenamed$",
		},
		{
			name:   "fuzz target fails",
			test:   header + `func FuzzA(f *testing.F) { f.Add([]byte("ab")); f.Fuzz(func(t *testing.T, b []byte) { if len(b) > 1 { t.Error("too long") } }) }`,
			fuzz:   time.Second,
			last:   "0 passed, 1 failed",
			failed: 1,
			shown:  "too long",
		},
		{
			name:   "fuzz target whose time was up",
			test:   "package m\n\nimport (\n\"fmt\"\n\"testing\"\n)\n\n" + `func FuzzA(f *testing.F) { fmt.Println("    context deadline exceeded"); f.Fail() }; func FuzzB(f *testing.F) { f.Log("found"); fmt.Println("    context deadline exceeded"); f.Fail() }; func FuzzC(f *testing.F) { f.Fail() }`,
			fuzz:   time.Second,
			last:   "1 passed, 2 failed",
			failed: 2,
			shown:  "FuzzA: time was up",
			hidden: "FuzzB: time was up",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			module(t, tt.test)
			var out bytes.Buffer
			var longer exceptions
			if tt.longer != "" {
				if err := longer.Set(tt.longer); err != nil {
					t.Fatal(err)
				}
			}
			failed, err := run(t.Context(), &out, tt.sets, fuzzing{tt.fuzz, longer}, regexp.MustCompile("^TestFigures"))
			if err != nil {
				t.Fatal(err)
			}
			text := out.String()
			lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			if last := lines[len(lines)-1]; last != tt.last || failed != tt.failed {
				t.Errorf("got %q and %d failed, want %q and %d\n%s", last, failed, tt.last, tt.failed, text)
			}
			if !strings.Contains(text, tt.shown) {
				t.Errorf("%q is missing in\n%s", tt.shown, text)
			}
			if tt.hidden != "" && strings.Contains(text, tt.hidden) {
				t.Errorf("%q is shown in\n%s", tt.hidden, text)
			}
		})
	}
}

func TestExceptions(t *testing.T) {
	var e exceptions
	for _, bad := range []string{"", "FuzzA", "FuzzA=", "FuzzA=soon", "(=1s", "FuzzA=0s", "FuzzA=-1s"} {
		if err := e.Set(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, good := range []string{"^Fuzz(A|B)$=10m", "=1s"} {
		if err := e.Set(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if got, want := e.String(), "^Fuzz(A|B)$=10m0s =1s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f := fuzzing{time.Second, e[:1]}
	if got := f.of(target{name: "FuzzB"}); got != 10*time.Minute {
		t.Errorf("FuzzB: got %v, want 10m", got)
	}
	if got := f.of(target{name: "FuzzC"}); got != time.Second {
		t.Errorf("FuzzC: got %v, want 1s", got)
	}
}
