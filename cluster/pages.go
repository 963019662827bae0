package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts its files: it follows a damaged page where that leads, and what
// it meets there ends the process. checkPages reads a file as bbolt would, and
// trusts nothing. What it lets through, bbolt can open and read.
//
// The format is that of bbolt 1.x, version 2: pages with a header, two meta
// pages in front of which the one with the later transaction counts, trees of
// branch and leaf pages, and buckets whose root is a page or stands in their
// value. Numbers are in the byte order of the machine.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader  = 16 // id uint64, flags uint16, count uint16, overflow uint32
	elementSize = 16 // of branch and leaf pages alike
	metaSize    = 64
	bucketSize  = 16 // root uint64, sequence uint64

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketValue  = 0x01

	noFreelist = ^uint64(0)
	maxDepth   = 64 // of trees and of buckets in them together
)

var native = binary.NativeEndian

var errPages = errors.New("bad page")

// checkPages tells whether a bbolt file is whole.
func checkPages(path string) error {
	f, err := os.Open(path) //nolint:gosec // below our directory
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 { // an empty one is a new one
		err = checkReader(f, info.Size())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return nil
}

type pageChecker struct {
	r     io.ReaderAt
	meta  boltMeta
	seen  []bool // by page id
	depth int
}

type boltMeta struct {
	pageSize, root, freelist, pages, tx uint64
}

func checkReader(r io.ReaderAt, size int64) error {
	meta, err := readMeta(r)
	if err != nil {
		return err
	}
	if meta.pages > uint64(size)/meta.pageSize {
		return fmt.Errorf("%w: the file ends after %d bytes, it had %d pages of %d", errPages, size, meta.pages, meta.pageSize)
	}
	c := &pageChecker{r: r, meta: meta, seen: make([]bool, meta.pages)}
	if meta.freelist != noFreelist {
		if err := c.freelist(meta.freelist); err != nil {
			return err
		}
	}
	return c.tree(meta.root, nil, nil)
}

// readMeta finds the meta page that counts.
func readMeta(r io.ReaderAt) (boltMeta, error) {
	first, ok := metaAt(r, 0)
	if ok {
		if second, ok := metaAt(r, int64(first.pageSize)); ok && second.pageSize == first.pageSize && second.tx > first.tx {
			return second, nil
		}
		return first, nil
	}
	for size := int64(1024); size <= 1024<<14; size *= 2 { // as bbolt looks for it
		if second, ok := metaAt(r, size); ok && second.pageSize == uint64(size) {
			return second, nil
		}
	}
	return boltMeta{}, fmt.Errorf("%w: no meta page is good", errPages)
}

func metaAt(r io.ReaderAt, at int64) (m boltMeta, ok bool) {
	var page [pageHeader + metaSize]byte
	if n, err := r.ReadAt(page[:], at); n < len(page) || err != nil && !errors.Is(err, io.EOF) {
		return m, false
	}
	b := page[pageHeader:]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56]) // a hash never fails
	m = boltMeta{
		pageSize: uint64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		pages: native.Uint64(b[40:]), tx: native.Uint64(b[48:]),
	}
	ok = native.Uint32(b) == boltMagic && native.Uint32(b[4:]) == boltVersion && native.Uint64(b[56:]) == sum.Sum64() &&
		m.pageSize >= 512 && m.pageSize <= 1<<24 && m.pageSize&(m.pageSize-1) == 0
	return m, ok
}

