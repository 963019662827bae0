package cluster

import (
	"encoding/binary"
	"time"
)

const (
	// requestLife is how long the outcome of a request is kept for those who
	// ask again.
	requestLife = 10 * time.Minute
	// expirySlack keeps what has expired a while longer, for nodes whose clock
	// is behind.
	expirySlack = time.Hour
	// maxTrim bounds what one command removes, so that no command is slow.
	maxTrim = 64
)

// What expires, as it stands in the keys of the expiry bucket.
const (
	requestExpires    = 'q'
	revocationExpires = 'r'
	keyExpires        = 'k'
)

// expiryKey orders what expires by time. nil: it does not expire.
func expiryKey(at time.Time, what byte, name string) []byte {
	if at.IsZero() || at.Year() > 2200 { // beyond what fits into 64 bits of ns
		return nil
	}
	ns := uint64(max(at.UnixNano(), 0))
	if at.Year() < 1970 {
		ns = 0
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 9+len(name)), ns)
	return append(append(b, what), name...)
}

func (t *txn) expireAt(at time.Time, what byte, name string) error {
	k := expiryKey(at, what, name)
	if k == nil {
		return nil
	}
	return t.tx.Bucket(expiryBucket).Put(k, []byte{})
}

func (t *txn) forgetExpiry(at time.Time, what byte, name string) error {
	k := expiryKey(at, what, name)
	if k == nil {
		return nil
	}
	return t.tx.Bucket(expiryBucket).Delete(k)
}

// trim removes what has expired by the clock of the log, which is the same on
// all nodes.
func (t *txn) trim() {
	for range maxTrim {
		k, _ := t.tx.Bucket(expiryBucket).Cursor().First()
		if len(k) < 9 || binary.BigEndian.Uint64(k) > uint64(t.now) {
			return
		}
		what, name := k[8], string(k[9:])
		t.must(t.tx.Bucket(expiryBucket).Delete(k))
		switch what {
		case requestExpires:
			t.must(t.tx.Bucket(requestBucket).Delete([]byte(name)))
		case revocationExpires:
			if r, ok := get[Revocation](t.tx.Bucket(revocationBucket), name); ok {
				t.must(t.tx.Bucket(revocationBucket).Delete([]byte(name)))
				t.listed(Change{Kind: RevocationExpired, Revocation: &r})
			}
		case keyExpires:
			if key, ok := get[Key](t.tx.Bucket(keyBucket), name); ok {
				t.must(t.tx.Bucket(keyBucket).Delete([]byte(name)))
				t.listed(Change{Kind: KeyRemoved, Key: &key})
			}
		}
	}
}
