package gateway

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files must be left alone before they are read: editors
// and certificate tools write in several steps.
const settle = 200 * time.Millisecond

// reloader reads the configuration again when asked to, or when one of its
// files changed. All of it is used by the goroutine of run only.
type reloader struct {
	load func() (Config, error)
	ask  <-chan os.Signal
	now  Config // as last read; settings that need a restart differ from what runs
	log  *slog.Logger
}

// ReloadOn makes Run read the configuration again, by load, whenever a signal
// arrives on ask or one of the files changes: what can be replaced is
// replaced, for the rest the log says that it needs a restart. It must be
// called before Run.
func (g *Gateway) ReloadOn(load func() (Config, error), ask <-chan os.Signal) {
	g.reload = &reloader{load: load, ask: ask, now: g.cfg, log: g.log}
}

func (r *reloader) run(ctx context.Context, g *Gateway) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		r.log.Warn("files cannot be watched: send SIGHUP after changing them", "err", err)
		watcher = &fsnotify.Watcher{} // its nil channels never deliver
	} else {
		defer func() { _ = watcher.Close() }() // nobody looks any more
	}
	seen := r.watch(watcher)
	quiet := time.NewTimer(settle)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.ask:
			r.reload(g)
		case <-watcher.Events:
			// Directories are watched, since files are replaced by renaming
			// and by moving links; whose event it was says little.
			quiet.Reset(settle)
			continue
		case err := <-watcher.Errors:
			r.log.Warn("watching files failed: send SIGHUP after changing them", "err", err)
			continue
		case <-quiet.C:
			if reflect.DeepEqual(seen, r.states()) {
				continue
			}
			r.reload(g)
		}
		seen = r.watch(watcher)
	}
}

// files are those that a reload reads.
func (r *reloader) files() []string {
	var files []string
	for _, f := range []string{r.now.File, r.now.AuthTokenFile, r.now.AuthKeyFile, r.now.AuthWebhookSecretFile, r.now.ICEServersFile, r.now.WebhookSecretFile, r.now.TLSCert, r.now.TLSKey} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}

// state is what tells that a file was changed or replaced.
type state struct {
	modified time.Time
	size     int64
	exists   bool
}

func (r *reloader) states() map[string]state {
	states := map[string]state{}
	for _, f := range r.files() {
		info, err := os.Stat(f)
		if err != nil {
			states[f] = state{}
			continue
		}
		states[f] = state{info.ModTime(), info.Size(), true}
	}
	return states
}

// watch follows the directories of the files, and returns the files' states.
// They are taken after the watch began, so that no change falls in between.
func (r *reloader) watch(watcher *fsnotify.Watcher) map[string]state {
	for _, f := range r.files() {
		if watcher.Events == nil {
			break
		}
		if err := watcher.Add(filepath.Dir(f)); err != nil {
			r.log.Warn("file cannot be watched: send SIGHUP after changing it", "file", f, "err", err)
		}
	}
	return r.states()
}

// reload replaces what can be replaced. On any error everything stays.
func (r *reloader) reload(g *Gateway) {
	cfg, err := r.load()
	if err == nil {
		err = cfg.Check() // as it will be after a restart
	}
	if err == nil {
		err = effective(cfg, &g.cfg).Check()
	}
	if err == nil && cfg.hasTLS() != g.cfg.hasTLS() {
		r.log.Warn("setting needs a restart", "setting", "tls-cert")
		cfg.TLSCert, cfg.TLSKey = r.now.TLSCert, r.now.TLSKey
	}
	if err == nil {
		err = g.loadFiles(&cfg)
	}
	if err != nil {
		r.log.Error("configuration not reloaded: the old one stays", "err", err)
		return
	}
	before, after := reflect.ValueOf(r.now), reflect.ValueOf(cfg)
	for _, o := range options() {
		if !o.reload && !reflect.DeepEqual(before.FieldByIndex(o.index).Interface(), after.FieldByIndex(o.index).Interface()) {
			r.log.Warn("setting needs a restart", "setting", o.name)
		}
	}
	r.now = cfg
	r.log.Info("configuration reloaded")
}

// effective is what the node would run with: the settings that it was started
// with, and the reloadable ones of cfg. A file that moves --http to loopback
// and takes the tokens away is right, but the node still listens to everybody.
func effective(cfg Config, started *Config) *Config {
	running := *started
	from, to := reflect.ValueOf(cfg), reflect.ValueOf(&running).Elem()
	for _, o := range options() {
		if o.reload {
			to.FieldByIndex(o.index).Set(from.FieldByIndex(o.index))
		}
	}
	return &running
}
