package gateway

import (
	"html/template"
	"net/http"

	"github.com/julienschmidt/httprouter"
)

var problemPage = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Name}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}</style>
<h1>{{.Title}}</h1>
<p>Problem <code>{{.Name}}</code>, HTTP status {{.Status}}.</p>
<p>{{.Remedy}}</p>
`))

// getProblem explains a problem type to whoever follows its link.
func (g *Gateway) getProblem(w http.ResponseWriter, _ *http.Request, p httprouter.Params) error {
	known, ok := lookup(p.ByName("name"))
	if !ok {
		return &problemError{name: "not-found"}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	return problemPage.Execute(w, struct {
		Name, Title, Remedy string
		Status              int
	}{known.name, known.title, known.remedy, known.status})
}
