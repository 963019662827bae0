package auth_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/sluicemedia/sluice/auth"
)

func hash(t *testing.T, password string) string {
	t.Helper()
	h, err := auth.HashPassword(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestPassword(t *testing.T) {
	const password = "correct horse"
	longest, zero := strings.Repeat("x", auth.MaxPassword), "pass\x00word"
	ofLongest, ofZero := hash(t, longest), hash(t, zero)
	h := hash(t, password)
	if !strings.HasPrefix(h, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(h, "horse") {
		t.Errorf("got %s", h)
	}
	if h == hash(t, password) {
		t.Error("two hashes of one password are the same")
	}
	for _, tc := range []struct {
		hash, password string
		want           bool
	}{
		{h, password, true},
		{h, "correct hors", false},
		{h, "correct horse ", false},
		{h, "Correct horse", false},
		{h, "", false},
		{h, password + strings.Repeat("x", auth.MaxPassword), false},
		{"", password, false},
		{"", "", false},
		{ofLongest, longest, true},
		{ofLongest, longest + "x", false},
		{ofZero, zero, true},
		{ofZero, "pass", false},
		// From the tests of the reference implementation.
		{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", true},
		{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "passwore", false},
	} {
		got, err := auth.CheckPassword(t.Context(), tc.hash, tc.password)
		if err != nil || got != tc.want {
			t.Errorf("%.40q against %s: got %t, %v, want %t", tc.password, tc.hash, got, err, tc.want)
		}
	}
}

func TestHashPasswordRefuses(t *testing.T) {
	for _, password := range []string{"", strings.Repeat("x", auth.MaxPassword+1)} {
		if h, err := auth.HashPassword(t.Context(), password); !errors.Is(err, auth.ErrPassword) || h != "" {
			t.Errorf("%d bytes: got %q, %v", len(password), h, err)
		}
	}
}

// TestBadHash: a hash that cannot be one lets nobody in, and is not allowed to cost more than a good one.
func TestBadHash(t *testing.T) {
	const tail = "$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, h := range []string{
		"nonsense",
		"$argon2i$v=19$m=65536,t=2,p=1" + tail,
		"$argon2id$v=16$m=65536,t=2,p=1" + tail,
		"$argon2id$m=65536,t=2,p=1" + tail,
		"$argon2id$v=19$m=65537,t=2,p=1" + tail,
		"$argon2id$v=19$m=4294967295,t=2,p=1" + tail,
		"$argon2id$v=19$m=4294967296,t=2,p=1" + tail,
		"$argon2id$v=19$m=65536,t=9,p=1" + tail,
		"$argon2id$v=19$m=65536,t=0,p=1" + tail,
		"$argon2id$v=19$m=65536,t=2,p=0" + tail,
		"$argon2id$v=19$m=65536,t=2,p=5" + tail,
		"$argon2id$v=19$m=65536,t=2,p=257" + tail,
		"$argon2id$v=19$m=-1,t=2,p=1" + tail,
		"$argon2id$v=19$m=065536,t=2,p=1" + tail,
		"$argon2id$v=19$m=65536,t=2,p=1,x=2" + tail,
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$",
		"$argon2id$v=19$m=65536,t=2,p=1$$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHR$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=1" + tail + "$",
		"$argon2id$v=19$m=65536,t=2,p=1" + tail + strings.Repeat("A", 300),
	} {
		if ok, err := auth.CheckPassword(t.Context(), h, "password"); ok || err == nil || strings.Contains(err.Error(), h) {
			t.Errorf("%s: got %t, %v", h, ok, err)
		}
	}
}

// TestAbsentHashCosts: whether a room has a password does not show in the work of an answer.
func TestAbsentHashCosts(t *testing.T) {
	h := hash(t, "correct horse")
	for name, words := range map[string][2]string{
		"wrong": {h, "wrong"}, "no hash": {"", "wrong"}, "no password": {h, ""}, "too long": {h, strings.Repeat("x", 5000)}, "right": {h, "correct horse"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := auth.CheckPassword(t.Context(), words[0], words[1]); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took < 19<<20 || took > 21<<20 {
			t.Errorf("%s: %d bytes were used, want 19 MiB", name, took)
		}
	}
}

func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$$")
	f.Add("")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, hash string) {
		ok, err := auth.CheckPassword(t.Context(), hash, "password")
		if ok && err != nil {
			t.Errorf("%q lets in with %v", hash, err)
		}
	})
}
