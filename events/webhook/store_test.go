package webhook_test

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sluicemedia/sluice/events/webhook"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestInUse(t *testing.T) {
	r := newReceiver(t)
	cfg := quick(t, r.server.URL)
	open(t, cfg)
	if _, err := webhook.Open(cfg); !errors.Is(err, webhook.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
}

// filled makes an outbox with events that wait and one dead letter.
func filled(t *testing.T) webhook.Config {
	t.Helper()
	r := newReceiver(t)
	cfg := quick(t, r.server.URL)
	cfg.Tries = 1
	refuse(r, 1)
	o := open(t, cfg)
	o.Put(event("a", 1))
	eventually(t, "a dead letter", func() bool { return only(t, o).Dead == 1 })
	r.does(status(http.StatusServiceUnavailable))
	for n := 2; n <= 200; n++ {
		o.Put(event("a", n))
	}
	if err := o.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestDamagedFile: whatever is wrong with the file, the node starts, with that
// file set aside or with what could be read of it, and new events are sent.
func TestDamagedFile(t *testing.T) {
	source := filled(t)
	good, err := os.ReadFile(source.Path)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string][]byte{
		"empty":     {},
		"text":      []byte(strings.Repeat("no database\n", 2000)),
		"cut":       good[:len(good)/3],
		"one page":  good[:4096],
		"zeros":     make([]byte, len(good)),
		"no meta":   append(make([]byte, 8192), good[8192:]...),
		"only meta": append(append([]byte{}, good[:8192]...), make([]byte, len(good)-8192)...),
	}
	used := 16 * 4096 // pages that hold something
	for i := range 20 {
		noise := append([]byte{}, good...)
		at := 8192 + rand.IntN(min(len(noise), used)-8192-600)
		for j := range 600 {
			noise[at+j] = byte(rand.Uint32())
		}
		cases["noise "+itoa(i)] = noise
	}
	aside := 0
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			cfg := quick(t, r.server.URL)
			var log strings.Builder
			cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			if err := os.WriteFile(cfg.Path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			o := open(t, cfg)
			o.Put(event("new", 1))
			eventually(t, "a new event arrives", func() bool { return r.has() > 0 })
			if _, _, err := o.Dead("", 10); err != nil {
				t.Logf("dead letters: %v", err)
			}
			found, err := filepath.Glob(cfg.Path + ".damaged-*")
			if err != nil {
				t.Fatal(err)
			}
			if len(found) > 0 {
				aside++
				if kept, err := os.ReadFile(found[0]); err != nil || len(kept) < len(content) {
					t.Errorf("the file that was set aside has %d bytes, %v", len(kept), err)
				}
			}
			if err := o.Close(); err != nil {
				t.Error(err)
			}
			if set := strings.Contains(log.String(), "was set aside"); set != (len(found) > 0) {
				t.Errorf("%d files were set aside, the log says: %s", len(found), log.String())
			}
		})
	}
	if aside < 5 {
		t.Errorf("only %d of %d files were found to be damaged", aside, len(cases))
	}
}

