package cluster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// sample is a bbolt file with all there is: branch pages, overflow pages,
// buckets inline and not, free pages.
func sample(tb testing.TB, keepFreelist bool) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "sample.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 1024, NoSync: true, NoFreelistSync: !keepFreelist})
	if err != nil {
		tb.Fatal(err)
	}
	fill := func(tx *bbolt.Tx) error {
		for _, name := range []string{"empty", "small", "large"} {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			for i := range map[string]int{"small": 3, "large": 150}[name] {
				if err := b.Put(fmt.Appendf(nil, "key %d", i), bytes.Repeat([]byte("v"), 1+i*i%1500)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	thin := func(tx *bbolt.Tx) error {
		for i := range 150 {
			if i%3 != 0 {
				if err := tx.Bucket([]byte("large")).Delete(fmt.Appendf(nil, "key %d", i)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, step := range []func(*bbolt.Tx) error{fill, thin} {
		if err := db.Update(step); err != nil {
			tb.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// readAll opens a file that passed and reads it to its end: bbolt would panic
// in one of its goroutines, which ends the test.
func readAll(tb testing.TB, path string) {
	tb.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		return // refused: also safe
	}
	defer db.Close()
	var walk func(b *bbolt.Bucket) error
	walk = func(b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(b.Bucket(k))
			}
			return nil
		})
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if err := tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return walk(b) }); err != nil {
			return err
		}
		b, err := tx.CreateBucketIfNotExists([]byte("new"))
		if err != nil {
			return err
		}
		return b.Put([]byte("k"), make([]byte, 3000))
	})
	if err != nil {
		tb.Errorf("a file that passed: %v", err)
	}
}

func TestPagesOfBbolt(t *testing.T) {
	for _, keep := range []bool{false, true} {
		b := sample(t, keep)
		if err := checkReader(bytes.NewReader(b), int64(len(b))); err != nil {
			t.Errorf("free list kept %t: %v", keep, err)
		}
		half := b[:len(b)/2]
		if err := checkReader(bytes.NewReader(half), int64(len(half))); err == nil {
			t.Errorf("free list kept %t: half a file passes", keep)
		}
	}
}

// Whatever is changed in a file, it is refused or can be used.
func TestDamagedPagesNeverReachBbolt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "damaged.db")
	rnd := rand.New(rand.NewPCG(1, 2))
	good := sample(t, true)
	passed := 0
	const tries = 150
	for range tries {
		b := bytes.Clone(good)
		for range 1 + rnd.IntN(3) {
			at := 2048 + rnd.IntN(len(b)-2048) // behind the meta pages, which have sums
			switch rnd.IntN(3) {
			case 0:
				b[at] ^= 1 << rnd.IntN(8)
			case 1: // within headers and elements damage does most harm
				at = at / 1024 * 1024
				b[at+rnd.IntN(64)] = byte(rnd.IntN(256))
			case 2:
				n := min(512, len(b)-at)
				clear(b[at : at+n])
			}
		}
		if checkReader(bytes.NewReader(b), int64(len(b))) != nil {
			continue
		}
		passed++
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		readAll(t, path)
	}
	t.Logf("%d of %d passed: values and free pages may be anything", passed, tries)
	if passed == tries {
		t.Error("no damage was noticed")
	}
}

func FuzzPages(f *testing.F) {
	f.Add(sample(f, false))
	f.Add(sample(f, true))
	path := filepath.Join(f.TempDir(), "fuzz.db")
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || checkReader(bytes.NewReader(b), int64(len(b))) != nil {
			return
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		readAll(t, path)
	})
}
