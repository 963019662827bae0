package cluster

import (
	"encoding/json"

	"go.etcd.io/bbolt"
)

// recordFormat is the first byte of every value; the rest is JSON.
const recordFormat = 1

// get reads a record. What is in another format counts as absent: the schema
// keeps files with such records out.
func get[T any](b *bbolt.Bucket, name string) (v T, ok bool) {
	return decodeRecord[T](b.Get([]byte(name)))
}

func decodeRecord[T any](value []byte) (v T, ok bool) {
	if len(value) == 0 || value[0] != recordFormat {
		return v, false
	}
	err := json.Unmarshal(value[1:], &v)
	return v, err == nil
}

// put writes a record. It fails on what JSON cannot say, before it changes
// anything, and on names that are no keys.
func put(b *bbolt.Bucket, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put([]byte(name), append([]byte{recordFormat}, text...))
}

// all reads a whole bucket, by name.
func all[T any](b *bbolt.Bucket) []T {
	var list []T
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if r, ok := decodeRecord[T](v); ok {
			list = append(list, r)
		}
	}
	return list
}
