package whep

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/sluicemedia/sluice/session"
	"github.com/sluicemedia/sluice/sfu"
)

const relLayer = "urn:ietf:params:whep:ext:core:layer"

// ProblemLayer is the problem of a request for a layer that is not there.
const ProblemLayer = "layer-unknown"

// layerRequest is the body that selects a layer. Keys that are not known here
// say nothing.
type layerRequest struct {
	MediaID          *string `json:"mediaId"`
	RID              string  `json:"rid"`
	EncodingID       string  `json:"encodingId"` // what older drafts call rid
	SpatialLayerID   *uint8  `json:"spatialLayerId"`
	TemporalLayerID  *uint8  `json:"temporalLayerId"`
	MaxSpatialLayer  *uint8  `json:"maxSpatialLayerId"`
	MaxTemporalLayer *uint8  `json:"maxTemporalLayerId"`
	MaxWidth         uint32  `json:"maxWidth"`
	MaxHeight        uint32  `json:"maxHeight"`
}

// layerView is an item of EventLayers. A layer from which nothing comes has no
// bit rate.
type layerView struct {
	RID      string  `json:"rid,omitempty"`
	Spatial  *int    `json:"spatialLayerId,omitempty"`
	Temporal *int    `json:"temporalLayerId,omitempty"`
	Width    int     `json:"width,omitempty"`
	Height   int     `json:"height,omitempty"`
	FPS      float64 `json:"fps,omitempty"`
	Bitrate  uint64  `json:"bitrate"`
	Active   bool    `json:"active"`
	Selected bool    `json:"selected"` // the viewer gets it
}

func (e *Endpoint) layerURL(id string) string { return e.Sessions.SessionURL(id) + "/layer" }

// PostLayer selects the layer of a viewer's video (WHEP layer selection
// extension): 200 when the change can be made, which then happens with the
// layer's next keyframe. Errors are those of [session.ReadJSON] and
// [sfu.Subscription.Select], session.ErrNotFound and *session.OfferError.
func (e *Endpoint) PostLayer(w http.ResponseWriter, r *http.Request, id string) error {
	v, err := e.viewers.find(id)
	if err != nil {
		return err
	}
	body, err := session.ReadJSON(w, r)
	if err != nil {
		return err
	}
	var asked layerRequest
	if err := json.Unmarshal(body, &asked); err != nil || bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		return refuse(problemJSON, "Send a JSON object such as {\"mediaId\":\"0\",\"rid\":\"h\"}.")
	}
	want, err := v.selection(&asked)
	if err != nil {
		return err
	}
	return v.choose(w, want)
}

// DeleteLayer leaves the choice to the gateway again. session.ErrNotFound.
func (e *Endpoint) DeleteLayer(w http.ResponseWriter, _ *http.Request, id string) error {
	v, err := e.viewers.find(id)
	if err != nil {
		return err
	}
	return v.choose(w, sfu.Selection{})
}

func (v *viewer) choose(w http.ResponseWriter, want sfu.Selection) error {
	if err := v.sub.Select(want); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

// selection is what a request asks for.
func (v *viewer) selection(asked *layerRequest) (want sfu.Selection, err error) {
	if asked.RID != "" && asked.EncodingID != "" && asked.RID != asked.EncodingID {
		return want, refuse(ProblemLayer, "rid and encodingId name two layers.")
	}
	want = sfu.Selection{
		RID:      cmp.Or(asked.RID, asked.EncodingID),
		MaxWidth: int(asked.MaxWidth), MaxHeight: int(asked.MaxHeight),
	}
	if want.Spatial, err = limitOf("spatialLayerId", asked.SpatialLayerID, asked.MaxSpatialLayer); err != nil {
		return want, err
	}
	if want.Temporal, err = limitOf("temporalLayerId", asked.TemporalLayerID, asked.MaxTemporalLayer); err != nil {
		return want, err
	}
	media := v.video
	if asked.MediaID != nil {
		if media, err = strconv.Atoi(*asked.MediaID); err != nil {
			return want, refuse(ProblemLayer, "The media %.20q is not the number of a section of the offer, counted from 0.", *asked.MediaID)
		}
	}
	if media < 0 || media != v.video {
		return want, refuse(ProblemLayer, "The section %d of the offer is not video that is played here.", media)
	}
	return want, nil
}

// limitOf joins the two ways to ask for the layers of scalable video: one that
// must be there, and a most.
func limitOf(key string, id, most *uint8) (limit sfu.LayerLimit, err error) {
	switch {
	case id == nil && most == nil:
	case id == nil:
		limit = sfu.LayerLimit{Layers: int(*most) + 1}
	case most != nil && *id > *most:
		return limit, refuse(ProblemLayer, "%s is above the most that is asked for.", key)
	default:
		limit = sfu.LayerLimit{Layers: int(*id) + 1, Exact: true}
	}
	return limit, nil
}

// tellLayers emits what layers there are and which the viewer gets. Most viewers
// have nobody who reads that, and there may be thousands of them: then it is done
// when somebody comes.
func (v *viewer) tellLayers() {
	v.telling.Lock()
	defer v.telling.Unlock()
	v.mu.Lock()
	v.untold = len(v.streams) == 0
	untold := v.untold
	if untold {
		v.layers = nil // old by now
	}
	v.mu.Unlock()
	if untold {
		return
	}
	layers, selected := v.sub.Layers()
	list := make([]layerView, 0, len(layers))
	for _, l := range layers {
		if l.RID == "" {
			continue
		}
		view := layerView{
			RID: l.RID, Width: l.Width, Height: l.Height, FPS: l.FPS, Bitrate: l.Bitrate, Active: l.Active,
			Selected: l.RID == selected,
		}
		if !l.Active {
			view.Bitrate, view.FPS = 0, 0
		}
		list = append(list, view)
	}
	if len(list) == 0 || v.video < 0 {
		return // every item needs a name, and a layer of its own has none
	}
	_ = v.emit(EventLayers, map[string][]layerView{strconv.Itoa(v.video): list}) // numbers that are finite can be written
}

// catchUp tells the first who reads of what there was nobody to be told of.
func (v *viewer) catchUp() {
	v.mu.Lock()
	due := v.untold && v.live && len(v.streams) > 0
	v.mu.Unlock()
	if due {
		v.tellLayers()
	}
}
