package events_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sluicemedia/sluice/events"
)

func TestTimesAreUTCInMilliseconds(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89_999_999, time.FixedZone("", 3600))
	text, err := json.Marshal(events.Time(at))
	if err != nil || string(text) != `"2026-03-04T04:06:07.089Z"` {
		t.Fatalf("got %s, %v", text, err)
	}
	var back events.Time
	if err := json.Unmarshal(text, &back); err != nil || !time.Time(back).Equal(at.Truncate(time.Millisecond)) {
		t.Errorf("got %v, %v back", time.Time(back), err)
	}
	if err := json.Unmarshal([]byte(`"yesterday"`), &back); err == nil {
		t.Error("yesterday was taken for a time")
	}
}
