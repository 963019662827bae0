package gateway

import (
	"html/template"
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/sluicemedia/sluice/session"
)

var problemPage = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Name}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}</style>
<h1>{{.Title}}</h1>
{{if .Status}}<p>Problem <code>{{.Name}}</code>, HTTP status {{.Status}}.</p>
<p>{{.Remedy}}</p>
{{end}}{{with .Cause}}<p>Cause <code>{{.Cause}}</code> of a session that ended, stays silent or does not connect.</p>
{{with .Publisher}}<p>Publishers: {{.}}</p>
{{end}}{{with .Viewer}}<p>Viewers: {{.}}</p>
{{end}}{{end}}`))

// getProblem explains a problem type, or the cause of a session, to whoever
// follows its link. Where both have a name they mean the same.
func (g *Gateway) getProblem(w http.ResponseWriter, _ *http.Request, p httprouter.Params) error {
	name := p.ByName("name")
	known, isProblem := lookup(name)
	advice, isCause := session.Cause(name).Advice()
	page := struct {
		Name, Title, Remedy string
		Status              int
		Cause               *session.Advice
	}{Name: name}
	switch {
	case !isProblem && !isCause:
		return &problemError{name: "not-found"}
	case isProblem:
		page.Title, page.Remedy, page.Status = known.title, known.remedy, known.status
	default:
		page.Title = advice.Title
	}
	if isCause {
		page.Cause = &advice
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	return problemPage.Execute(w, page)
}
