package session_test

import (
	"runtime"
	"testing"

	"github.com/sluicemedia/sluice/session"
)

// A connected viewer costs at most 10 KiB of heap and stack, and no goroutine.
// With a PeerConnection it would be some 150 KiB and 20 goroutines.
func TestCostOfViewer(t *testing.T) {
	const (
		viewers = 500
		limit   = 10 << 10
	)
	table := newTable(t, nil)
	add := func(n int) {
		for range n {
			r := openRaw(t, table)
			r.join()
			r.report()
			r.shut()
			*r = raw{} // only what the gateway keeps is to be counted
		}
	}
	add(10)
	memory, goroutines := usage(), runtime.NumGoroutine()
	add(viewers)
	poll(t, "no goroutine more", func() bool { return runtime.NumGoroutine() <= goroutines })
	if st := table.Stats(); st.Sessions[session.RoleViewer]["live"] != viewers+10 {
		t.Fatalf("sessions %v", st.Sessions)
	}
	each := (usage() - memory) / viewers
	t.Logf("%d bytes each", each)
	if each > limit {
		t.Errorf("a viewer costs %d bytes, want at most %d", each, limit)
	}
}

// usage is the memory in use.
func usage() int64 {
	runtime.GC()
	runtime.GC() // what pools kept over the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
