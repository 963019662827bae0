package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// Config is what to load, and with how much.
type Config struct {
	WHIP  string // where to publish to; "": somebody else does
	WHEP  string // where to play from; "": publish only
	Token string // bearer token for both; "": none

	Viewers  []int         // viewers in each step
	Duration time.Duration // how long each step is measured
	Settle   time.Duration // between the joins and the measuring

	Bitrate        int           // of the video, bit/s
	Spacing        time.Duration // between the packets of a frame; 0: back to back
	IgnoreRequests bool          // send no keyframe when asked

	SRTP        []string      // profiles that viewers offer, most wanted first
	Sample      int           // one viewer in so many decrypts
	Parallel    int           // joins under way at once
	Ramp        float64       // joins per second; 0: as fast as they come
	Churn       float64       // viewers replaced per second while measuring
	JoinTimeout time.Duration // for each join, and for publishing
	Bind        string        // own address; "": the one that the route to the server has
	Insecure    bool          // take any TLS certificate

	ServerPID  int // process to account for; 0: none
	ServerCore int // core that it is pinned to; less than 0: none

	FindLimit  bool          // add viewers until the server or the generator can no more
	MaxLatency time.Duration // of the limit, p99

	// Progress is told of what goes on; nil: nobody is.
	Progress func(text string)

	network func(*fleet) (network, error) // nil: the best of this system
}

// DefaultConfig is a small load of a common stream.
func DefaultConfig() Config {
	return Config{
		Viewers: []int{10}, Duration: 20 * time.Second, Settle: 3 * time.Second,
		Bitrate: 2_500_000, SRTP: []string{"cm", "gcm256", "gcm128"},
		Sample: 10, Parallel: 64, JoinTimeout: 20 * time.Second,
		ServerCore: -1, MaxLatency: 250 * time.Millisecond,
	}
}

// srtpNames is what profiles are called in flags and reports.
var srtpNames = []struct {
	name    string
	profile dtls.SRTPProtectionProfile
}{
	{"cm", dtls.SRTP_AES128_CM_HMAC_SHA1_80},
	{"gcm128", dtls.SRTP_AEAD_AES_128_GCM},
	{"gcm256", dtls.SRTP_AEAD_AES_256_GCM},
}

func srtpProfile(name string) (dtls.SRTPProtectionProfile, bool) {
	for _, n := range srtpNames {
		if n.name == name {
			return n.profile, true
		}
	}
	return 0, false
}

func srtpName(p srtp.ProtectionProfile) string {
	for _, n := range srtpNames {
		if srtp.ProtectionProfile(n.profile) == p {
			return n.name
		}
	}
	return fmt.Sprintf("%#04x", uint16(p))
}

// Bounds of what can be asked for.
const (
	maxBitrate = 200_000_000
	maxViewers = 60_000 // of one address, by ports
)

// Validate tells what is wrong with the configuration.
func (c *Config) Validate() error {
	if c.WHIP == "" && c.WHEP == "" {
		return errors.New("bench: no endpoint: name --whip, --whep or both")
	}
	for name, text := range map[string]string{"--whip": c.WHIP, "--whep": c.WHEP} {
		if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			return fmt.Errorf("bench: %s: %q is not an http or https URL", name, text)
		}
	}
	if c.WHEP != "" && len(c.Viewers) == 0 {
		return errors.New("bench: --viewers: no step is given")
	}
	for _, n := range c.Viewers {
		if n < 0 || n > maxViewers {
			return fmt.Errorf("bench: --viewers: %d is not between 0 and %d", n, maxViewers)
		}
	}
	for _, b := range []struct {
		wrong      bool
		flag, want string
	}{
		{c.Duration <= 0, "--duration", "more than nothing"},
		{c.Settle < 0, "--settle", "no less than nothing"},
		{c.JoinTimeout <= 0, "--join-timeout", "more than nothing"},
		{c.Bitrate < 10_000 || c.Bitrate > maxBitrate, "--bitrate", "between 10 kbit/s and 200 Mbit/s"},
		{c.Spacing < 0 || c.Spacing >= frameInterval, "--spacing", "less than a frame's 33 ms"},
		{c.Sample < 1, "--sample", "1 or more"},
		{c.Parallel < 1, "--parallel", "1 or more"},
		{c.Ramp < 0, "--ramp", "no less than nothing"},
		{c.Churn < 0 || c.Churn > 10_000, "--churn", "between 0 and 10000"},
		{c.ServerPID < 0, "--server-pid", "a process"},
		{c.MaxLatency <= 0, "--max-latency", "more than nothing"},
		{c.FindLimit && c.WHEP == "", "--find-limit", "used with --whep"},
		{len(c.SRTP) == 0, "--srtp", "one profile or more"},
	} {
		if b.wrong {
			return fmt.Errorf("bench: %s has to be %s", b.flag, b.want)
		}
	}
	for _, name := range c.SRTP {
		if _, ok := srtpProfile(name); !ok {
			return fmt.Errorf("bench: --srtp: there is no profile %q: cm, gcm128 and gcm256 are", name)
		}
	}
	if c.Bind != "" {
		if _, err := netip.ParseAddr(c.Bind); err != nil {
			return fmt.Errorf("bench: --bind: %q is not an address", c.Bind)
		}
	}
	if c.ServerPID > 0 || c.ServerCore >= 0 {
		if _, err := os.Stat("/proc/stat"); err != nil {
			return fmt.Errorf("bench: --server-pid and --server-core need /proc, which %s does not have", runtime.GOOS)
		}
		if _, err := c.observer().now(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) observer() *observer {
	return &observer{proc: os.DirFS("/proc"), pid: c.ServerPID, core: c.ServerCore}
}

func (c *Config) progress(format string, args ...any) {
	if c.Progress != nil {
		c.Progress(fmt.Sprintf(format, args...))
	}
}
