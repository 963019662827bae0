package egress

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// oracle is what pion says of one packet of a compound, in the terms of
// feedback. Where pion is known to be wrong, or to know less, it is put right.
type oracle struct {
	refused bool
	reports []receptionReport
	lost    []uint16
	media   []uint32 // to be asked for a keyframe, or of a NACK
	cc      *rtcp.TransportLayerCC
}

// ask gives pion a packet whose header is whole, with the padding taken off:
// pion reads it as if it were more of the packet.
func ask(packet []byte) oracle {
	kind, format := packet[1], packet[0]&0x1f
	feedbackOf := func(k, f uint8) bool { return kind == k && format == f }
	b := slices.Clone(packet)
	if b[0]&0x20 != 0 {
		padding := int(b[len(b)-1])
		if padding == 0 || padding > len(b)-commonHeader {
			return oracle{refused: true}
		}
		if padding%4 != 0 && feedbackOf(typePayload, formatFIR) {
			return oracle{refused: true} // no whole entries
		}
		if !feedbackOf(typeTransport, formatTransportCC) {
			b = b[:(len(b)-padding)/4*4]
			b[0] &^= 0x20
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
		}
		if n := len(b); padding%4 != 0 && feedbackOf(typePayload, formatApplication) && n >= 16 && string(b[12:16]) == "REMB" {
			return oracle{refused: true}
		}
	}
	if feedbackOf(typePayload, formatApplication) && (len(b) < 16 || string(b[12:16]) != "REMB") {
		return oracle{} // pion takes every application for REMB
	}
	switch {
	case kind == typeSenderReport, kind == typeReceiverReport, feedbackOf(typeTransport, formatNACK),
		feedbackOf(typeTransport, formatTransportCC), feedbackOf(typePayload, formatPLI),
		feedbackOf(typePayload, formatFIR), feedbackOf(typePayload, formatApplication):
	default:
		return oracle{} // not looked at
	}
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return oracle{refused: true}
	}
	return understood(packets[0])
}

func understood(p rtcp.Packet) (o oracle) {
	reports := func(all []rtcp.ReceptionReport) {
		for _, r := range all {
			o.reports = append(o.reports, receptionReport{r.SSRC, r.FractionLost, r.TotalLost, r.Jitter, r.LastSenderReport, r.Delay})
		}
	}
	switch p := p.(type) {
	case *rtcp.ReceiverReport:
		reports(p.Reports)
	case *rtcp.SenderReport:
		reports(p.Reports)
	case *rtcp.TransportLayerNack:
		o.media = []uint32{p.MediaSSRC}
		for _, pair := range p.Nacks {
			o.lost = append(o.lost, pair.PacketList()...)
		}
	case *rtcp.PictureLossIndication:
		o.media = []uint32{p.MediaSSRC}
	case *rtcp.FullIntraRequest:
		for _, e := range p.FIR {
			o.media = append(o.media, e.SSRC)
		}
	case *rtcp.TransportLayerCC:
		o.cc = p
	}
	return o
}

// compare holds what was read of a packet against pion.
func (o oracle) compare(t *testing.T, f feedback, err error) {
	t.Helper()
	if o.refused && f.kind == feedbackTransport {
		return // pion wants deltas for what lies after the count, too
	}
	if o.cc != nil && o.cc.Header.Padding && errors.Is(err, errTransportShort) {
		return // pion takes padding for deltas
	}
	if (err != nil) != o.refused {
		t.Fatalf("got error %v, refused by pion: %v", err, o.refused)
	}
	var (
		reports []receptionReport
		lost    []uint16
		media   []uint32
	)
	switch f.kind {
	case feedbackNone, feedbackTransport:
	case feedbackReports:
		for b := f.blocks; len(b) > 0; b = b[reportBlock:] {
			reports = append(reports, readReport(b))
		}
	case feedbackLost:
		media = []uint32{f.media}
		pairs := nackPairs{pairs: f.blocks}
		for seq, ok := pairs.next(); ok; seq, ok = pairs.next() {
			lost = append(lost, seq)
		}
	case feedbackPicture:
		media = []uint32{f.media}
	case feedbackIntra:
		for b := f.blocks; len(b) > 0; b = b[firEntry:] {
			media = append(media, binary.BigEndian.Uint32(b))
		}
	}
	if !slices.Equal(reports, o.reports) || !slices.Equal(lost, o.lost) || !slices.Equal(media, o.media) {
		t.Errorf("got reports %v, lost %v, media %v, want %v, %v, %v", reports, lost, media, o.reports, o.lost, o.media)
	}
	if (o.cc != nil) != (f.kind == feedbackTransport) {
		t.Errorf("got kind %d, transport-wide feedback for pion: %v", f.kind, o.cc != nil)
	}
	if o.cc != nil && err == nil {
		compareTransport(t, f.transport, o.cc)
	}
}

