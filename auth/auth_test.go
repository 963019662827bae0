package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/auth"
)

const file = `
# the studio
studio-key-1   studio    publish,subscribe
studio-key-1   event-*   publish

   viewer-key-1   *   subscribe
operator-key   *  record,moderate,admin
`

func parse(t *testing.T, text string) *auth.Tokens {
	t.Helper()
	tokens, err := auth.ParseTokens(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestVerify(t *testing.T) {
	tokens := parse(t, file)
	if tokens.Len() != 3 {
		t.Errorf("got %d tokens, want 3", tokens.Len())
	}
	for _, tc := range []struct {
		token, room string
		grant       auth.Grant
		want        bool
	}{
		{"studio-key-1", "studio", auth.Publish, true},
		{"studio-key-1", "studio", auth.Subscribe, true},
		{"studio-key-1", "studio", auth.Admin, false},
		{"studio-key-1", "studio2", auth.Publish, false},
		{"studio-key-1", "event-", auth.Publish, true},
		{"studio-key-1", "event-9", auth.Publish, true},
		{"studio-key-1", "event-9", auth.Subscribe, false},
		{"studio-key-1", "event", auth.Publish, false},
		{"viewer-key-1", "anything", auth.Subscribe, true},
		{"viewer-key-1", "anything", auth.Publish, false},
		{"operator-key", "anything", auth.Admin, true},
		{"operator-key", "anything", auth.Moderate, true},
		{"operator-key", "anything", auth.Record, true},
		{"operator-key", "anything", auth.Publish, false}, // no grant contains another
	} {
		grants, err := tokens.Verify(t.Context(), tc.token)
		if err != nil {
			t.Fatalf("%s: %v", tc.token, err)
		}
		if got := grants.Allows(tc.room, tc.grant); got != tc.want {
			t.Errorf("%s may %s in %s: got %t, want %t", tc.token, tc.grant, tc.room, got, tc.want)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	tokens := parse(t, file)
	for _, token := range []string{"", "studio-key-2", "studio-key-", "studio-key-11", "STUDIO-KEY-1", "#", "studio"} {
		grants, err := tokens.Verify(t.Context(), token)
		if !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", token, err)
		}
		if grants.Allows("studio", auth.Publish) || grants.AllowsSomewhere(auth.Publish) {
			t.Errorf("%q: a refused token allows something", token)
		}
	}
}

func TestIdentity(t *testing.T) {
	id := func(text, token string) string {
		t.Helper()
		grants, err := parse(t, text).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return grants.Identity
	}
	first := id(file, "studio-key-1")
	if first == "" || first != id("studio-key-1 other admin\n", "studio-key-1") {
		t.Error("the identity of a token must be the same in every file")
	}
	if first == id(file, "viewer-key-1") {
		t.Error("two tokens have the same identity")
	}
	for _, token := range []string{"studio-key-1", "viewer-key-1"} {
		g, err := parse(t, file).Verify(t.Context(), token)
		if err != nil || g.TokenID == "" || g.TokenID == g.Identity || strings.Contains(g.TokenID, token) || !g.Expires.IsZero() {
			t.Errorf("got %+v, %v", g, err)
		}
	}
	if strings.Contains(first, "studio") {
		t.Error("the identity gives the token away")
	}
	if auth.Everything().Identity != "" {
		t.Error("without authentication nobody has an identity")
	}
}

func TestAllowsSomewhere(t *testing.T) {
	grants, err := parse(t, file).Verify(t.Context(), "studio-key-1")
	if err != nil {
		t.Fatal(err)
	}
	if !grants.AllowsSomewhere(auth.Publish) || grants.AllowsSomewhere(auth.Admin) {
		t.Error("AllowsSomewhere does not follow the rules of the token")
	}
	if operator, err := parse(t, file).Verify(t.Context(), "operator-key"); err != nil || !operator.AllowsEverywhere(auth.Admin) ||
		operator.AllowsEverywhere(auth.Publish) || grants.AllowsEverywhere(auth.Publish) || !auth.Everything().AllowsEverywhere(auth.Admin) {
		t.Error("AllowsEverywhere does not follow the rules of the token")
	}
	if !auth.Everything().AllowsSomewhere(auth.Admin) || !auth.Everything().Allows("x", auth.Admin) {
		t.Error("Everything does not allow everything")
	}
}

func TestBarring(t *testing.T) {
	grants, err := parse(t, file).Verify(t.Context(), "operator-key")
	if err != nil {
		t.Fatal(err)
	}
	barred := "studio"
	inside := grants.Barring(func(room string) bool { return room == barred })
	if inside.Allows("studio", auth.Admin) || !inside.Allows("other", auth.Admin) || !grants.Allows("studio", auth.Admin) {
		t.Error("the room that is barred, and it alone, must not be allowed")
	}
	if barred = ""; !inside.Allows("studio", auth.Admin) {
		t.Error("a bar that is gone still counts")
	}
	barred = "x"
	if auth.Everything().Barring(func(string) bool { return true }).Allows("x", auth.Admin) {
		t.Error("who may do everything is barred from nothing")
	}
}

func TestParseTokensRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"two words":            "long-enough room",
		"four words":           "long-enough room publish subscribe",
		"short token":          "short room publish",
		"token of a bare page": "undefined room publish",
		"not ASCII":            "schlüssel-1 room publish",
		"unknown grant":        "long-enough room publish,fly",
		"empty grant":          "long-enough room publish,",
		"asterisk inside":      "long-enough ro*m publish",
		"leading dot":          "long-enough .room publish",
		"slash":                "long-enough a/b publish",
		"long room":            "long-enough " + strings.Repeat("r", 65) + " publish",
		"long line":            strings.Repeat("x", 5000) + " room publish",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := auth.ParseTokens(strings.NewReader("# first line\n" + text + "\n"))
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), "line 2") {
				t.Errorf("%q does not name line 2", err)
			}
			if first, _, _ := strings.Cut(text, " "); strings.Contains(err.Error(), first) {
				t.Errorf("%q repeats a token", err)
			}
		})
	}
}

