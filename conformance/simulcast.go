package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// simulcastWidths are the layers of PublishSimulcast by rid: VP8 of so many pixels.
var simulcastWidths = map[string]int{"l": 320, "m": 640, "h": 1280}

// PublishSimulcast goes on air with Opus and VP8 in three layers, rids l, m and
// h, that only the header extension tells apart, and returns when media flows.
// The context bounds the call, not the publisher.
func PublishSimulcast(ctx context.Context, endpoint string, target *Target) (*Publisher, error) {
	return publish(ctx, endpoint, target, (*Publisher).addLayers)
}

// addLayers adds one video track in three encodings.
func (p *Publisher) addLayers(ctx context.Context) error {
	var sender *webrtc.RTPSender
	for _, rid := range []string{"l", "m", "h"} {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "video", "conformance",
			webrtc.WithRTPStreamID(rid))
		if err != nil {
			return fmt.Errorf("conformance: make layer: %w", err)
		}
		if sender == nil {
			sender, err = p.PC.AddTrack(track)
		} else {
			err = sender.AddEncoding(track)
		}
		if err != nil {
			return fmt.Errorf("conformance: add layer: %w", err)
		}
		p.running.Go(func() { p.sendLayer(ctx, sender, track, simulcastWidths[rid]) })
	}
	if err := offerOnly(p.PC, sender, webrtc.MimeTypeVP8); err != nil {
		return err
	}
	p.running.Go(func() { // pion answers NACKs only when somebody reads RTCP
		buf := make([]byte, 1500)
		for {
			if _, _, err := sender.Read(buf); err != nil {
				return
			}
		}
	})
	return nil
}

// sendLayer sends one layer, each packet with mid and rid.
func (p *Publisher) sendLayer(ctx context.Context, sender *webrtc.RTPSender, track *webrtc.TrackLocalStaticRTP, width int) {
	select {
	case <-p.up:
	case <-ctx.Done():
		return
	}
	var extensions []headerElement
	for _, e := range sender.GetParameters().HeaderExtensions {
		switch e.URI {
		case uriMID:
			extensions = append(extensions, headerElement{uint8(e.ID), []byte(midOf(p.PC, sender))})
		case uriRID:
			extensions = append(extensions, headerElement{uint8(e.ID), []byte(track.RID())})
		}
	}
	packetizer := rtp.NewPacketizer(payloadSize, 0, 0, &codecs.VP8Payloader{EnablePictureID: true}, rtp.NewRandomSequencer(), 90000)
	tick := time.NewTicker(time.Second / 30)
	defer tick.Stop()
	for n := 0; ; n++ {
		for _, packet := range packetizer.Packetize(frameVP8(n, n%keyframeInterval == 0, width, width*9/16), 3000) {
			for _, e := range extensions {
				_ = packet.SetExtension(e.id, e.value) // ids and lengths are ours
			}
			// A connection that has ended is what some checks are about.
			_ = track.WriteRTP(packet)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// midOf is the mid of a sender's section.
func midOf(pc *webrtc.PeerConnection, sender *webrtc.RTPSender) string {
	for _, t := range pc.GetTransceivers() {
		if t.Sender() == sender {
			return t.Mid()
		}
	}
	return ""
}
