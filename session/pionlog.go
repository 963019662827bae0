package session

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLogs hands what pion logs to slog, all of it at debug level: pion warns
// and reports errors about what peers send, and a peer must not be able to fill
// the log of the node.
type pionLogs struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (f pionLogs) NewLogger(scope string) logging.LeveledLogger {
	return pionLog{f.log.With("scope", scope)}
}

type pionLog struct{ log *slog.Logger }

func (l pionLog) print(text string) { l.log.Debug("pion says", "text", text) }

func (l pionLog) printf(format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) { //nolint:forbidigo // pion has none to give
		l.print(fmt.Sprintf(format, args...))
	}
}

// Trace implements logging.LeveledLogger; what pion calls a trace is one line a
// packet and never wanted here.
func (l pionLog) Trace(string)          {}
func (l pionLog) Tracef(string, ...any) {}

func (l pionLog) Debug(msg string)          { l.print(msg) }
func (l pionLog) Debugf(f string, a ...any) { l.printf(f, a) }
func (l pionLog) Info(msg string)           { l.print(msg) }
func (l pionLog) Infof(f string, a ...any)  { l.printf(f, a) }
func (l pionLog) Warn(msg string)           { l.print(msg) }
func (l pionLog) Warnf(f string, a ...any)  { l.printf(f, a) }
func (l pionLog) Error(msg string)          { l.print(msg) }
func (l pionLog) Errorf(f string, a ...any) { l.printf(f, a) }
