package webhook_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the program that TestKilled kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir, os.Getenv(childURL)))
	}
	goleak.VerifyTestMain(m)
}
