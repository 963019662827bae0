package gateway

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParseICEServers(t *testing.T) {
	list, err := parseICEServers(strings.NewReader(`
# our relay
turns:relay.example:443?transport=tcp secret=north-star
turn:relay.example:3478?transport=tcp secret=north-star
  stun:relay.example:3478
turn:relay.example:3478 user pass/word+=
turn:[2001:db8::1]:3478?transport=udp user pass
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, s.link(time.Unix(1_700_000_000, 0), "abc"))
	}
	// openssl dgst -sha1 -hmac north-star of "1700086400:abc".
	const made = `; username="1700086400:abc"; credential="r4TECPB/0CckgWYTNJLnh8BDm50="; credential-type="password"`
	want := []string{
		`<turn:relay.example:3478?transport=udp>; rel="ice-server"; username="user"; credential="pass/word+="; credential-type="password"`,
		`<turn:[2001:db8::1]:3478?transport=udp>; rel="ice-server"; username="user"; credential="pass"; credential-type="password"`,
		`<stun:relay.example:3478>; rel="ice-server"`,
		`<turn:relay.example:3478?transport=tcp>; rel="ice-server"` + made,
		`<turns:relay.example:443?transport=tcp>; rel="ice-server"` + made,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParseICEServersRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"slashes":              "turn://relay.example:3478 user pass-word",
		"a user":               "turn:user@relay.example pass-word",
		"another scheme":       "http:relay.example",
		"no host":              "stun::3478",
		"port 0":               "stun:relay.example:0",
		"a port too large":     "stun:relay.example:65536",
		"no address in braces": "stun:[::1::2]:3478",
		"IPv4 in brackets":     "stun:[192.0.2.1]:3478",
		"STUN over TCP":        "stun:relay.example?transport=tcp",
		"STUN with a password": "stun:relay.example user pass-word",
		"TURN without":         "turn:relay.example",
		"a user alone":         "turn:relay.example user",
		"an empty secret":      "turn:relay.example secret=",
		"four words":           "turn:relay.example user pass-word more",
		"a comma":              "turn:relay.example user pass-word,more",
		"a semicolon":          "turn:relay.example us;er pass-word",
		"a quote":              `turn:relay.example user pass-word"`,
		"a backslash":          `turn:relay.example user pass-word\`,
		"not ASCII":            "turn:relay.example üser pass-word",
		"another transport":    "turn:relay.example?transport=sctp user pass-word",
		"a long line":          "stun:" + strings.Repeat("a", 2000),
	} {
		_, err := parseICEServers(strings.NewReader("# first\n" + line + "\n"))
		if err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: got %v, want an error that names line 2", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "pass-word") {
			t.Errorf("%s: %v repeats a password", name, err)
		}
	}
	if _, err := parseICEServers(strings.NewReader(strings.Repeat("stun:a\n", maxICEServers+1))); err == nil {
		t.Errorf("more than %d servers are taken", maxICEServers)
	}
}

// FuzzICEServers: what is taken makes links that every client can split.
func FuzzICEServers(f *testing.F) {
	f.Add("stun:a:1\nturn:[::1]?transport=tcp u p\nturns:b secret=x")
	f.Add("turn:a secret=\x00 \n#")
	link := regexp.MustCompile(`^<(stuns?|turns?):[^<>,;"\\ /@]+>; rel="ice-server"(; username="[^,;"\\ ]+"; credential="[^,;"\\ ]+"; credential-type="password")?$`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseICEServers(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, s := range list {
			got := s.link(time.Unix(0, 0), "abc")
			if !link.MatchString(got) {
				t.Errorf("%q makes %q", text, got)
			}
			if strings.HasPrefix(s.uri, "turn") != strings.Contains(got, "credential") {
				t.Errorf("%q has the wrong credentials", got)
			}
		}
	})
}
