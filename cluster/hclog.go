package cluster

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLog passes on what raft logs. To raft a lone node that elects itself is
// worth a warning; to an operator only what raft calls an error is news.
type raftLog struct {
	hclog.Logger // the null logger answers the rest
	to           *slog.Logger
}

func newRaftLog(to *slog.Logger) hclog.Logger { return raftLog{hclog.NewNullLogger(), to} }

func (l raftLog) write(level slog.Level, msg string, args []any) {
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	l.to.Log(context.Background(), level, "raft", append([]any{slog.String("event", msg)}, args...)...) //nolint:forbidigo // raft has no context
}

func (l raftLog) Info(msg string, args ...any)  { l.write(slog.LevelDebug, msg, args) }
func (l raftLog) Warn(msg string, args ...any)  { l.write(slog.LevelDebug, msg, args) }
func (l raftLog) Error(msg string, args ...any) { l.write(slog.LevelWarn, msg, args) }

func (l raftLog) With(args ...any) hclog.Logger {
	return raftLog{l.Logger, l.to.With(args...)}
}
func (l raftLog) Named(string) hclog.Logger      { return l }
func (l raftLog) ResetNamed(string) hclog.Logger { return l }
