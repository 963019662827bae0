package webhook_test

import (
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events/webhook"
)

// small mounts a disk of a few megabytes.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("mount a small disk, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestDiskFull: events wait in memory while the disk is full, Put does not wait,
// what does not fit is counted, and all that was kept arrives in order when
// there is room again.
func TestDiskFull(t *testing.T) {
	r := newReceiver(t)
	r.does(status(http.StatusServiceUnavailable))
	dir := small(t, "2m")
	cfg := quick(t, r.server.URL)
	cfg.Path, cfg.MaxQueue = filepath.Join(dir, "webhooks.db"), 200*1024
	o := open(t, cfg)
	o.Put(event("a", 1))
	if err := o.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	n := 1
	eventually(t, "the disk refuses and memory is full", func() bool {
		for range 100 {
			if o.Stats().Lost > 0 {
				return true
			}
			n++
			began := time.Now()
			o.Put(event("a", n))
			if took := time.Since(began); took > time.Second {
				t.Fatalf("Put took %v", took)
			}
		}
		return false
	})
	kept := n - int(o.Stats().Lost)
	eventually(t, "failed writes are counted", func() bool { return o.Stats().FailedWrites > 1 })
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := o.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.does(nil)
	eventually(t, "what was kept arrives", func() bool { return r.has() == kept && only(t, o).Backlog == 0 })
	if got := r.inOrder()["a"]; got != kept {
		t.Errorf("the last is %d, want %d", got, kept)
	}
	t.Logf("%d kept, %d lost, %d writes failed", kept, o.Stats().Lost, o.Stats().FailedWrites)
}

// fill takes all room that a disk has.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStopWithAFullDisk: the stop does not wait for a disk that takes nothing.
func TestStopWithAFullDisk(t *testing.T) {
	r := newReceiver(t)
	dir := small(t, "1m")
	cfg := quick(t, r.server.URL)
	cfg.Path, cfg.Recover = filepath.Join(dir, "webhooks.db"), time.Hour
	r.does(status(http.StatusServiceUnavailable))
	o, err := webhook.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(dir, "filler"))
	for n := 1; o.Stats().FailedWrites == 0; n++ {
		o.Put(event("a", n))
	}
	began := time.Now()
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if o.Stats().Lost == 0 {
		t.Error("what was in memory is not counted as lost")
	}
}
