package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// machine is what the figures belong to.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Commit string `json:"commit"`
}

func (m machine) String() string {
	return fmt.Sprintf("commit %s; %d cores of %s; %s; %s", m.Commit, m.Cores, m.CPU, m.Kernel, m.Go)
}

// describe reads what the machine says of itself; what it does not say is "?".
func describe(ctx context.Context, root string) machine {
	m := machine{CPU: "?", Cores: runtime.NumCPU(), Kernel: "?", Go: runtime.Version(), Commit: "?"}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = cpuName(string(b))
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(b))
	}
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--exclude=*")
	cmd.Dir = root
	if b, err := cmd.Output(); err == nil {
		m.Commit = strings.TrimSpace(string(b))
	}
	return m
}

// cpuName tells the first CPU of /proc/cpuinfo. Virtual machines often hide the
// name, so family and model are told too.
func cpuName(info string) string {
	fields := map[string]string{}
	first, _, _ := strings.Cut(info, "\n\n")
	for line := range strings.Lines(first) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	if fields["model name"] == "" {
		return "?"
	}
	return fmt.Sprintf("%s (family %s, model %s)", fields["model name"], fields["cpu family"], fields["model"])
}

// moduleRoot is the folder of go.mod, from the working folder.
func moduleRoot(ctx context.Context) (string, error) {
	b, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("paired: find the module: %w", err)
	}
	file := strings.TrimSpace(string(b))
	if file == "" || file == os.DevNull {
		return "", fmt.Errorf("paired: start it inside the tree of Sluice")
	}
	return filepath.Dir(file), nil
}