func compareTransport(t *testing.T, f transportFeedback, cc *rtcp.TransportLayerCC) {
	t.Helper()
	if f.base != cc.BaseSequenceNumber || f.count != int(cc.PacketStatusCount) || uint32(f.reference)&0xffffff != cc.ReferenceTime {
		t.Errorf("got base %d, count %d, reference %d of %+v", f.base, f.count, f.reference, cc)
	}
	if len(f.chunks) != 2*len(cc.PacketChunks) {
		return // pion's 16 bits of count have wrapped
	}
	var symbols []uint16
	for _, c := range cc.PacketChunks {
		switch c := c.(type) {
		case *rtcp.RunLengthChunk:
			symbols = append(symbols, slices.Repeat([]uint16{c.PacketStatusSymbol}, int(c.RunLength))...)
		case *rtcp.StatusVectorChunk:
			symbols = append(symbols, c.SymbolList...)
		}
	}
	var at time.Duration
	n, deltas := 0, cc.RecvDeltas
	eachPacket(&f, func(seq uint16, received bool, arrival time.Duration) {
		want := symbols[n] == rtcp.TypeTCCPacketReceivedSmallDelta || symbols[n] == rtcp.TypeTCCPacketReceivedLargeDelta
		if want {
			at += time.Duration(deltas[0].Delta) * time.Microsecond
			deltas = deltas[1:]
		}
		if seq != f.base+uint16(n) || received != want || received && arrival != at {
			t.Errorf("packet %d: got number %d, received %v at %v, want %v at %v", n, seq, received, arrival, want, at)
		}
		n++
	})
	if n != f.count {
		t.Errorf("got %d packets, want %d", n, f.count)
	}
}

// inTheClear is the cipher of a viewer who needs no keys: tests that want to say
// anything say it directly.
type inTheClear struct{ index uint32 }

func (*inTheClear) sealRTCP(plain []byte, _ uint32) []byte { return plain }

func (c *inTheClear) openRTCP(datagram []byte) ([]byte, uint32, error) {
	if len(datagram) < rtcpHeader {
		return nil, 0, errShortRTCP
	}
	c.index++
	return datagram, c.index, nil
}

// FuzzFeedback: of whatever a viewer who has the keys says, that is read which
// pion reads, and acting on it ends.
func FuzzFeedback(f *testing.F) {
	for _, packets := range feedbackSeeds() {
		raw, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte{0x80, 201, 0, 2, 0, 0, 0, 1, 1, 2, 3, 4})             // with an extension
	f.Add([]byte{0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4})             // padded
	f.Add([]byte{0xa0 | 1, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 4})   // cut
	f.Add([]byte{0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4}) // another application
	_, v, _ := startTo(f, nowhere{}, gcm)
	v.open.cipher = &inTheClear{}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > bufferSize {
			return
		}
		whole := len(b) > 0
		for rest := b; len(rest) > 0; {
			var h rtcp.Header
			n := 0
			if h.Unmarshal(rest) == nil {
				n = (int(h.Length) + 1) * 4
			}
			got, next, err := nextFeedback(rest)
			if n == 0 || n > len(rest) {
				if err == nil {
					t.Fatalf("got no error for the header %x", rest[:min(4, len(rest))])
				}
				whole = false
				break
			}
			ask(rest[:n]).compare(t, got, err)
			if whole = err == nil; !whole {
				break
			}
			if len(next) != len(rest)-n {
				t.Fatalf("got %d bytes left, want %d", len(next), len(rest)-n)
			}
			rest = next
		}
		v.open.senders = nil
		asked := v.Stats().NACKs
		err := v.HandleRTCP(slices.Clone(b))
		if want := whole && len(b) >= rtcpHeader; (err == nil) != want {
			t.Errorf("got %v, want it taken: %v", err, want)
		}
		if got := v.Stats().NACKs - asked; got > uint64(maxNACKs*(1+len(b)/(feedbackHeader+nackPair))) {
			t.Errorf("%d bytes made it look for %d packets", len(b), got)
		}
	})
}

// feedbackSeeds are datagrams as receivers send them.
func feedbackSeeds() [][]rtcp.Packet {
	return [][]rtcp.Packet{
		{
			&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: videoSSRC, FractionLost: 9, TotalLost: 1 << 20, Jitter: 5, LastSenderReport: 6, Delay: 7}}},
			&rtcp.TransportLayerNack{MediaSSRC: videoSSRC, Nacks: []rtcp.NackPair{{PacketID: 65530, LostPackets: 0xffff}, {PacketID: 9}}},
		},
		{&rtcp.PictureLossIndication{MediaSSRC: videoSSRC}, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: videoSSRC}, {SSRC: 2}}}},
		{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{1}}, &rtcp.Goodbye{Sources: []uint32{1}}},
		{
			&rtcp.SenderReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: audioSSRC}, {SSRC: videoSSRC, TotalLost: 0xffffff}}},
			&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 1, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "x"}}}}},
		},
		{&rtcp.ExtendedReport{SenderSSRC: 1, Reports: []rtcp.ReportBlock{&rtcp.ReceiverReferenceTimeReportBlock{NTPTimestamp: 5}}}},
		{pionFeedback(5, 1, []time.Duration{0, -1, 3 * time.Millisecond})},
		{pionFeedback(65530, 0xffffff, []time.Duration{0, 90 * time.Millisecond, -1, -1, 80 * time.Millisecond, -1, -1, -1, -1, 81 * time.Millisecond})},
	}
}

