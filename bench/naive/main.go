// Command naive is the baseline that Sluice is measured against: what one gets
// from pion in an afternoon. A track is one TrackLocalStaticRTP that every
// viewer's PeerConnection shares, the interceptors are pion's defaults, and all
// media goes through one UDP port. There is one broadcast and no authorization.
//
// It must stay an honest opponent: nothing here may be slower than the library
// makes it, and nothing cleverer than what the library's examples show.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const stopLimit = 2 * time.Second

func main() {
	httpAddr := flag.String("http", "127.0.0.1:0", "`address` of WHIP (/whip) and WHEP (/whep)")
	udpAddr := flag.String("udp", "127.0.0.1:0", "`address` of the one media socket")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *httpAddr, *udpAddr, os.Stdout); err != nil {
		slog.Error("naive ended", "err", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. It says on out where it listens.
func run(ctx context.Context, httpAddr, udpAddr string, out io.Writer) error {
	at, err := net.ResolveUDPAddr("udp", udpAddr)
	if err != nil {
		return fmt.Errorf("naive: media address: %w", err)
	}
	socket, err := net.ListenUDP("udp", at)
	if err != nil {
		return fmt.Errorf("naive: listen for media: %w", err)
	}
	f, err := newForwarder(socket)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	listener, err := net.Listen("tcp", httpAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("naive: listen for HTTP: %w", err), f.Close())
	}
	server := &http.Server{Handler: f.routes()}
	ended := make(chan struct{})
	go func() { // waited for through ended
		defer close(ended)
		<-ctx.Done()
		// Requests under way are few and short; who is not done then is cut off.
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		if server.Shutdown(within) != nil {
			_ = server.Close()
		}
	}()
	_, err = fmt.Fprintf(out, "http %s\nudp  %s\n", listener.Addr(), socket.LocalAddr())
	if err == nil {
		err = server.Serve(listener)
	} else {
		err = errors.Join(err, listener.Close())
	}
	if errors.Is(err, http.ErrServerClosed) {
		<-ended
		err = nil
	}
	return errors.Join(err, f.Close())
}