func TestParseTokensBounds(t *testing.T) {
	many := strings.Repeat("long-enough room publish\n", 10_001)
	if _, err := auth.ParseTokens(strings.NewReader(many)); err == nil {
		t.Error("10,001 lines were taken")
	}
	large := strings.Repeat("# "+strings.Repeat("x", 4000)+"\n", 2200)
	if _, err := auth.ParseTokens(strings.NewReader(large)); err == nil {
		t.Error("more than 8 MiB were taken")
	}
}

func TestBearer(t *testing.T) {
	for _, tc := range []struct {
		headers []string
		token   string
		want    auth.Credentials
	}{
		{nil, "", auth.NoCredentials},
		{[]string{""}, "", auth.NoCredentials},
		{[]string{"Bearer abc"}, "abc", auth.BearerToken},
		{[]string{"bearer abc"}, "abc", auth.BearerToken},
		{[]string{"BEARER   abc "}, "abc", auth.BearerToken},
		{[]string{"Bearer"}, "", auth.NoCredentials},
		{[]string{"Bearer "}, "", auth.NoCredentials},
		{[]string{"Bearer undefined"}, "", auth.NoCredentials},
		{[]string{"Bearer null"}, "", auth.NoCredentials},
		{[]string{"Bearer a b"}, "", auth.BadCredentials},
		{[]string{"Bearer a\x00b"}, "", auth.BadCredentials},
		{[]string{"Bearer " + strings.Repeat("x", 4097)}, "", auth.BadCredentials},
		{[]string{"Basic YWJjOmRlZg=="}, "", auth.BadCredentials},
		{[]string{"abc"}, "", auth.BadCredentials},
		{[]string{"Bearer abc", "Bearer def"}, "", auth.BadCredentials},
	} {
		token, c := auth.Bearer(tc.headers, false)
		if token != tc.token || c != tc.want {
			t.Errorf("%q: got %q %d, want %q %d", tc.headers, token, c, tc.token, tc.want)
		}
	}
}

func TestBareBearer(t *testing.T) {
	for _, tc := range []struct {
		header, token string
		want          auth.Credentials
	}{
		{"abc", "abc", auth.BearerToken},
		{"Bearer abc", "abc", auth.BearerToken},
		{"Bearer", "", auth.NoCredentials},
		{"undefined", "", auth.NoCredentials},
		{"", "", auth.NoCredentials},
		{"Basic YWJjOmRlZg==", "", auth.BadCredentials},
		{"a\x00b", "", auth.BadCredentials},
	} {
		token, c := auth.Bearer([]string{tc.header}, true)
		if token != tc.token || c != tc.want {
			t.Errorf("%q: got %q %d, want %q %d", tc.header, token, c, tc.token, tc.want)
		}
	}
}

func FuzzParseTokens(f *testing.F) {
	f.Add(file)
	f.Add("long-enough * admin")
	f.Add("a\x00b c d\n\n#")
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := auth.ParseTokens(strings.NewReader(text))
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(text, "\n") {
			fields := strings.Fields(line)
			if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
				continue
			}
			if _, err := tokens.Verify(t.Context(), fields[0]); err != nil {
				t.Errorf("the token of %q was taken and is not known", line)
			}
		}
	})
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc", false)
	f.Add("bearer\tundefined", false)
	f.Add(" Bearer  x ", true)
	f.Add("abc", true)
	f.Fuzz(func(t *testing.T, header string, bare bool) {
		token, c := auth.Bearer([]string{header}, bare)
		if (c == auth.BearerToken) != (token != "") {
			t.Errorf("%q: token %q with credentials %d", header, token, c)
		}
		if strings.ContainsAny(token, " \t\r\n\x00") {
			t.Errorf("%q: the token %q is not one word", header, token)
		}
		if token == "" {
			return
		}
		if again, c := auth.Bearer([]string{"Bearer " + token}, bare); again != token || c != auth.BearerToken {
			t.Errorf("%q: %q does not survive a second reading", header, token)
		}
	})
}

func TestRoomOfGrants(t *testing.T) {
	file := "of-one-room a publish\nof-one-room a subscribe\nof-two-rooms a publish\nof-two-rooms b publish\nof-a-prefix a* publish\nof-all-rooms * admin\n"
	tokens, err := auth.ParseTokens(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{"of-one-room": "a", "of-two-rooms": "", "of-a-prefix": "", "of-all-rooms": ""} {
		grants, err := tokens.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if room, ok := grants.Room(); room != want || ok != (want != "") {
			t.Errorf("%s: got %q, %t, want %q", token, room, ok, want)
		}
	}
	if room, ok := auth.Everything().Room(); ok {
		t.Errorf("everything: got %q, want no room", room)
	}
}
