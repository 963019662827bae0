package conformance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// sseEvent is one event of a text/event-stream, or one comment, as it stood there.
type sseEvent struct {
	Comment   bool
	Type      string // "": the stream named none
	ID        string // of this event, not of one before
	Data      string // lines joined by line feeds
	DataLines int
	Retry     string
	Other     []string // names of fields that the HTML standard does not know
}

// sseReader reads a text/event-stream line by line (HTML standard, section 9.2).
type sseReader struct {
	lines *bufio.Reader
	next  sseEvent
	any   bool // a field of next was read
}

func newSSEReader(r io.Reader) *sseReader { return &sseReader{lines: bufio.NewReader(r)} }

// read returns the next comment, or the next block of fields at its end. A block
// that the stream breaks off in is none.
func (r *sseReader) read() (sseEvent, error) {
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return sseEvent{}, err
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" && r.any:
			e := r.next
			r.next, r.any = sseEvent{}, false
			return e, nil
		case line == "":
		case line[0] == ':':
			return sseEvent{Comment: true, Data: strings.TrimPrefix(line[1:], " ")}, nil
		default:
			r.field(line)
		}
	}
}

func (r *sseReader) field(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	r.any = true
	e := &r.next
	switch name {
	case "event":
		e.Type = value
	case "id":
		e.ID = value
	case "retry":
		e.Retry = value
	case "data":
		if e.DataLines++; e.DataLines > 1 {
			e.Data += "\n"
		}
		e.Data += value
	default:
		e.Other = append(e.Other, name)
	}
}

// eventStream is an open GET of a stream.
type eventStream struct {
	Header http.Header

	events chan sseEvent // closed when the stream has ended
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// maxStreamed bounds what one stream may send: it is judged, not played.
const maxStreamed = 4 << 20

// openStream sends the GET of an event stream and reads on until the check is
// over. A response other than 200 is returned without a stream.
func (t *T) openStream(at string, change ...func(*Request)) (*eventStream, *Response) {
	r := Request{Method: http.MethodGet, URL: at}.With("Accept", "text/event-stream")
	for _, c := range change {
		c(&r)
	}
	ctx, cancel := context.WithCancel(t.ctx)
	slow := time.AfterFunc(10*time.Second, cancel)
	resp, err := stream(ctx, t.client, r, t.Token())
	if err != nil || !slow.Stop() {
		cancel()
		t.Fatalf("GET of the event stream: expected a response within 10 s, got %v", err)
	}
	head := &Response{Request: r, Status: resp.StatusCode, Header: resp.Header, Proto: resp.Proto}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxResponse)) // what came of it is in the message
		_ = resp.Body.Close()                                         // nothing more is wanted of it
		cancel()
		head.Body = string(bytes.TrimSpace(text))
		return nil, head
	}
	s := &eventStream{Header: resp.Header, events: make(chan sseEvent, 256), cancel: cancel}
	s.done.Go(func() {
		defer close(s.events)
		defer resp.Body.Close()
		reader := newSSEReader(io.LimitReader(resp.Body, maxStreamed))
		for {
			e, err := reader.read()
			if err != nil {
				return
			}
			select {
			case s.events <- e:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(s.Close)
	return s, head
}

// stream is send for a response whose body is read by somebody else.
func stream(ctx context.Context, client *http.Client, r Request, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("conformance: make request: %w", err)
	}
	req.Header = r.Header.Clone()
	if token != "" && !r.Anonymous {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return client.Do(req)
}

// Close ends the stream; more than once is well.
func (s *eventStream) Close() {
	s.cancel()
	s.done.Wait()
}

// next waits for an event of one of some types, or of any when none is named. It
// returns false after d, and when the stream ends.
func (s *eventStream) next(d time.Duration, types ...string) (e sseEvent, ok bool) {
	ok = s.until(d, func(got sseEvent) bool {
		e = got
		return got.is(types)
	})
	return e, ok
}

func (e *sseEvent) is(types []string) bool {
	return !e.Comment && e.DataLines > 0 && (len(types) == 0 || slices.Contains(types, e.Type))
}

// until waits for an event or a comment that ok takes for the last one.
func (s *eventStream) until(d time.Duration, ok func(sseEvent) bool) bool {
	limit := time.NewTimer(d)
	defer limit.Stop()
	for {
		select {
		case e, open := <-s.events:
			if !open {
				return false
			}
			if ok(e) {
				return true
			}
		case <-limit.C:
			return false
		}
	}
}

// ended waits for the end of the stream.
func (s *eventStream) ended(d time.Duration) bool {
	limit := time.NewTimer(d)
	defer limit.Stop()
	for {
		select {
		case _, open := <-s.events:
			if !open {
				return true
			}
		case <-limit.C:
			return false
		}
	}
}