func TestLaterFormat(t *testing.T) {
	cfg := filled(t)
	db, err := bbolt.Open(cfg.Path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("2")) }), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := webhook.Open(cfg); err == nil || !strings.Contains(err.Error(), "later version") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(cfg.Path); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestNoDirectory(t *testing.T) {
	r := newReceiver(t)
	cfg := quick(t, r.server.URL)
	cfg.Path = filepath.Join(cfg.Path, "nothing", "webhooks.db")
	if _, err := webhook.Open(cfg); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestEndpointTakenAway: its events wait in the file for its return, until they
// are too old.
func TestEndpointTakenAway(t *testing.T) {
	cfg := filled(t)
	old := cfg.URLs
	other := newReceiver(t)
	cfg.URLs = []string{other.server.URL}
	o := open(t, cfg)
	o.Put(event("b", 1))
	eventually(t, "the other gets its event", func() bool { return other.has() == 1 })
	if dead := letters(t, o); len(dead) != 1 || !errors.Is(o.Replay(dead[0].ID), webhook.ErrNotFound) {
		t.Errorf("got %v", dead)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.URLs = old
	if s := only(t, open(t, cfg)); s.Backlog != 199 || s.Dead != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*webhook.Config){
		"no secret":   func(c *webhook.Config) { c.Secrets = nil },
		"bad URL":     func(c *webhook.Config) { c.URLs = []string{"ftp://example.com"} },
		"no host":     func(c *webhook.Config) { c.URLs = []string{"https:///path"} },
		"only a port": func(c *webhook.Config) { c.URLs = []string{"https://:443/path"} },
		"not a URL":   func(c *webhook.Config) { c.URLs = []string{"http://a b/\x7f"} },
		"user":        func(c *webhook.Config) { c.URLs = []string{"https://a:secret@example.com"} },
		"fragment":    func(c *webhook.Config) { c.URLs = []string{"https://example.com/#x"} },
		"twice":       func(c *webhook.Config) { c.URLs = append(c.URLs, c.URLs[0]) },
		"too many": func(c *webhook.Config) {
			c.URLs = nil
			for i := range 17 {
				c.URLs = append(c.URLs, "https://example.com/"+itoa(i))
			}
		},
		"no tries":      func(c *webhook.Config) { c.Tries = 0 },
		"no workers":    func(c *webhook.Config) { c.Workers = 0 },
		"no age":        func(c *webhook.Config) { c.MaxAge = 0 },
		"waits crossed": func(c *webhook.Config) { c.MinWait = c.MaxWait + 1 },
		"no room":       func(c *webhook.Config) { c.MaxBytes = 0 },
		"no queue":      func(c *webhook.Config) { c.MaxQueue = 0 },
		"no timeout":    func(c *webhook.Config) { c.Timeout = -time.Second },
	} {
		cfg := quick(t, "https://example.com/?key=secret")
		if err := cfg.Validate(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		change(&cfg)
		err := cfg.Validate()
		if err == nil || strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), "key=") {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := webhook.Open(cfg); err == nil {
			t.Errorf("%s: it was opened", name)
		}
	}
}

// TestSpoiledRecords: what a disk has changed within one record costs that record.
// The node starts, and the events behind it are sent.
func TestSpoiledRecords(t *testing.T) {
	for _, rubbish := range [][]byte{{}, {0xc0, 1, 2}, []byte("null"), []byte("{}"), []byte(`{"body":`), []byte(`{"body":1,"since":"soon"}`)} {
		t.Run(string(rubbish), func(t *testing.T) {
			cfg := filled(t)
			spoil(t, cfg.Path, rubbish)
			r := newReceiver(t)
			cfg.URLs = []string{r.server.URL} // what it left is of another endpoint, and must not matter
			o := open(t, cfg)
			o.Put(event("a", 1000))
			eventually(t, "the new event arrives", func() bool { return r.has() > 0 })
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		})
		t.Run(string(rubbish)+" at the same endpoint", func(t *testing.T) {
			r := newReceiver(t)
			r.does(status(http.StatusServiceUnavailable))
			cfg := quick(t, r.server.URL)
			o := open(t, cfg)
			for n := range 10 {
				o.Put(event("a", n+1))
			}
			if err := errors.Join(o.Sync(t.Context()), o.Close()); err != nil {
				t.Fatal(err)
			}
			spoil(t, cfg.Path, rubbish)
			r.does(status(http.StatusNoContent))
			o = open(t, cfg)
			eventually(t, "all but the spoiled one are taken", func() bool {
				s := only(t, o)
				return s.Backlog == 0 && s.Dropped == 1 && s.Dead == 0
			})
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// spoil overwrites the oldest record of every bucket of a file.
func spoil(t *testing.T, path string, value []byte) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			for _, part := range []string{"pending", "dead"} {
				inner := b.Bucket([]byte(part))
				if inner == nil {
					continue
				}
				if k, _ := inner.Cursor().First(); k != nil {
					n++
					if err := inner.Put(bytes.Clone(k), value); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
	if err := errors.Join(err, db.Close()); err != nil || n == 0 {
		t.Fatalf("%d records spoiled, %v", n, err)
	}
}
