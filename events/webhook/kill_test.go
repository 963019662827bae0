package webhook_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events/webhook"
)

const (
	childDir   = "SLUICE_TEST_OUTBOX"
	childURL   = "SLUICE_TEST_ENDPOINT"
	childLife  = "SLUICE_TEST_LIFE"
	childRooms = 5
)

// child puts events until it is killed, and prints how many rounds are on disk.
// The rooms of each life have their own names: rounds begin at 1 again.
func child(dir, url string) int {
	raw, err := base64.StdEncoding.DecodeString(secretOne[len("whsec_"):])
	if err != nil {
		return 3
	}
	cfg := webhook.DefaultConfig()
	cfg.Path, cfg.URLs, cfg.Secrets = filepath.Join(dir, "webhooks.db"), []string{url}, []webhook.Secret{raw}
	cfg.MinWait, cfg.MaxWait, cfg.Log = 5*time.Millisecond, 100*time.Millisecond, slog.New(slog.NewTextHandler(os.Stderr, nil))
	o, err := webhook.Open(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	life := os.Getenv(childLife)
	for n := 1; ; n++ {
		for room := range childRooms {
			o.Put(event(life+"-"+strconv.Itoa(room), n))
		}
		if err := o.Sync(context.Background()); err != nil {
			return 6
		}
		fmt.Println(n)
	}
}

// producer is a child that runs.
type producer struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func produce(t *testing.T, dir, url, life string) *producer {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+url, childLife+"="+life)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &producer{cmd, bufio.NewScanner(out)}
}

// kill ends it with SIGKILL, and returns the last round that it said was on disk.
func (p *producer) kill(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	last := p.read(t, 1<<30)
	if err := p.cmd.Wait(); err == nil {
		t.Error("it ended by itself")
	}
	return last
}

// read reads until a round is on disk, or the child is dead.
func (p *producer) read(t *testing.T, until int) (last int) {
	t.Helper()
	for last < until && p.lines.Scan() {
		var err error
		if last, err = strconv.Atoi(p.lines.Text()); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// TestKilled: the receiver is down, and the process is killed in between, also
// while it delivers. What was on disk arrives, in order in each room.
func TestKilled(t *testing.T) {
	r := newReceiver(t)
	r.does(status(http.StatusServiceUnavailable))
	dir := t.TempDir()
	onDisk := map[string]int{} // by life
	for i := range 4 {
		if i == 2 {
			r.does(nil) // from here on it is killed while it delivers
		}
		life := "life" + strconv.Itoa(i)
		p := produce(t, dir, r.server.URL, life)
		before := r.has()
		acknowledged := p.read(t, 20)
		if i >= 2 {
			eventually(t, "it delivers", func() bool { return r.has() > before+20 })
		}
		onDisk[life] = max(acknowledged, p.kill(t))
		if acknowledged < 20 {
			t.Fatalf("%s: the child ended after %d rounds", life, acknowledged)
		}
	}
	cfg := quick(t, r.server.URL)
	cfg.Path = filepath.Join(dir, "webhooks.db")
	o := open(t, cfg)
	eventually(t, "everything on disk arrives", func() bool { return only(t, o).Backlog == 0 })
	counts := r.inOrder()
	for life, want := range onDisk {
		for room := range childRooms {
			if n := counts[life+"-"+strconv.Itoa(room)]; n < want {
				t.Errorf("%s-%d: %d events arrived, %d were on disk", life, room, n, want)
			}
		}
	}
	t.Logf("%d events, %d requests", r.has(), len(r.requests()))
}
