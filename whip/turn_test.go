package whip_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sluicemedia/sluice/session"
)

// slow is a client who does not read what it is answered.
type slow struct {
	http.ResponseWriter
	writing chan<- struct{}
	read    <-chan struct{} // closed when it reads at last
}

func (s slow) Write(b []byte) (int, error) {
	s.writing <- struct{}{}
	<-s.read
	return s.ResponseWriter.Write(b)
}

// Clients who do not read their answers keep nobody from having his.
func TestSlowReadersHoldNoTurn(t *testing.T) {
	n := newNode(t)
	offer, err := newPublisher(t).pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	crowd := 2 * runtime.GOMAXPROCS(0)
	writing, read := make(chan struct{}, crowd), make(chan struct{})
	var posts sync.WaitGroup
	defer posts.Wait()
	defer close(read)
	for range crowd {
		posts.Go(func() {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/whip/demo", strings.NewReader(offer.SDP))
			request.Header.Set("Content-Type", "application/sdp")
			if err := n.Post(slow{httptest.NewRecorder(), writing, read}, request, session.Labels{Room: "demo"}); err != nil {
				t.Error(err)
			}
		})
	}
	for range crowd {
		<-writing
	}
	release, err := n.Sessions.Admit(t.Context(), session.RolePublisher)
	if err != nil {
		t.Fatalf("while %d answers are not read: %v", crowd, err)
	}
	release()
}
