//go:build linux

package gatewaytest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a test runs. The test's end kills it and what it
// started; when the test failed, its output is shown.
type Process struct {
	Name string

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of its end; read after done

	mu     sync.Mutex // guards output
	output []string   // the last lines of both outputs

	onLine func(line string) (keep bool) // nil: keep all
}

const keptLines = 400

// StartProcess runs cmd. OnLine, when not nil, sees each line of its output,
// both streams together, as it comes, and tells which to keep for Output.
func StartProcess(t testing.TB, name string, cmd *exec.Cmd, onLine func(line string) (keep bool)) *Process {
	t.Helper()
	p := &Process{Name: name, cmd: cmd, done: make(chan struct{}), onLine: onLine}
	// A group of its own, so that its children can be ended with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		t.Fatalf("%s: %v", name, err)
	}
	var read sync.WaitGroup
	read.Go(func() { p.read(r) })
	go func() { // waited for by the cleanup through done
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		r.Close()
		read.Wait()
		if t.Failed() {
			for _, line := range p.Output() {
				t.Logf("%s: %s", name, line)
			}
		}
	})
	return p
}

// read takes the output line by line until the pipe is closed.
func (p *Process) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if p.onLine != nil && !p.onLine(lines.Text()) {
			continue
		}
		p.mu.Lock()
		if len(p.output) == keptLines {
			p.output = append(p.output[:0], p.output[1:]...)
		}
		p.output = append(p.output, lines.Text())
		p.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, r) // after an endless line: the process must not block
}

// Output returns the last lines that the process wrote.
func (p *Process) Output() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.output...)
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended; nil means status 0. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends a signal to the process alone.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Stop asks the process to end by s and kills it when it did not within wait.
// It returns how the process ended.
func (p *Process) Stop(s syscall.Signal, wait time.Duration) error {
	if err := p.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(wait):
		p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %v of %v", p.Name, wait, s)
	}
}

// signal sends a signal to the process and all its children.
func (p *Process) signal(s syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, s) // fails when all have ended
}

// Tool returns the path of a program that scripts/deps provides, below the tool
// folder or installed. A test that needs it fails without it.
func Tool(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{filepath.Join(Tools(t), "clients"), filepath.Join(Tools(t), "bin"), "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not there: run scripts/deps", name)
	return ""
}

// Tools is the folder where scripts/deps keeps what it unpacks and builds:
// $SLUICE_TOOLS, else .tools beside go.mod.
func Tools(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("SLUICE_TOOLS"); dir != "" {
		return dir
	}
	return filepath.Join(Root(t), ".tools")
}

// Root is the folder of go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		t.Fatal("no go.mod above the working directory")
	}
}
