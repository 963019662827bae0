package mutant

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

const sample = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\na=group:BUNDLE 0 1 2\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtcp-mux-only\r\na=rtpmap:111 opus/48000/2\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=recvonly\r\na=rtpmap:96 H264/90000\r\na=candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:2\r\na=recvonly\r\na=rtpmap:97 theora/90000\r\n"

func TestParseKeepsAll(t *testing.T) {
	if got := parse(sample).String(); got != sample {
		t.Errorf("got %q, want %q", got, sample)
	}
	if got := parse(strings.ReplaceAll(sample, "\r\n", "\n")).String(); got != sample {
		t.Errorf("from LF: got %q, want %q", got, sample)
	}
}

// TestEdit tries the ways to change a description.
func TestEdit(t *testing.T) {
	for name, c := range map[string]struct {
		change        func(*description)
		without, with string
	}{
		"drop a line":    {func(d *description) { d.drop("a=rtcp-mux") }, "a=rtcp-mux\r\n", "a=rtcp-mux-only\r\n"},
		"drop a prefix":  {func(d *description) { d.drop("a=candidate:") }, "a=candidate", "a=mid:1"},
		"swap":           {func(d *description) { d.swap("a=recvonly", "a=sendrecv") }, "a=recvonly", "a=sendrecv"},
		"set":            {func(d *description) { d.set("a=mid:", "x") }, "a=mid:0", "a=mid:x"},
		"take a section": {func(d *description) { d.take(1) }, "a=mid:1", "a=group:BUNDLE 0 2\r\n"},
		"swap mids":      {swapMids, "none", "SAVPF 96\r\na=mid:0\r\n"},
		"line before the candidate": {
			func(d *description) { beforeCandidate(d, func(string) string { return "a=x" }) },
			"none", "a=x\r\na=candidate:1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := parse(sample)
			c.change(d)
			got := d.String()
			if strings.Contains(got, c.without) || !strings.Contains(got, c.with) {
				t.Errorf("got %q, want it with %q and without %q", got, c.with, c.without)
			}
		})
	}
}

// TestSections takes sections out and answers for them.
func TestSections(t *testing.T) {
	d := parse(sample)
	if !anotherVideo(d, 2) || anotherVideo(d, 1) || anotherVideo(d, 0) {
		t.Error("the second video section is not told from the others")
	}
	if !isForeign(d, 2) || isForeign(d, 1) || isForeign(d, 0) {
		t.Error("the section that nobody can carry is not told from the others")
	}
	taken := d.take(2)
	if got := d.mids(); !slices.Equal(got, []string{"0", "1"}) {
		t.Fatalf("got mids %v, want 0 and 1", got)
	}
	d.insert(2, asFirstVideo(d, taken))
	twin := d.media[2]
	if valueOf(twin, "a=mid:") != "2" || !slices.Contains(twin, "a=rtpmap:96 H264/90000") || valueOf(twin, "a=candidate:") != "" {
		t.Errorf("got the section %q, want that of H264 with mid 2 and no candidate", twin)
	}
	if got := d.first("a=group:BUNDLE "); got != "0 1 2" {
		t.Errorf("got the group %q, want 0 1 2", got)
	}
}

func TestRenameLayer(t *testing.T) {
	const text = "m=video 9 x 96\r\na=rid:h recv\r\na=rid:l recv pt=96\r\na=simulcast:recv h;l\r\n"
	for name, want := range map[string]string{
		"":  "m=video 9 x 96\r\na=rid:h recv\r\na=simulcast:recv h\r\n",
		"n": "m=video 9 x 96\r\na=rid:h recv\r\na=rid:n recv pt=96\r\na=simulcast:recv h;n\r\n",
	} {
		d := parse(text)
		renameLayer(d, "l", name)
		if got := d.String(); got != want {
			t.Errorf("l to %q: got %q, want %q", name, got, want)
		}
	}
}

func TestCandidates(t *testing.T) {
	to := netip.MustParseAddrPort("127.0.0.1:5")
	const line = "a=candidate:1 1 udp 2130706431 192.0.2.1 40000 typ host"
	at, ok := candidateAddress(line)
	if !ok || at != netip.MustParseAddrPort("192.0.2.1:40000") {
		t.Errorf("got %v, %t, want 192.0.2.1:40000", at, ok)
	}
	if got, want := relocate(line, to), "a=candidate:1 1 udp 2130706431 127.0.0.1 5 typ host"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range []string{"a=candidate:1 1 tcp 1 192.0.2.1 9 typ host", "a=candidate:1 1 udp 1 name.local 9 typ host", "a=candidate:1"} {
		if at, ok := candidateAddress(bad); ok {
			t.Errorf("%s: got %v, want none", bad, at)
		}
	}
}
