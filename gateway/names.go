package gateway

import "strings"

// maxNameLength bounds names of rooms, publications and nodes.
const maxNameLength = 64

// legalName tells whether a room or publication may be called so: 1 to 64 of
// A-Z a-z 0-9 . _ -, not beginning with a dot.
func legalName(name string) bool {
	if name == "" || len(name) > maxNameLength || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// legalNode is legalName without dots: the dot ends the node's name in a
// session id. "self" stands for the node that is asked.
func legalNode(name string) bool {
	return legalName(name) && !strings.Contains(name, ".") && name != "self"
}
