package gateway

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicemedia/sluice/session"
)

const (
	maxJSON      = 64 << 10 // bytes of a request body
	defaultLimit = 200      // items of a list
	maxLimit     = 1000
)

// stamp is a time as the API writes it: RFC 3339, UTC, milliseconds.
type stamp time.Time

func (s stamp) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(s).UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// readJSON reads a request body into v, strictly. An empty body is an empty
// object.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	return decodeJSON(w, r, body, v)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxJSON))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, session.ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", session.ErrTimeout, err)
	}
	return body, nil
}

// decodeJSON is readJSON of a body that was read.
func decodeJSON(w http.ResponseWriter, r *http.Request, body []byte, v any) error {
	if len(body) == 0 {
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" && mediaType != "application/merge-patch+json" {
		if r.Method == http.MethodPatch {
			w.Header().Set("Accept-Patch", "application/json, application/merge-patch+json")
		} else {
			w.Header().Set("Accept-Post", "application/json")
		}
		return &problemError{name: "media-type", detail: "Send the body as application/json."}
	}
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return &problemError{name: "json-malformed", detail: "The body is not a JSON object."}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &problemError{name: "json-malformed", detail: jsonDetail(err)}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &problemError{name: "json-malformed", detail: "Something follows the JSON object."}
	}
	return nil
}

// jsonDetail says what was wrong without naming the types of this program.
func jsonDetail(err error) string {
	var typeErr *json.UnmarshalTypeError
	var syntaxErr *json.SyntaxError
	switch {
	case errors.As(err, &typeErr):
		return fmt.Sprintf("The field %s must not be a %s.", typeErr.Field, typeErr.Value)
	case errors.As(err, &syntaxErr):
		return fmt.Sprintf("Not JSON at byte %d.", syntaxErr.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "The JSON ends too early."
	default: // an unknown field is all that is left; the text quotes it
		if _, quoted, ok := strings.Cut(err.Error(), `unknown field "`); ok {
			if name, ok := strings.CutSuffix(quoted, `"`); ok && plainField(name) {
				return fmt.Sprintf("There is an unknown field: %s.", name)
			}
		}
		return "There is an unknown field."
	}
}

// plainField reports whether a name is short and looks like those of this API: a misspelt field
// is worth naming, but whatever else stands where a name belongs may be a secret.
func plainField(name string) bool {
	return name != "" && len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("gateway: write the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone; nobody is left to tell
	return nil
}

// list is one page of a list.
type list[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

// writeList answers with one page of items, in the order of their keys, which
// are unique. The cursor is the key of the last item, so that a page is right
// whatever came or went meanwhile.
func writeList[T any](w http.ResponseWriter, r *http.Request, items []T, key func(T) string) error {
	return writeListAs(w, r, items, key, func(item T) T { return item })
}

// writeListAs is writeList of items that are only worked out for those of the
// page.
func writeListAs[T, V any](w http.ResponseWriter, r *http.Request, items []T, key func(T) string, view func(T) V) error {
	limit, after, err := pageOf(r)
	if err != nil {
		return err
	}
	slices.SortFunc(items, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	from, found := slices.BinarySearchFunc(items, after, func(item T, after string) int { return cmp.Compare(key(item), after) })
	if found {
		from++
	}
	items = items[from:]
	page := list[V]{Items: make([]V, 0, min(limit, len(items)))}
	if len(items) > limit {
		items = items[:limit]
		next := base64.RawURLEncoding.EncodeToString([]byte(key(items[limit-1])))
		page.Next = &next
	}
	for _, item := range items {
		page.Items = append(page.Items, view(item))
	}
	return writeJSON(w, http.StatusOK, page)
}

func pageOf(r *http.Request) (limit int, after string, err error) {
	limit = defaultLimit
	query := r.URL.Query()
	if text := query.Get("limit"); text != "" {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > maxLimit {
			return 0, "", &problemError{name: "query-malformed"}
		}
	}
	key, err := base64.RawURLEncoding.DecodeString(query.Get("cursor"))
	if err != nil {
		return 0, "", &problemError{name: "query-malformed"}
	}
	return limit, string(key), nil
}
