package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

const crashDir = "SLUICE_TEST_CRASH_DIR"

// acknowledged is one line of the child: a write that was answered.
type acknowledged struct {
	Request  string
	Kind     kind
	Room     string
	Revision uint64
}

const crashWriters = 8

// TestCrashChild is no test but the process that is killed: it writes for ever
// and tells every write that was answered.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		return // nobody to do it for
	}
	n, err := Open(t.Context(), Config{Node: "n1", Dir: dir, Log: slog.New(slog.DiscardHandler), tune: func(r *raft.Config) {
		r.SnapshotThreshold, r.SnapshotInterval, r.TrailingLogs = 64, 5*time.Millisecond, 32
	}})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	var writers sync.WaitGroup
	for w := range crashWriters {
		writers.Go(func() {
			for i := 0; ; i++ {
				a := acknowledged{Request: fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i), Room: fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i/2), Kind: createRoom}
				if i%2 == 1 { // every room is changed once
					a.Kind = updateRoom
				}
				res, err := n.write(t.Context(), a.Kind, Request{ID: a.Request}, roomBody{Room: Room{Name: a.Room, MaxViewers: i}})
				if err != nil {
					t.Error(err)
					return
				}
				a.Revision = res.Room.Revision
				mu.Lock()
				err = out.Encode(a)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	writers.Wait()
}

// runAndKill returns what the child answered before it was killed, somewhere
// between one write and the next.
func runAndKill(t *testing.T, dir string, after int) []acknowledged {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = t.Output()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var answered []acknowledged
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		var a acknowledged
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			if len(answered) == 0 {
				t.Log(lines.Text())
			}
			continue // the last line may be half a line
		}
		if answered = append(answered, a); len(answered) == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if len(answered) < after {
		t.Fatalf("the child ended by itself after %d answers", len(answered))
	}
	return answered
}

func TestKilledNodeKeepsWhatItAnswered(t *testing.T) {
	dir := t.TempDir()
	rounds := 5
	if os.Getenv("SLUICE_LONG") != "" {
		rounds = 50
	}
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	var all []acknowledged
	for kill := range rounds {
		all = append(all, runAndKill(t, dir, 1+rnd.IntN(400))...)
		n := open(t, dir)
		checkAnswered(t, n, all, kill+1)
		shut(t, n)
	}
	t.Logf("%d kills, %d answered writes", rounds, len(all))
}

func checkAnswered(t *testing.T, n *Node, all []acknowledged, kills int) {
	t.Helper()
	rooms := map[string]Room{}
	for _, r := range n.Rooms("", 0) {
		rooms[r.Name] = r
	}
	var last uint64
	latest := map[string]uint64{}
	for _, a := range all {
		last = max(last, a.Revision)
		latest[a.Room] = max(latest[a.Room], a.Revision)
	}
	for name, revision := range latest {
		if r, ok := rooms[name]; !ok || r.Revision < revision {
			t.Errorf("room %s: got %+v %t, want it at revision %d or later", name, r, ok, revision)
		}
	}
	// A room and the outcome of its request are of one command: asked again,
	// it is the first answer, also where nobody heard it.
	unheard := 0
	for name, r := range rooms {
		if latest[name] != 0 {
			continue
		}
		unheard++
		id := name[:strings.LastIndex(name, "-")]
		i := r.MaxViewers
		k := createRoom
		if i%2 == 1 {
			k = updateRoom
		}
		res, err := n.write(t.Context(), k, Request{ID: fmt.Sprintf("%s-%d", id, i)}, roomBody{Room: Room{Name: name}})
		if err != nil || res.Room.Revision != r.Revision {
			t.Errorf("room %s: asked again got %+v, %v, want revision %d", name, res.Room, err, r.Revision)
		}
	}
	for _, a := range all[max(0, len(all)-20):] {
		res, err := n.write(t.Context(), a.Kind, Request{ID: a.Request}, roomBody{Room: Room{Name: a.Room}})
		if err != nil || res.Room.Revision != a.Revision {
			t.Errorf("request %s asked again: got %+v, %v, want revision %d", a.Request, res.Room, err, a.Revision)
		}
	}
	if most := crashWriters * kills; unheard > most {
		t.Errorf("%d rooms that nobody was told of, want at most %d: one for each writer and kill", unheard, most)
	}
	next, err := n.CreateRoom(t.Context(), Request{}, Room{Name: "next"})
	if err != nil || next.Revision <= last {
		t.Errorf("the next revision is %d (%v), want it after %d", next.Revision, err, last)
	}
	if err := n.DeleteRoom(context.WithoutCancel(t.Context()), Request{}, "next", 0); err != nil && !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if !slices.IsSortedFunc(n.Rooms("", 0), func(a, b Room) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the rooms are not in order")
	}
}
