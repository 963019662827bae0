package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/gateway"
)

const killedData = "SLUICE_TEST_KILLED_DATA"

// ownTokens puts the tokens beside the data, where a process of its own finds
// them too.
func ownTokens(t *testing.T, data string) func(*gateway.Config) {
	t.Helper()
	path := filepath.Join(data, "tokens")
	if err := os.WriteFile(path, []byte(tokenFile), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *gateway.Config) {
		c.Data, c.AuthTokenFile, c.Open = data, path, false
		c.URL = "https://media.example" // not the port, which changes
	}
}

// TestKilledChild is the process that TestKilledNode kills: a node that tells
// where it listens.
func TestKilledChild(t *testing.T) {
	data := os.Getenv(killedData)
	if data == "" {
		return // nobody to do it for
	}
	n := start(t, ownTokens(t, data))
	fmt.Println("listens at", n.LocalURL())
	_, _ = io.Copy(io.Discard, os.Stdin) // it ends with whoever started it
}

// killable starts a node in a process of its own, and returns its URL and what
// kills it without a word.
func killable(t *testing.T, data string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$", "-test.v")
	cmd.Env = append(os.Environ(), killedData+"="+data)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
		in.Close()
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "listens at %s", &url); err == nil {
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
			return url, kill
		}
	}
	t.Fatal("the node did not start")
	return "", nil
}

// call is one request of the control API, which must succeed.
func call(t *testing.T, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer all-admin-key")
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode > 299 {
		t.Fatalf("%s %s: got %s %s, %v", method, url, res.Status, text, err)
	}
	return res.Header.Get("ETag") + " " + string(text)
}

func TestKilledNode(t *testing.T) {
	data := t.TempDir()
	url, kill := killable(t, data)
	call(t, "POST", url+"/v1/rooms", `{"name":"kept","wait":true,"max_viewers":7}`)
	call(t, "POST", url+"/v1/rooms", `{"name":"changed"}`)
	call(t, "PATCH", url+"/v1/rooms/changed", `{"members":["zoe","ann"],"password":"secret words","locked":true}`)
	call(t, "POST", url+"/v1/rooms", `{"name":"gone"}`)
	call(t, "DELETE", url+"/v1/rooms/gone", "")
	call(t, "POST", url+"/v1/revocations", `{"identity":"bob"}`)
	seen := func(url string) (all []string) {
		for _, path := range []string{"/v1/rooms/kept", "/v1/rooms/changed", "/v1/rooms", "/v1/revocations"} {
			all = append(all, path+": "+call(t, "GET", url+path, ""))
		}
		return all
	}
	before := seen(url)
	kill()

	n := start(t, ownTokens(t, data))
	for i, after := range seen(n.LocalURL()) {
		if after != before[i] {
			t.Errorf("got  %s\nwant %s", after, before[i])
		}
	}
	if !strings.Contains(before[1], "ann") || strings.Contains(before[2], "gone") || !strings.Contains(before[3], "bob") {
		t.Errorf("this shows little: %s", before)
	}
}
