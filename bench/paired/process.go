package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startLimit = 15 * time.Second // from start until a server has said where it listens
	stopLimit  = 10 * time.Second // from SIGTERM until a process is killed
	outputKept = 64 << 10         // of what a process says
	linesTold  = 12               // of it, in error messages
)

// A side is one of the two servers.
type side string

const (
	sluice side = "sluice"
	naive  side = "naive"
)

// programs are the paths of what was built. The generator is a command of sluice.
type programs struct{ sluice, naive, generator string }

// build builds both servers from the tree at root into dir.
func build(ctx context.Context, root, dir string) (programs, error) {
	p := programs{sluice: filepath.Join(dir, "sluice"), naive: filepath.Join(dir, "naive")}
	p.generator = p.sluice
	for path, pkg := range map[string]string{p.sluice: ".", p.naive: "./bench/naive"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, pkg)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return p, fmt.Errorf("paired: build %s: %w\n%s", pkg, err, out)
		}
	}
	return p, nil
}

// pinned is a command that runs on one core. Taskset becomes the program, so
// the process ID is the program's. The end of ctx is a SIGTERM, and a SIGKILL
// when that does not help.
func pinned(ctx context.Context, core int, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(core), program}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopLimit
	return cmd
}

// A server is a process that is being measured.
type server struct {
	whip, whep string
	pid        int

	stop  context.CancelFunc
	ended <-chan error // its end, once
	said  *tail
}

// start runs a server on a core. The folder is its own.
func start(ctx context.Context, p programs, s side, core int, dir string) (*server, error) {
	ctx, cancel := context.WithCancel(ctx)
	var cmd *exec.Cmd
	if s == naive {
		cmd = pinned(ctx, core, p.naive, "-http", "127.0.0.1:0", "-udp", "127.0.0.1:0")
	} else {
		cmd = pinned(ctx, core, p.sluice, "serve", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0",
			"--admin", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	}
	said := newTail()
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, said, said
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("paired: start %s: %w", s, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // stop waits for it
	srv := &server{pid: cmd.Process.Pid, stop: cancel, ended: ended, said: said}
	if err := srv.awaitAddress(ctx, s); err != nil {
		return nil, errors.Join(err, srv.close())
	}
	return srv, nil
}

// Where each server says that it listens.
var announced = map[side]*regexp.Regexp{
	sluice: regexp.MustCompile(`(?m)^publish +(https?://\S+)/whip/demo\b`),
	naive:  regexp.MustCompile(`(?m)^http +(\S+)\nudp +\S+$`),
}

func (s *server) awaitAddress(ctx context.Context, which side) error {
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	for {
		more := s.said.more()
		if m := announced[which].FindStringSubmatch(s.said.all()); m != nil {
			if which == naive {
				s.whip, s.whep = "http://"+m[1]+"/whip", "http://"+m[1]+"/whep"
			} else {
				s.whip, s.whep = m[1]+"/whip/demo", m[1]+"/whep/demo"
			}
			return nil
		}
		select {
		case <-more:
		case err := <-s.ended:
			s.ended = closedWith(err)
			return fmt.Errorf("paired: %s ended at once: %w\n%s", which, err, s.said)
		case <-limit.C:
			return fmt.Errorf("paired: %s did not tell within %v where it listens\n%s", which, startLimit, s.said)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// closedWith is a channel from which err can be read once more.
func closedWith(err error) <-chan error {
	c := make(chan error, 1)
	c <- err
	return c
}

// close ends the server and waits for it. That our signal ends it is no error.
func (s *server) close() error {
	s.stop()
	err := <-s.ended
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
			return nil
		}
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// tail keeps the end of what a process says and tells who waits for more.
type tail struct {
	mu    sync.Mutex // guards what follows
	bytes []byte
	grown chan struct{} // closed, and replaced, by the next write
}

var _ io.Writer = (*tail)(nil)

func newTail() *tail { return &tail{grown: make(chan struct{})} }

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, b...)
	if over := len(t.bytes) - outputKept; over > 0 {
		t.bytes = bytes.Clone(t.bytes[over:])
	}
	close(t.grown)
	t.grown = make(chan struct{})
	return len(b), nil
}

// more is closed by the next write.
func (t *tail) more() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.grown
}

// all is what is kept.
func (t *tail) all() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.bytes)
}

// String is the last lines.
func (t *tail) String() string {
	lines := slices.Collect(strings.Lines(t.all()))
	return strings.Join(lines[max(0, len(lines)-linesTold):], "")
}
