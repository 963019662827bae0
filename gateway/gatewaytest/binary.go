//go:build linux

package gatewaytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// Binary is a node that runs as users run it: the built program, in a process
// and a folder of its own.
type Binary struct {
	*Process
	URL   string // base URL, without a slash at its end
	Admin string // HOST:PORT of metrics and health
}

// BinaryOptions say how a program is started.
type BinaryOptions struct {
	Host      string     // "" is 127.0.0.1; [::1] with its brackets
	Namespace *Namespace // nil: here
	Flags     []string
	// Command runs the node; nil: the program built from this tree. The flags
	// are added to it.
	Command []string
	Dir     string // working folder; "": an empty one
}

const binaryStart = 2 * time.Minute // "go run" compiles first

var (
	published = regexp.MustCompile(`^publish +(https?://\S+)/whip/demo`)
	admin     = regexp.MustCompile(`^admin +(\S+:\d+)`)
)

// StartBinary runs a node on free ports until Stop or the end of the test.
func StartBinary(t testing.TB, o BinaryOptions) *Binary {
	t.Helper()
	host := o.Host
	if host == "" {
		host = "127.0.0.1"
	}
	command := o.Command
	if command == nil {
		command = []string{Build(t)}
	}
	args := append(command[1:len(command):len(command)],
		"--http", host+":0", "--media", host+":0", "--admin", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data"))
	args = append(args, o.Flags...)
	cmd := exec.Command(command[0], args...)
	if o.Namespace != nil {
		cmd = o.Namespace.Command(t.Context(), command[0], args...)
	}
	cmd.Dir = o.Dir
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir()
	}
	lines := make(chan string, 64) // what is said before the node is up
	up := make(chan struct{})
	b := &Binary{}
	b.Process = StartProcess(t, "sluice", cmd, func(line string) bool {
		select {
		case <-up: // nobody reads any more
		case lines <- line:
		}
		return true
	})
	defer close(up)
	timeout := time.After(binaryStart)
	for b.URL == "" || b.Admin == "" {
		select {
		case line := <-lines:
			if m := published.FindStringSubmatch(line); m != nil {
				b.URL = m[1]
			}
			if m := admin.FindStringSubmatch(line); m != nil {
				b.Admin = m[1]
			}
		case <-b.Done():
			t.Fatalf("the node ended at once: %v", b.Err())
		case <-timeout:
			t.Fatalf("the node announced nothing within %v", binaryStart)
		}
	}
	return b
}

// Build builds the program from this tree and returns its path. When nothing
// changed, it is there already.
func Build(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(Tools(t), "e2e"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sluice")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// Stop ends the node by SIGTERM and returns how it ended.
func (b *Binary) Stop() error { return b.Process.Stop(syscall.SIGTERM, 30*time.Second) }
