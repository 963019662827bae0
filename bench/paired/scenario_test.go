package main

import (
	"bytes"
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBars(t *testing.T) {
	for _, test := range []struct {
		bar          bar
		value, ratio float64
		want         bool
		text         string
	}{
		{bar{}, 1e9, 1e9, true, ""},
		{bar{atMost, 64}, 64, 9, true, "≤ 64"},
		{bar{atMost, 64}, 64.1, 0, false, "≤ 64"},
		{bar{atLeast, 1}, 1, 0, true, "≥ 1"},
		{bar{atLeast, 1}, 0, 9, false, "≥ 1"},
		{bar{ratioAtMost, 0.25}, 99, 0.25, true, "≤ 0.25x"},
		{bar{ratioAtMost, 0.25}, 0, 0.26, false, "≤ 0.25x"},
		{bar{ratioAtLeast, 4}, 0, 4, true, "≥ 4x"},
		{bar{ratioAtLeast, 4}, 99, 3.9, false, "≥ 4x"},
	} {
		if got := test.bar.met(test.value, test.ratio); got != test.want {
			t.Errorf("%v met by %v, %vx: got %t, want %t", test.bar, test.value, test.ratio, got, test.want)
		}
		if got := test.bar.String(); got != test.text {
			t.Errorf("got %q, want %q", got, test.text)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		args         string
		want         string
		floor, limit bool
	}{
		{"", "browsers cm spaced joins", true, false},
		{"-full", "browsers cm spaced joins thousand", true, true},
		{"-only cm,limit", "cm", false, true},
		{"-full -only floor", "", true, false},
	} {
		o, _, err := parse(strings.Fields(test.args), new(bytes.Buffer))
		if err != nil {
			t.Fatalf("%q: %v", test.args, err)
		}
		got, err := choose(o)
		if err != nil {
			t.Fatalf("%q: %v", test.args, err)
		}
		var list []string
		for _, s := range got.scenarios {
			list = append(list, s.name)
		}
		if s := strings.Join(list, " "); s != test.want || got.floor != test.floor || got.limit != test.limit {
			t.Errorf("%q: got %q, floor %t, limit %t; want %q, %t, %t", test.args, s, got.floor, got.limit, test.want, test.floor, test.limit)
		}
	}
}

func TestParse(t *testing.T) {
	o, check, err := parse([]string{"-full", "-check", "-rounds", "3", "-out", "there"}, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if o.window != 20*time.Second || o.rounds != 3 || o.out != "there" || !check {
		t.Errorf("got %+v, check %t", o, check)
	}
	if o, _, err = parse(nil, new(bytes.Buffer)); err != nil || o.window != 5*time.Second || o.rounds != 2 {
		t.Errorf("without arguments: got %+v, %v", o, err)
	}
	for args, want := range map[string]string{
		"-only nothing":  "no scenario is called",
		"-window 10ms":   "too short",
		"-rounds 0":      "0 rounds",
		"-load-core 0":   "a core each",
		"one":            `what is "one"`,
		"-window banana": "invalid value",
	} {
		var said bytes.Buffer
		if _, _, err := parse(strings.Fields(args), &said); err == nil || !strings.Contains(said.String(), want) {
			t.Errorf("%q: got %v and %q, want to be told of %q", args, err, said.String(), want)
		}
	}
	if _, _, err := parse([]string{"-h"}, new(bytes.Buffer)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: got %v", err)
	}
}

// TestScenariosAreComplete holds what the table relies on.
func TestScenariosAreComplete(t *testing.T) {
	all := names()
	for i, name := range all {
		if slices.Index(all, name) != i {
			t.Errorf("two scenarios are called %q", name)
		}
		if title(name) == name {
			t.Errorf("%s has no title", name)
		}
	}
	for _, s := range scenarios() {
		if len(s.load.viewers) != 1 || len(s.rows) == 0 {
			t.Errorf("%s: steps %v, %d rows", s.name, s.load.viewers, len(s.rows))
		}
		for _, m := range s.rows {
			if m.bar.ofRatio() && !s.naive {
				t.Errorf("%s, %s: a bar of the ratio, and naive is not measured", s.name, m.what)
			}
		}
	}
}
