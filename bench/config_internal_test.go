package bench

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	valid := func() Config {
		c := DefaultConfig()
		c.WHIP, c.WHEP = "http://127.0.0.1/whip/a", "https://[::1]:8/whep/a"
		return c
	}
	c := valid()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"no endpoint":          func(c *Config) { c.WHIP, c.WHEP = "", "" },
		"--whip: \"x\"":        func(c *Config) { c.WHIP = "x" },
		"--whep: \"ftp://x\"":  func(c *Config) { c.WHEP = "ftp://x" },
		"--viewers: no step":   func(c *Config) { c.Viewers = nil },
		"--viewers: -1":        func(c *Config) { c.Viewers = []int{1, -1} },
		"--viewers: 60001":     func(c *Config) { c.Viewers = []int{60_001} },
		"--duration has":       func(c *Config) { c.Duration = 0 },
		"--settle has":         func(c *Config) { c.Settle = -1 },
		"--join-timeout has":   func(c *Config) { c.JoinTimeout = 0 },
		"--bitrate has":        func(c *Config) { c.Bitrate = 9 },
		"--spacing has":        func(c *Config) { c.Spacing = time.Second },
		"--sample has":         func(c *Config) { c.Sample = 0 },
		"--parallel has":       func(c *Config) { c.Parallel = 0 },
		"--ramp has":           func(c *Config) { c.Ramp = -1 },
		"--churn has":          func(c *Config) { c.Churn = 1e9 },
		"--server-pid has":     func(c *Config) { c.ServerPID = -1 },
		"--max-latency has":    func(c *Config) { c.MaxLatency = 0 },
		"--find-limit has":     func(c *Config) { c.FindLimit, c.WHEP = true, "" },
		"--srtp has":           func(c *Config) { c.SRTP = nil },
		"no profile \"null\"":  func(c *Config) { c.SRTP = []string{"cm", "null"} },
		"\"home\" is not an a": func(c *Config) { c.Bind = "home" },
	} {
		c := valid()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for _, n := range srtpNames {
		if p, ok := srtpProfile(n.name); !ok || p != n.profile {
			t.Errorf("%s is %v, %t", n.name, p, ok)
		}
	}
	if got := srtpName(0x7777); got != "0x7777" {
		t.Errorf("an unknown profile is called %q", got)
	}
}
