package bench

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// process is the files of one process.
func process(into fstest.MapFS, pid, name, parent string, user, system string, memory string) {
	into[pid+"/stat"] = &fstest.MapFile{Data: []byte(pid + " (" + name + ") S " + parent + " 1 1 0 -1 4194560 1 2 3 4 " + user + " " + system + " 0 0 20 0 9 0 1 2 3")}
	into[pid+"/status"] = &fstest.MapFile{Data: []byte("Name:\t" + name + "\n" + memory)}
}

func TestObserver(t *testing.T) {
	proc := fstest.MapFS{"stat": {Data: []byte(`cpu  1 1 1 1 1 1 1 1 1 1
cpu0 100 10 50 800 20 3 7 10 0 0
cpu10 9 9 9 9 9 9 9 9 9 9
cpu1 1 2 3 4 5 6 7 8 100 100
intr 1
`)}}
	process(proc, "10", "a server) S (x", "1", "150", "50", "VmHWM:\t  3000 kB\nVmRSS:\t  2000 kB\n")
	process(proc, "11", "child", "10", "3", "2", "VmRSS:\t 100 kB\nVmHWM:\t 200 kB\n")
	process(proc, "12", "grandchild", "11", "1", "0", "")
	process(proc, "13", "stranger", "1", "1000", "1000", "VmRSS:\t 9999 kB\n")
	process(proc, "14", "gone child", "10", "7", "7", "")
	delete(proc, "14/status")
	proc["15/stat"] = &fstest.MapFile{}

	u, err := (&observer{proc: proc, pid: 10, core: 0}).now()
	if err != nil {
		t.Fatal(err)
	}
	// 200 ticks of the process, 5 and 1 of those below it, 10 ms each.
	if want := 2060 * time.Millisecond; u.cpu != want || u.rss != 2100 || u.peak != 3200 {
		t.Errorf("got %+v, want cpu %v, rss 2100, peak 3200", u, want)
	}
	if u.core != 1800*time.Millisecond || u.coreAll != 10*time.Second {
		t.Errorf("core: %v of %v, want 1.8 s of 10 s", u.core, u.coreAll)
	}
	u, err = (&observer{proc: proc, core: 1}).now()
	if err != nil || u.cpu != 0 || u.core != 270*time.Millisecond || u.coreAll != 360*time.Millisecond {
		t.Errorf("core 1: got %+v, %v: guest time must not count twice", u, err)
	}
}

func TestObserverFaults(t *testing.T) {
	proc := fstest.MapFS{
		"stat":      {Data: []byte("cpu0 1 2 x 4 5 6 7 8\n")},
		"1/stat":    {Data: []byte("1 (a) S 0 1")},
		"2/stat":    {Data: []byte("2 (a) S 0 1 1 0 -1 4194560 1 2 3 4 many 50 0")},
		"3/stat":    {Data: []byte("nothing")},
		"3/status":  {},
		"10/status": {},
	}
	for _, tc := range []struct {
		o    observer
		want string
	}{
		{observer{pid: 9, core: -1}, "not exist"},
		{observer{pid: 1, core: -1}, "too few fields"},
		{observer{pid: 2, core: -1}, "many"},
		{observer{pid: 3, core: -1}, errNoProcess.Error()},
		{observer{core: 5}, "no core 5"},
		{observer{core: 0}, "invalid syntax"},
	} {
		tc.o.proc = proc
		if _, err := tc.o.now(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.o, err, tc.want)
		}
	}
}

// TestObserverOfThis reads this process, on systems that let it.
func TestObserverOfThis(t *testing.T) {
	o := observer{proc: os.DirFS("/proc"), pid: os.Getpid(), core: -1}
	u, err := o.now()
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no /proc")
	}
	if err != nil || u.rss == 0 || u.peak < u.rss {
		t.Errorf("got %+v, %v", u, err)
	}
	own, err := selfCPU()
	if err != nil || own <= 0 || own < u.cpu-time.Second {
		t.Errorf("own CPU time is %v, %v; /proc says %v", own, err, u.cpu)
	}
}