// What receivers send is understood as by pion, and so is what is left of it
// when it is cut.
func TestFeedbackAgreesWithPion(t *testing.T) {
	for _, packets := range feedbackSeeds() {
		for _, p := range packets {
			raw, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			got, rest, err := nextFeedback(raw)
			if err != nil || len(rest) != 0 {
				t.Errorf("%T: got %v, %d bytes left", p, err, len(rest))
			}
			ask(raw).compare(t, got, err)
			for n := commonHeader; n < len(raw); n += 4 { // whole, by its length
				short := slices.Clone(raw[:n])
				short[0] &^= 0x20
				binary.BigEndian.PutUint16(short[2:], uint16(n/4-1))
				got, _, err := nextFeedback(short)
				ask(short).compare(t, got, err)
			}
			for n := range len(raw) {
				if _, _, err := nextFeedback(raw[:n]); err == nil {
					t.Errorf("%T cut to %d bytes: got no error", p, n)
				}
			}
		}
	}
}

func TestFeedbackRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    []byte
		want error
	}{
		{"header", []byte{0x80, 201, 0}, errShortHeader},
		{"version", []byte{0x40, 201, 0, 1, 0, 0, 0, 1}, errVersion},
		{"length", []byte{0x80, 201, 0, 2, 0, 0, 0, 1}, errLength},
		{"no padding", []byte{0xa0, 201, 0, 1, 0, 0, 0, 0}, errPadding},
		{"too much padding", []byte{0xa0, 201, 0, 1, 0, 0, 0, 5}, errPadding},
		{"the report is padding", []byte{0xa0, 201, 0, 1, 0, 0, 0, 4}, errReport},
		{"fewer blocks", []byte{0x81, 201, 0, 1, 0, 0, 0, 1}, errReport},
		{"sender", []byte{0x80, 200, 0, 1, 0, 0, 0, 1}, errReport},
		{"NACK of nothing", []byte{0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2}, errNACK},
		{"PLI", []byte{0x81, 206, 0, 1, 0, 0, 0, 1}, errPLI},
		{"FIR of nothing", []byte{0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2}, errFIR},
		{"FIR of half", []byte{0x84, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}, errFIR},
		{"REMB", []byte{0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 'R', 'E', 'M', 'B'}, errREMB},
		{"transport-wide", []byte{0x8f, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, errTransportShort},
	} {
		if _, _, err := nextFeedback(tc.b); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
	}
}

// Padding is no part of what is said: with pion, four bytes of it were a lost
// packet.
func TestFeedbackPadding(t *testing.T) {
	f, rest, err := nextFeedback([]byte{
		0xa0 | formatNACK, typeTransport, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0x80,
	})
	if err != nil || len(rest) != 1 {
		t.Fatalf("got %v, %d bytes left", err, len(rest))
	}
	pairs := nackPairs{pairs: f.blocks}
	var got []uint16
	for seq, ok := pairs.next(); ok; seq, ok = pairs.next() {
		got = append(got, seq)
	}
	if !slices.Equal(got, []uint16{7, 8}) || f.media != 2 {
		t.Errorf("got numbers %v of %d, want 7 and 8 of 2", got, f.media)
	}
}

// What comes before a malformed packet is acted upon; what is not known is
// skipped.
func TestCompoundFeedback(t *testing.T) {
	v, far, src, _ := playing(t, videoFormat, 1)
	before := src.asked()
	pli := []byte{0x81, 206, 0, 2, 0, 0, 0, 1, 0x11, 0x11, 0x11, 0x11}
	unknown := []byte{0x9e, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0}
	app := []byte{0x80, 204, 0, 2, 0, 0, 0, 1, 'n', 'a', 'm', 'e'}
	if err := v.HandleRTCP(far.sealRaw(slices.Concat(unknown, app, pli))); err != nil || src.asked() != before+1 {
		t.Errorf("after what is not known: got %v, %d requests, want 1", err, src.asked()-before)
	}
	if err := v.HandleRTCP(far.sealRaw(slices.Concat(pli, pli, pli))); err != nil || src.asked() != before+2 {
		t.Errorf("three at once: got %v, %d requests, want 1", err, src.asked()-before-1)
	}
	if err := v.HandleRTCP(far.sealRaw(slices.Concat(pli, []byte{0x81, 206, 0, 9}))); !errors.Is(err, errLength) || src.asked() != before+3 {
		t.Errorf("before a malformed one: got %v, %d requests, want %v and 1", err, src.asked()-before-2, errLength)
	}
	if got := v.Stats().KeyframeRequests; got != 5 {
		t.Errorf("got %d requests counted, want 5", got)
	}
}
