package gateway

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// nodeID is the name of this node: the configured one, or the one that was
// made at the first start and kept in the data directory.
func nodeID(cfg *Config) (string, error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return "", fmt.Errorf("data: %w", err)
	}
	if cfg.Node != "" {
		return cfg.Node, nil
	}
	path := filepath.Join(cfg.Data, "node-id")
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return newNodeID(path)
	}
	if err != nil {
		return "", fmt.Errorf("data: read the node id: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if !legalNode(id) {
		return "", fmt.Errorf("data: %s holds no legal node name; remove it to get a new one", path)
	}
	return id, nil
}

// newNodeID makes a name and keeps it. The file is renamed into place whole, so
// that a crash leaves it right or absent.
func newNodeID(path string) (string, error) {
	id := "n" + strings.ToLower(rand.Text()[:9])
	f, err := os.CreateTemp(filepath.Dir(path), "node-id-*")
	if err != nil {
		return "", fmt.Errorf("data: keep the node id: %w", err)
	}
	_, err = f.WriteString(id + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error that matters is the first
		return "", fmt.Errorf("data: keep the node id: %w", err)
	}
	return id, nil
}
