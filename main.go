// Command sluice is a WebRTC media gateway: WHIP in, WHEP out.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sluicemedia/sluice/gateway"
)

//go:embed openapi.yaml
var openAPI []byte

// commands is the command line.
type commands struct {
	Serve  gateway.Config `cmd:"" default:"withargs" help:"Run a node. This is what sluice does without a command."`
	Config struct {
		Check struct {
			File string `arg:"" placeholder:"FILE" help:"Configuration file."`
		} `cmd:"" help:"Tell what is wrong with a configuration file."`
		Sample struct{} `cmd:"" help:"Print a configuration file with every setting and its default."`
	} `cmd:"" help:"Check or make a configuration file."`
	Conformance judging  `cmd:"" help:"Judge any WHIP and WHEP server. Exit status: 0 no MUST fails, 1 one does, 2 could not run."`
	Bench       loading  `cmd:"" help:"Load any WHIP and WHEP server and measure it. Exit status: 0 every viewer was served, 1 one was not, 2 could not run."`
	Token       minting  `cmd:"" help:"Make a JSON Web Token that says who may do what in which rooms, and print it."`
	Version     struct{} `cmd:"" help:"Print the version, the commit, Go and the modules."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal stops the node; the second finds no handler and ends
	// the process at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var usage *kong.ParseError
	var status *statusError
	switch {
	case err == nil:
	case errors.As(err, &status):
		if status.err != nil {
			fmt.Fprintf(os.Stderr, "sluice: %v\n", err)
		}
		os.Exit(status.status)
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "sluice: %v\nsluice --help lists what there is.\n", err)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "sluice: %v\n", err)
		os.Exit(1)
	}
}

// run does what the arguments ask for.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cmd, name, err := parse(args, stdout)
	if err != nil || name == "help" {
		return err
	}
	switch name {
	case "config check <file>":
		if err := gateway.CheckFile(cmd.Config.Check.File); err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, "ok")
	case "config sample":
		_, err = io.WriteString(stdout, gateway.Sample())
	case "conformance":
		err = judge(ctx, cmd.Conformance, stdout, stderr)
	case "bench":
		err = load(ctx, cmd.Bench, stdout, stderr)
	case "token":
		err = mintToken(cmd.Token, stdout)
	case "version":
		_, err = io.WriteString(stdout, version())
	default:
		err = serve(ctx, cmd.Serve, args, stdout, stderr)
	}
	return err
}

// serve runs a node until ctx ends.
func serve(ctx context.Context, cfg gateway.Config, args []string, stdout, stderr io.Writer) error {
	level := new(slog.LevelVar)
	setLevel(level, cfg.LogLevel)
	g, err := gateway.New(withOpenAPI(cfg), newLogger(stderr, cfg.LogFormat, level))
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1) // one that waits says as much as ten
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	g.ReloadOn(func() (gateway.Config, error) {
		cmd, _, err := parse(args, io.Discard)
		if err == nil {
			setLevel(level, cmd.Serve.LogLevel)
		}
		return withOpenAPI(cmd.Serve), err
	}, hangup)
	if err := g.Announce(stdout); err != nil {
		return errors.Join(err, g.Close())
	}
	return g.Run(ctx)
}

func withOpenAPI(cfg gateway.Config) gateway.Config {
	cfg.OpenAPI = openAPI
	return cfg
}

// parse reads the command line, and with it the environment and the file that
// either names. The name is that of the command; it is "help" when that was
// asked for, and printed.
func parse(args []string, stdout io.Writer) (cmd commands, name string, err error) {
	cmd, name, err = parseWith(args, stdout)
	if err != nil || cmd.Serve.File == "" || name != "serve" {
		return cmd, name, err
	}
	file, err := gateway.FileResolver(cmd.Serve.File)
	if err != nil {
		return cmd, name, err
	}
	return parseWith(args, stdout, kong.Resolvers(file))
}

func parseWith(args []string, stdout io.Writer, options ...kong.Option) (cmd commands, name string, err error) {
	helped := false
	options = append(options,
		kong.Name("sluice"),
		kong.Description("A WebRTC media gateway: WHIP in, WHEP out."),
		kong.DefaultEnvars(gateway.EnvPrefix),
		kong.Writers(stdout, io.Discard),
		kong.Exit(func(int) { helped = true }), // --help is all that exits
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	parser, err := kong.New(&cmd, options...)
	if err != nil {
		return cmd, "", fmt.Errorf("read the command line: %w", err)
	}
	kctx, err := parser.Parse(args)
	if helped {
		return cmd, "help", nil
	}
	if err != nil {
		return cmd, "", err
	}
	return cmd, kctx.Command(), nil
}

// newLogger logs text for people and JSON for programs.
func newLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" || format == "auto" && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func setLevel(level *slog.LevelVar, name string) {
	// The command line takes the four names of slog only.
	_ = level.UnmarshalText([]byte(name))
}

// version tells what this binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "sluice, built without module information\n"
	}
	commit, modified := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " (modified)"
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "sluice %s\ncommit %s%s\n%s\n", info.Main.Version, commit, modified, info.GoVersion)
	for _, m := range info.Deps {
		fmt.Fprintf(&b, "%s %s\n", m.Path, m.Version)
	}
	return b.String()
}
