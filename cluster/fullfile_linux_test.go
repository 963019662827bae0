package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

const fullDir = "SLUICE_TEST_FULL_DIR"

// TestNoSpaceChild is the process of TestNoSpace: its limit on the size of
// files is that of the whole process.
func TestNoSpaceChild(t *testing.T) {
	dir := os.Getenv(fullDir)
	if dir == "" {
		return // nobody to do it for
	}
	signal.Ignore(syscall.SIGXFSZ) // then writes fail, as on a full disk
	n, err := Open(t.Context(), Config{Node: "n1", Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, n)
	createRooms(t, n, 0, 3)

	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	small := before
	small.Cur = 256 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	pad := string(make([]byte, 10<<10))
	decided := 3
	for i := 3; ; i++ {
		_, err := n.CreateRoom(t.Context(), Request{}, Room{Name: fmt.Sprintf("room-%03d", i), PasswordHash: pad})
		if errors.Is(err, ErrNoLeader) && errors.Is(err, syscall.EFBIG) {
			break
		}
		if err != nil || i > 200 {
			t.Fatalf("room %d: got %v, want the disk to be full at some time", i, err)
		}
		decided++
	}
	if got := len(n.Rooms("", 0)); got < decided || got > decided+1 {
		t.Errorf("reads while it is full: got %d rooms, want %d", got, decided)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes again", func() bool {
		_, err := n.CreateRoom(t.Context(), Request{ID: "again"}, Room{Name: "again"})
		return err == nil
	})
	fmt.Println("decided", decided)
}

// The kernel refuses to let files grow, for real: at whatever write that
// strikes, the node goes on and has everything that it answered afterwards.
func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoSpaceChild$", "-test.v")
	cmd.Env = append(os.Environ(), fullDir+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var decided int
	for line := range strings.Lines(string(out)) {
		if _, err := fmt.Sscanf(line, "decided %d", &decided); err == nil {
			break
		}
	}
	n := open(t, dir)
	rooms := n.Rooms("", 0)
	if decided < 4 || len(rooms) < decided+1 || len(rooms) > decided+2 {
		t.Errorf("got %d rooms, want %d and the one after\n%s", len(rooms), decided, out)
	}
	if _, ok := n.Room("again"); !ok {
		t.Error("the one after is missing")
	}
}
