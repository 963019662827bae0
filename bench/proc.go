package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ is 100 on every architecture
// that Go runs on.
const clockTick = 10 * time.Millisecond

// observer watches the server's process and its core, where there is a /proc.
type observer struct {
	proc fs.FS
	pid  int // 0: no process
	core int // less than 0: no core
}

// usage is what was used up to a moment.
type usage struct {
	cpu     time.Duration // user and system, of the process and its descendants
	rss     int64         // KiB
	peak    int64         // KiB, since the process began
	core    time.Duration // that the core was busy with anything
	coreAll time.Duration // that the core was there
}

// now reads what the process and the core used so far.
func (o *observer) now() (u usage, err error) {
	if o.pid > 0 {
		if err := o.addTree(&u); err != nil {
			return u, fmt.Errorf("bench: the server's process: %w", err)
		}
	}
	if o.core >= 0 {
		text, err := fs.ReadFile(o.proc, "stat")
		if err == nil {
			u.core, u.coreAll, err = parseCore(string(text), o.core)
		}
		if err != nil {
			return u, fmt.Errorf("bench: the server's core: %w", err)
		}
	}
	return u, nil
}

// addTree adds the process and its descendants. One that ends meanwhile is left out,
// except the first.
func (o *observer) addTree(u *usage) error {
	if err := o.add(o.pid, u); err != nil {
		return err
	}
	children, err := o.children()
	if err != nil {
		return err
	}
	queue := []int{o.pid}
	for len(queue) > 0 {
		next := children[queue[0]]
		queue = append(queue[1:], next...)
		for _, pid := range next {
			if err := o.add(pid, u); err != nil && !gone(err) {
				return err
			}
		}
	}
	return nil
}

// gone is a process that has ended: its files are not there, or empty.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoProcess)
}

func (o *observer) children() (map[int][]int, error) {
	entries, err := fs.ReadDir(o.proc, ".")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := fs.ReadFile(o.proc, e.Name()+"/stat")
		if err != nil {
			continue // it has ended, or is not ours to see
		}
		if s, err := parseStat(text); err == nil {
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	return children, nil
}

func (o *observer) add(pid int, u *usage) error {
	dir := strconv.Itoa(pid)
	text, err := fs.ReadFile(o.proc, dir+"/stat")
	if err != nil {
		return err
	}
	s, err := parseStat(text)
	if err != nil {
		return err
	}
	text, err = fs.ReadFile(o.proc, dir+"/status")
	if err != nil {
		return err
	}
	rss, peak := parseStatus(string(text))
	u.cpu += s.cpu
	u.rss += rss
	u.peak += peak
	return nil
}

var errNoProcess = errors.New("no process")

// procStat is what is needed of /proc/PID/stat.
type procStat struct {
	parent int
	cpu    time.Duration
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The name of the program is in
// brackets and may hold anything.
func parseStat(text []byte) (s procStat, err error) {
	i := bytes.LastIndexByte(text, ')')
	if i < 0 {
		return s, errNoProcess
	}
	f := strings.Fields(string(text[i+1:])) // field 3, the state, is the first
	if len(f) < 13 {
		return s, errors.New("stat: too few fields")
	}
	parent, err := strconv.Atoi(f[1])
	user, userErr := strconv.ParseInt(f[11], 10, 64)
	system, systemErr := strconv.ParseInt(f[12], 10, 64)
	if err := errors.Join(err, userErr, systemErr); err != nil {
		return s, fmt.Errorf("stat: %w", err)
	}
	return procStat{parent, time.Duration(user+system) * clockTick}, nil
}

// parseStatus reads the memory of /proc/PID/status, in KiB. A process that is ending
// has none.
func parseStatus(text string) (rss, peak int64) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		f := strings.Fields(value)
		if len(f) == 0 {
			continue
		}
		n, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			rss = n
		case "VmHWM":
			peak = n
		}
	}
	return rss, peak
}

// parseCore reads the line of one core in /proc/stat.
func parseCore(text string, core int) (busy, all time.Duration, err error) {
	const idle, ioWait, guest = 3, 4, 8
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < guest || f[0] != "cpu"+strconv.Itoa(core) {
			continue
		}
		for i, value := range f[1:min(len(f), guest+1)] { // guest time is in user time already
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("stat: %w", err)
			}
			all += time.Duration(n) * clockTick
			if i != idle && i != ioWait {
				busy += time.Duration(n) * clockTick
			}
		}
		return busy, all, nil
	}
	return 0, 0, fmt.Errorf("there is no core %d", core)
}