// page reads a page with all that overflows it, once.
func (c *pageChecker) page(id uint64) ([]byte, error) {
	if id < 2 || id >= c.meta.pages {
		return nil, fmt.Errorf("%w: there is no page %d", errPages, id)
	}
	var header [pageHeader]byte
	at := int64(id * c.meta.pageSize)
	if _, err := c.r.ReadAt(header[:], at); err != nil {
		return nil, err
	}
	count := uint64(native.Uint32(header[12:])) + 1
	if native.Uint64(header[:]) != id || count > c.meta.pages-id {
		return nil, fmt.Errorf("%w: page %d has the header of another", errPages, id)
	}
	for i := id; i < id+count; i++ {
		if c.seen[i] {
			return nil, fmt.Errorf("%w: page %d is in two places", errPages, i)
		}
		c.seen[i] = true
	}
	page := make([]byte, count*c.meta.pageSize)
	if _, err := c.r.ReadAt(page, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return page, nil
}

func (c *pageChecker) freelist(id uint64) error {
	page, err := c.page(id)
	if err != nil {
		return err
	}
	count, from := uint64(native.Uint16(page[10:])), uint64(pageHeader)
	if count == 0xFFFF {
		count, from = native.Uint64(page[from:]), from+8
	}
	if native.Uint16(page[8:]) != freelistPage || count > (uint64(len(page))-from)/8 {
		return fmt.Errorf("%w: page %d is no list of free pages", errPages, id)
	}
	last := uint64(1)
	for i := range count {
		free := native.Uint64(page[from+8*i:])
		if free <= last || free >= c.meta.pages || c.seen[free] {
			return fmt.Errorf("%w: page %d is not free", errPages, free)
		}
		c.seen[free], last = true, free
	}
	return nil
}

// tree checks a page and what is below it. Its keys are not below min and
// below max; nil: no bound.
func (c *pageChecker) tree(id uint64, low, high []byte) error {
	c.depth++
	defer func() { c.depth-- }()
	if c.depth > maxDepth {
		return fmt.Errorf("%w: page %d is too deep", errPages, id)
	}
	page, err := c.page(id)
	if err != nil {
		return err
	}
	switch native.Uint16(page[8:]) {
	case branchPage:
		return c.branch(id, page, low, high)
	case leafPage:
		return c.leaf(id, page, low, high)
	default:
		return fmt.Errorf("%w: page %d is of no known kind", errPages, id)
	}
}

func (c *pageChecker) branch(id uint64, page, low, high []byte) error {
	count := int(native.Uint16(page[10:]))
	if count == 0 {
		return fmt.Errorf("%w: branch page %d is empty", errPages, id)
	}
	keys, err := keysOf(page, count, func(e []byte) (pos, key, value uint64) {
		return uint64(native.Uint32(e)), uint64(native.Uint32(e[4:])), 0
	})
	if err == nil {
		err = ordered(keys, low, high)
	}
	if err != nil {
		return fmt.Errorf("%w in page %d", err, id)
	}
	for i, key := range keys {
		above := high
		if i+1 < count {
			above = keys[i+1]
		}
		if err := c.tree(native.Uint64(page[pageHeader+elementSize*i+8:]), key, above); err != nil {
			return err
		}
	}
	return nil
}

func (c *pageChecker) leaf(id uint64, page, low, high []byte) error {
	count := int(native.Uint16(page[10:]))
	keys, err := keysOf(page, count, func(e []byte) (pos, key, value uint64) {
		return uint64(native.Uint32(e[4:])), uint64(native.Uint32(e[8:])), uint64(native.Uint32(e[12:]))
	})
	if err == nil {
		err = ordered(keys, low, high)
	}
	if err != nil {
		return fmt.Errorf("%w in page %d", err, id)
	}
	for i := range count {
		at := pageHeader + elementSize*i
		e := page[at:]
		switch native.Uint32(e) {
		case 0:
		case bucketValue:
			from := at + int(native.Uint32(e[4:])) + int(native.Uint32(e[8:]))
			if err := c.bucket(page[from : from+int(native.Uint32(e[12:]))]); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: unknown kind of value in page %d", errPages, id)
		}
	}
	return nil
}

func (c *pageChecker) bucket(value []byte) error {
	if len(value) < bucketSize {
		return fmt.Errorf("%w: a bucket of %d bytes", errPages, len(value))
	}
	if root := native.Uint64(value); root != 0 {
		return c.tree(root, nil, nil)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || native.Uint16(inline[8:]) != leafPage || native.Uint64(inline) != 0 {
		return fmt.Errorf("%w: a bucket without a root", errPages)
	}
	c.depth++
	defer func() { c.depth-- }()
	if c.depth > maxDepth {
		return fmt.Errorf("%w: buckets are too deep", errPages)
	}
	return c.leaf(0, inline, nil, nil)
}

// keysOf returns the keys of a page whose elements say where they are.
func keysOf(page []byte, count int, element func([]byte) (pos, key, value uint64)) ([][]byte, error) {
	if pageHeader+elementSize*count > len(page) {
		return nil, fmt.Errorf("%w: %d elements", errPages, count)
	}
	keys := make([][]byte, count)
	for i := range keys {
		at := uint64(pageHeader + elementSize*i)
		pos, key, value := element(page[at : at+elementSize])
		if pos < uint64(elementSize*(count-i)) || at+pos+key+value > uint64(len(page)) || key == 0 {
			return nil, fmt.Errorf("%w: element %d is outside", errPages, i)
		}
		keys[i] = page[at+pos : at+pos+key]
	}
	return keys, nil
}

func ordered(keys [][]byte, low, high []byte) error {
	for i, k := range keys {
		if i > 0 && bytes.Compare(keys[i-1], k) >= 0 || low != nil && bytes.Compare(k, low) < 0 || high != nil && bytes.Compare(k, high) >= 0 {
			return fmt.Errorf("%w: keys are not in order", errPages)
		}
	}
	return nil
}
